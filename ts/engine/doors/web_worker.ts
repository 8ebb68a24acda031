/**
 * Workers as browsers have them.
 *
 * @module
 */
import type { CoreWorker } from "../wasm/worker_door.ts";

/** Starts the core's worker. */
export function startWebWorker(): CoreWorker {
  const worker = new Worker(new URL("../wasm/worker.ts", import.meta.url), { type: "module" });
  return {
    post: (message, transfer) => worker.postMessage(message, [...transfer]),
    onMessage: (listener) => {
      worker.onmessage = ({ data }) => listener(data);
    },
    onEnd: (listener) => {
      worker.onerror = (event) => {
        event.preventDefault();
        listener(event.message ?? "it could not be loaded");
      };
    },
    hold: () => {},
    terminate: () => worker.terminate(),
  };
}
