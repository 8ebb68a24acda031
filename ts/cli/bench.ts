/**
 * `bench NAME`: scores a judge on a benchmark.
 *
 * @module
 */
import { join, resolve } from "node:path";
import process from "node:process";
import {
  type Benchmark,
  BENCHMARKS,
  dataSetNamed,
  fetchedData,
  formatLeaderboard,
  formatResult,
  formatSeconds,
  leaderboard,
  ORDERS,
  progressPrinter,
  readResults,
  RESULT_FILE,
  rewardBench,
  REWARDBENCH_RULES,
  RM_BENCH_RULES,
  rmBench,
  runBenchmark,
} from "rm-r1-harness";
import type { CallEstimate, CallState } from "../judge/mod.ts";
import { describeAmount } from "./amounts.ts";
import { isUrl } from "./endpoint.ts";
import { UsageError } from "./errors.ts";
import { JUDGE_OPTIONS, openNamedJudge } from "./judges.ts";
import { KeyValueMemory } from "./memory.ts";
import {
  anyText,
  type Command,
  type Context,
  defaulted,
  defineCommand,
  flag,
  type JsonObject,
  oneOf,
  optional,
  type Values,
  wholeNumber,
} from "./parser.ts";
import { benchRunName, RUNS } from "./run_names.ts";

const OPTIONS = {
  data: optional(
    "--data",
    anyText("PATH"),
    "Folder with the benchmark's files as upstream has them, or one of them; what fetch brought if not given",
  ),
  ...JUDGE_OPTIONS,
  limit: optional("--limit", wholeNumber({ min: 1 }), "Score a stratified sample of so many items"),
  orders: defaulted(
    "--orders",
    oneOf(ORDERS),
    "both",
    "Judge each pair in both orders, or once in a seeded one",
  ),
  votes: defaulted(
    "--votes",
    wholeNumber({ min: 1 }),
    1,
    "Sample each judgement so often and take the majority; needs a temperature",
  ),
  batch: defaulted("--batch", wholeNumber({ min: 1 }), 32, "Most judgements generated at once"),
  directory: optional(
    "--out",
    anyText("DIR"),
    "Folder of the run; what it holds already is not asked again",
  ),
  countUnanswered: flag(
    "--count-unanswered",
    "Count calls that failed as no verdict, instead of giving no figure",
  ),
  leaderboard: flag("--leaderboard", "Also show all runs in runs among the published results"),
  dryRun: flag("--dry-run", "Of a server: only say what the calls will take"),
};

/** Ends a run that is only to be estimated. */
const DRY_RUN = new Error("A dry run ends before the first call");

/** Seconds between two lines on how the calls go. */
const CALLS_EVERY = 15;

function callPrinter(log: Context["log"]): (state: CallState) => void {
  let last = performance.now();
  return ({ underWay, limit, pause, spent }) => {
    if (performance.now() - last < CALLS_EVERY * 1000) return;
    last = performance.now();
    const paused = pause > 0 ? `, paused for ${formatSeconds(pause / 1000)}` : "";
    log(`${underWay} of ${limit} calls under way${paused}, ${describeAmount(spent)}\n`);
  };
}

function describeCallEstimate({ expected, most }: CallEstimate): string {
  return `About ${describeAmount(expected)}; at most ${describeAmount(most)}, failed calls not counted\n`;
}

/** @param settings of the benchmark itself, which the run's folder is named by, too */
async function score(
  benchmark: Benchmark,
  {
    data: given,
    limit,
    orders,
    votes,
    batch,
    directory,
    countUnanswered,
    leaderboard: showAll,
    dryRun,
    ...choice
  }: Values<
    typeof OPTIONS
  >,
  settings: JsonObject,
  { out, log, signal }: Context,
): Promise<JsonObject> {
  if (dryRun && !isUrl(choice.judge)) {
    throw new UsageError(`Option --dry-run is for a server's URL, not for "${choice.judge}"`);
  }
  if (votes > 1 && choice.temperature === 0 && !choice.serverTemperature) {
    throw new UsageError("At a temperature of 0 all samples are alike: give --temperature with --votes");
  }
  const data = given ?? await fetchedData(benchmark.name);
  if (data === null) {
    throw new UsageError(
      dataSetNamed(benchmark.name) === undefined
        ? `Option --data is needed: the file or folder of ${benchmark.title}`
        : `No data of ${benchmark.title}: fetch them with deno task fetch ${benchmark.name}, or give --data`,
    );
  }
  using memory = new KeyValueMemory(log);
  const ending = new AbortController();
  await using opened = await openNamedJudge(choice, {
    maxConcurrent: batch,
    onSummary: memory.see,
    onEstimate: (estimate) => {
      log(describeCallEstimate(estimate));
      if (dryRun) ending.abort(DRY_RUN);
    },
    onCalls: callPrinter(log),
  }, log);
  const { seed } = choice;
  const asked = { data, judge: opened.identity, limit: limit ?? null, seed, orders, votes, ...settings };
  const folder = directory ??
    join(RUNS, benchRunName(benchmark.name, isUrl(choice.judge) ? choice.model! : choice.judge, asked));
  log(`run ${folder}\n`);
  const running = runBenchmark(benchmark, {
    data,
    judge: opened,
    directory: folder,
    ...(limit !== undefined && { limit }),
    seed,
    orders,
    votes,
    countUnanswered,
    signal: AbortSignal.any([signal, ending.signal]),
    onProgress: progressPrinter({ isTTY: process.stderr.isTTY ?? false, write: log }),
  });
  const result = await running.catch((error: unknown) => {
    if (error !== DRY_RUN) throw error;
    return null;
  });
  if (result === null) {
    out("Nothing was sent: a dry run\n");
    return { dryRun: true };
  }
  out(`${formatResult(benchmark, result)}\n\nStored in ${join(folder, RESULT_FILE)}\n`);
  if (showAll) {
    const stored = await readResults(RUNS);
    const isThere = stored.some(({ directory: other }) => resolve(other) === resolve(folder));
    out(
      `\n${formatLeaderboard(leaderboard(isThere ? stored : [...stored, { directory: folder, result }]))}\n`,
    );
  }
  return result as unknown as JsonObject;
}

const benchRewardBench = defineCommand({
  name: "bench rewardbench",
  brief: "Score a judge on RewardBench",
  options: {
    ...OPTIONS,
    rule: defaulted(
      "--rule",
      oneOf(REWARDBENCH_RULES),
      "core",
      "Its four sections, or the older test sets as a fifth one",
    ),
  },
  run: ({ rule, ...values }, context) => score(rewardBench(rule), values, { rule }, context),
});

const benchRmBench = defineCommand({
  name: "bench rm-bench",
  brief: "Score a judge on RM-Bench",
  options: {
    ...OPTIONS,
    rule: defaulted(
      "--rule",
      oneOf(RM_BENCH_RULES),
      "standard",
      "How the figures follow from the comparisons",
    ),
  },
  run: ({ rule, ...values }, context) => score(rmBench(rule), values, { rule }, context),
});

/** The commands, one a benchmark. */
export const benchmarks: readonly Command[] = [
  benchRewardBench,
  benchRmBench,
  ...Object.values(BENCHMARKS).filter(({ rule }) => rule === undefined).map((benchmark) =>
    defineCommand({
      name: `bench ${benchmark.name}`,
      brief: `Score a judge on ${
        benchmark.name === "preferences" ? "preference pairs of your own" : benchmark.title
      }`,
      options: OPTIONS,
      run: (values, context) => score(benchmark, values, {}, context),
    })
  ),
];
