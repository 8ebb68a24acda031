/**
 * Scores judges on benchmarks.
 *
 * @module
 */
export { type Progress, UnansweredError } from "./answers.ts";
export { JOURNAL_FILE, type JournalLine, RunMismatchError } from "./journal.ts";
export { formatSeconds, progressLine, progressPrinter, type ProgressStream } from "./progress.ts";
export * from "./rm_bench/mod.ts";
export { type Interval, wilsonInterval } from "./statistics.ts";
