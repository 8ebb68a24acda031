/**
 * Workers as browsers have them.
 *
 * @module
 */
import type { CoreWorker } from "../wasm/worker_door.ts";

/** Starts the core's worker. */
export function startWebWorker(): CoreWorker {
  return coreWorkerOf(new Worker(new URL("../wasm/worker.ts", import.meta.url), { type: "module" }));
}

/** A worker that has the core. */
export function coreWorkerOf(worker: Worker): CoreWorker {
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
