/**
 * Workers as Node, Deno and Bun have them.
 *
 * @module
 */
import { Worker } from "node:worker_threads";
import type { CoreWorker } from "./worker_door.ts";

/** Starts a worker of the core. */
export function startNodeWorker(): CoreWorker {
  const worker = new Worker(new URL("./node_worker.ts", import.meta.url));
  return {
    post: (message, transfer) => worker.postMessage(message, [...transfer]),
    onMessage: (listener) => {
      worker.on("message", listener);
      // A listener holds the worker.
      worker.unref();
    },
    onEnd: (listener) => {
      worker.on("error", (error) => listener(String(error)));
      worker.on("messageerror", () => listener("a message from it cannot be read"));
      worker.on("exit", (code) => listener(`exit code ${code}`));
    },
    hold: (isBusy) => {
      if (isBusy) worker.ref();
      else worker.unref();
    },
    terminate: () => void worker.terminate(),
  };
}
