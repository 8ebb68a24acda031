/**
 * Judges that reason before they decide: the better of two answers, the best of several, with the reasons.
 *
 * @module
 */
export * from "./api/comparison.ts";
export * from "./api/judge.ts";
export type { CheckedQuote, TaskType } from "./cor/trace.ts";
export type { RubricItem } from "./cor/rubric.ts";
export type { Side } from "./data/record.ts";
export { openDoor, openWasmDoor } from "#doors";
export type { Door } from "./engine/core/door.ts";
export {
  type DownloadProgress,
  fileFromUrl,
  type ModelFile,
  type ModelFiles,
  modelFromBlobs,
  modelFromUrl,
  type UrlOptions,
} from "./engine/core/model_files.ts";
export { EngineError, type EngineErrorKind } from "./engine/error.ts";
export type { Message } from "./engine/engine.ts";
export type { BestOfN, BestOfNMethod } from "./judge/best_of_n.ts";
export { JudgeSpecError } from "./judge/judge_card.ts";
