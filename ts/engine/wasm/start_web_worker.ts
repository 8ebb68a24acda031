/**
 * Workers as browsers have them.
 *
 * @module
 */
import { threadCount, type WasmOptions } from "./threads.ts";
import type { CoreChoice, CoreWorker } from "./worker_door.ts";

/** The core that a browser can have: memory is shared only on pages that are isolated from other sites. */
export function browserCore(options: WasmOptions): CoreChoice {
  const why = "a browser has no other core";
  const threads = threadCount(options, navigator.hardwareConcurrency ?? 1);
  const shares = (globalThis as { readonly crossOriginIsolated?: boolean }).crossOriginIsolated === true;
  if (shares) return { why, shares, threads };
  return { why: `${why}, and more threads need a page that is cross-origin isolated`, shares, threads: 1 };
}

/** Starts a worker of the core. */
export function startWebWorker(): CoreWorker {
  return coreWorkerOf(new Worker(new URL("./worker.ts", import.meta.url), { type: "module" }));
}

/** A worker of the core. */
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
      worker.onmessageerror = () => listener("a message from it cannot be read");
    },
    hold: () => {},
    terminate: () => worker.terminate(),
  };
}
