/**
 * The worker of Node, Deno and Bun.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { parentPort } from "node:worker_threads";
import { loadGlue, WASM_URL } from "./glue.ts";
import { serve } from "./serve.ts";

if (parentPort === null) throw new TypeError("This module runs in a worker");
const port = parentPort;

serve(
  {
    post: (message, transfer) => port.postMessage(message, [...transfer]),
    onMessage: (listener) => {
      port.on("message", listener);
      // It ends the worker, which its owner hears of.
      port.on("messageerror", (error) => {
        throw error;
      });
    },
  },
  { loadGlue, wasm: () => readFile(WASM_URL) as Promise<Uint8Array<ArrayBuffer>> },
);
