/**
 * What is used of the global scope of a browser's worker.
 *
 * @module
 */
import type { Port } from "./messages.ts";

/** A worker's global scope. */
export interface WorkerScope {
  postMessage(message: unknown, transfer: readonly ArrayBuffer[]): void;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onmessageerror: (() => void) | null;
}

/** The worker's end of the way to who started it. */
export function portOf(scope: WorkerScope): Port {
  return {
    post: (message, transfer) => scope.postMessage(message, transfer),
    onMessage: (listener) => {
      scope.onmessage = ({ data }) => listener(data);
      // It ends the worker, which its owner hears of.
      scope.onmessageerror = () => {
        throw new TypeError("A message cannot be read");
      };
    },
  };
}
