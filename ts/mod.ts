/**
 * Judges that reason before they decide: the better of two answers, the best of several, with the reasons.
 *
 * @module
 */
export { openDoor, openWasmDoor } from "#doors";
export type { Comparison, JudgedOnce } from "./api/comparison.ts";
export * from "./api/judge.ts";
export type { Protocol } from "./cor/prompts.ts";
export type { RubricItem } from "./cor/rubric.ts";
export type { CheckedQuote, Citation, QuoteOutcome, TaskType } from "./cor/trace.ts";
export type { UnparsableReason, Verdict, VerdictRule } from "./cor/verdict.ts";
export type { Side } from "./data/record.ts";
export type { ApiName } from "./endpoint/api_name.ts";
export { EndpointError, type EndpointErrorKind } from "./endpoint/endpoint_error.ts";
export type { CoreFiles, Door, DoorEvent, OwnDoor, WriteOptions } from "./engine/core/door.ts";
export {
  type DownloadProgress,
  fileFromUrl,
  type ModelFile,
  type ModelFiles,
  modelFromBlobs,
  modelFromUrl,
  type UrlOptions,
} from "./engine/core/model_files.ts";
export type { Device } from "./engine/device.ts";
export type { InferencePrecision, Message, Precision } from "./engine/engine.ts";
export { EngineError, type EngineErrorKind } from "./engine/error.ts";
export type { WasmOptions } from "./engine/wasm/threads.ts";
export type { BestOfN, BestOfNMethod, Meeting } from "./judge/best_of_n.ts";
export type { NoVerdictReason, Outcome } from "./judge/judge.ts";
export type { JudgeProtocolName } from "./judge/judge_card.ts";
export { JudgeSpecError } from "./judge/judge_spec_error.ts";
export type { PairProtocolName } from "./judge/pair_protocol.ts";
export { ModelError, type ModelErrorKind } from "./models/model_error.ts";
