/**
 * Scores judges on benchmarks.
 *
 * @module
 */
export { type Progress, UnansweredError } from "./answers.ts";
export * from "./benchmark.ts";
export * from "./benchmarks.ts";
export {
  type BestOfNResult,
  type FoundShare,
  hasOneBest,
  measureBestOfN,
  type MeasureBestOfNOptions,
} from "./best_of_n/best_of_n.ts";
export { formatBestOfN } from "./best_of_n/report.ts";
export {
  type CallLabel,
  JOURNAL_FILE,
  type JournalLine,
  type RunHeader,
  RunMismatchError,
  type StoredJudgement,
} from "./journal.ts";
export { DATA_SETS, type DataSet, type GithubData, type HubData } from "./datasets/catalog.ts";
export {
  dataSetNamed,
  type FetchDataOptions,
  fetchDataSet,
  type FetchedData,
  fetchedData,
} from "./datasets/fetch.ts";
export { formatSeconds, progressLine, progressPrinter, type ProgressStream } from "./progress.ts";
export {
  type ChangedItems,
  type CompareOptions,
  compareRuns,
  type Difference,
  type RunComparison,
} from "./compare/compare.ts";
export { formatComparisons } from "./compare/report.ts";
export { compareCosts, type RunCost } from "./faithfulness/cost.ts";
export {
  type Faithfulness,
  type FaithfulnessOptions,
  measureFaithfulness,
  type RationaleJudge,
  type Share,
} from "./faithfulness/faithfulness.ts";
export * from "./leaderboard/merge.ts";
export { leaderboardPage } from "./leaderboard/page.ts";
export * from "./leaderboard/published.ts";
export { formatLeaderboard, leaderboardCsv, leaderboardMarkdown } from "./leaderboard/texts.ts";
export { formatFaithfulness } from "./faithfulness/report.ts";
export { formatResult } from "./report.ts";
export { rescore, type RescoreOptions } from "./rescore.ts";
export { viewPage } from "./view/page.ts";
export * from "./result.ts";
export { rewardBench, REWARDBENCH_RULES, type RewardBenchRule } from "./rewardbench/benchmark.ts";
export { RM_BENCH_RULES, rmBench, type RmBenchRule } from "./rm_bench/benchmark.ts";
export { type Answers, missingParts } from "./measure.ts";
export { runBenchmark, type RunOptions } from "./run.ts";
export {
  labelKey,
  readResult,
  readStoredRun,
  storedBenchmark,
  type StoredRun,
  StoredRunError,
  type StoredRunOptions,
} from "./stored_run.ts";
export { type Interval, wilsonInterval } from "./statistics.ts";
