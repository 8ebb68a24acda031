/**
 * Finds the core in a browser, where there is one kind of it and no files by path.
 *
 * @module
 */
import type { CoreFiles, Door, OwnDoor } from "../core/door.ts";
import type { ModelFiles } from "../core/model_files.ts";
import { EngineError } from "../error.ts";
import { kept } from "./kept.ts";
import { WorkerDoor } from "../wasm/worker_door.ts";
import type { WasmOptions } from "../wasm/threads.ts";
import { browserCore, startWebWorker } from "../wasm/start_web_worker.ts";

const openKept = kept(() => openWasmDoor());

/**
 * The page's core, which stays open; one that has died is replaced.
 *
 * @throws {EngineError} It cannot be had, or the browser has no WebAssembly with SIMD.
 */
export function openDoor(): Promise<Door> {
  return openKept();
}

/** As {@link openDoor}: files can be streamed into it. */
export function openFileDoor(): Promise<Door> {
  return openKept();
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
