/**
 * The engine seam and what belongs to it: forests of token segments, chat templates, errors, and the engine that
 * runs in this process.
 *
 * @module
 */

export { openDoor, openWasmDoor } from "#doors";
export * from "./chat_template.ts";
export type { CoreFiles, Door, DoorEvent, OwnDoor, WriteOptions } from "./core/door.ts";
export {
  type DownloadProgress,
  fileFromUrl,
  type ModelFile,
  type ModelFiles,
  modelFromBlobs,
  modelFromUrl,
  type UrlOptions,
} from "./core/model_files.ts";
export * from "./device.ts";
export * from "./engine.ts";
export * from "./error.ts";
export * from "./forest.ts";
export type { WasmOptions } from "./wasm/threads.ts";
export {
  CoreEngine,
  type CoreEngineOptions,
  type CoreInitOptions,
  type CoreOptions,
  CoreReference,
  type CoreReferenceOptions,
} from "./core/core_engine.ts";
