/**
 * The worker of browsers, Deno and Bun.
 *
 * @module
 */
import { loadGlue, WASM_URL } from "./glue.ts";
import { serve } from "./serve.ts";

/** What is used of a worker's global scope. */
interface WorkerScope {
  postMessage(message: unknown, transfer: readonly ArrayBuffer[]): void;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
}

const scope = globalThis as unknown as WorkerScope;

/** A file is read whole: over HTTP the WebAssembly compiles as it comes. */
async function readFile(url: URL): Promise<ArrayBuffer> {
  return await (await fetch(url)).arrayBuffer();
}

await serve(
  {
    post: (message, transfer) => scope.postMessage(message, transfer),
    onMessage: (listener) => {
      scope.onmessage = ({ data }) => listener(data);
    },
  },
  loadGlue(),
  WASM_URL.protocol === "file:" ? readFile(WASM_URL) : WASM_URL,
);
