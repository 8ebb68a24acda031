/**
 * The two-stage trainer.
 *
 * @module
 */
export { type Checkpoint, Checkpoints, type ModelCard, readCard } from "./checkpoint.ts";
export * from "./config.ts";
export { ConfigError } from "./config_error.ts";
export { configJsonSchema } from "./config_schema.ts";
export {
  evaluate,
  type EvaluatedPair,
  type EvaluateOptions,
  type Evaluation,
  proportion,
} from "./evaluate.ts";
export { type JournalEntry, type JournalRecord, readJournal, type StageCounts } from "./journal.ts";
export {
  formatDuration,
  formatEvaluation,
  formatProgress,
  type ProgressEvent,
  type ProgressStream,
  progressWriter,
  type RunPlan,
} from "./progress.ts";
export type {
  Counts,
  EvaluationReport,
  Proportion,
  Stage1StepRecord,
  Stage2StepRecord,
  StepRecord,
  TrainResult,
} from "./records.ts";
export { readStoredConfig } from "./run_directory.ts";
export { InterruptedError, RunError } from "./run_error.ts";
export type { StepProgress } from "./stage.ts";
export { train, type TrainOptions } from "./train.ts";
export { codeVersion, VERSION } from "./version.ts";
