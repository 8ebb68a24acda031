/**
 * Scores judges on benchmarks.
 *
 * @module
 */
export { type Progress, UnansweredError } from "./answers.ts";
export {
  type CallLabel,
  JOURNAL_FILE,
  type JournalLine,
  type RunHeader,
  RunMismatchError,
  type StoredJudgement,
} from "./journal.ts";
export { formatSeconds, progressLine, progressPrinter, type ProgressStream } from "./progress.ts";
export * from "./rm_bench/mod.ts";
export { type Interval, wilsonInterval } from "./statistics.ts";
