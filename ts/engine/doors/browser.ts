/**
 * Finds the core in a browser, where there is one kind of it and no files by path.
 *
 * @module
 */
import type { CoreFiles, Door, OwnDoor } from "../core/door.ts";
import type { ModelFiles } from "../core/model_files.ts";
import { EngineError } from "../error.ts";
import { WorkerDoor } from "../wasm/worker_door.ts";
import type { WasmOptions } from "../wasm/threads.ts";
import { browserCore, startWebWorker } from "./web_worker.ts";

let opened: Promise<Door> | undefined;

/**
 * The page's core, which stays open; one that has died is replaced.
 *
 * @throws {EngineError} It cannot be had, or the browser has no WebAssembly with SIMD.
 */
export async function openDoor(): Promise<Door> {
  const before = opened;
  const door = await before?.catch(() => null);
  if (door && !door.isEnded) return door;
  // Of several callers the first one opens it anew.
  if (opened === before) opened = openWasmDoor();
  return await opened!;
}

/**
 * A core on workers of its own.
 *
 * @throws {EngineError} It cannot be had, or the browser has no WebAssembly with SIMD.
 */
export async function openWasmDoor(options: WasmOptions = {}): Promise<OwnDoor> {
  return await WorkerDoor.open(startWebWorker, browserCore(options));
}

/** Refused: a page cannot read files by their paths. */
export function modelFiles(path: string): Promise<ModelFiles> {
  return Promise.reject(
    new EngineError("io", `Cannot read "${path}": a browser reads URLs and chosen files, no paths`),
  );
}

/** Refused: a page cannot write files by their paths. */
export function storeFiles(_files: CoreFiles, _folder: string, directory: string): Promise<void> {
  return Promise.reject(
    new EngineError("io", `Cannot write "${directory}": a browser writes no files by their paths`),
  );
}
