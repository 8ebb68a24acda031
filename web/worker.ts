/**
 * The page's worker: its core's WebAssembly comes with the first message.
 *
 * @module
 */
import type { Glue } from "../ts/engine/wasm/glue.ts";
import type { Port } from "../ts/engine/wasm/messages.ts";
import { serve } from "../ts/engine/wasm/serve.ts";
// What wasm-bindgen writes is there once the core has been built, which the page's build sees to.
// @ts-ignore: it has no place in the workspace
import * as glue from "../target/wasm/rmr1_core.js";

const scope = globalThis as unknown as {
  postMessage(message: unknown, transfer: readonly ArrayBuffer[]): void;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
};

const port: Port = {
  post: (message, transfer) => scope.postMessage(message, transfer),
  onMessage: (listener) => {
    scope.onmessage = ({ data }) => listener(data);
  },
};

scope.onmessage = ({ data }) =>
  void serve(port, Promise.resolve(glue as Glue), Promise.resolve(data as ArrayBuffer));
