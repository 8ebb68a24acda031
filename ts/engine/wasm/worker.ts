/**
 * The worker of browsers.
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

// Not awaited: bundlers write workers as scripts, which cannot wait. What goes wrong is told to the port.
void serve(
  {
    post: (message, transfer) => scope.postMessage(message, transfer),
    onMessage: (listener) => {
      scope.onmessage = ({ data }) => listener(data);
    },
  },
  loadGlue(),
  WASM_URL,
);
