/**
 * `bench NAME`: scores a judge on a benchmark.
 *
 * @module
 */
import { join } from "node:path";
import process from "node:process";
import {
  type Benchmark,
  BENCHMARKS,
  formatResult,
  ORDERS,
  progressPrinter,
  RESULT_FILE,
  RM_BENCH_RULES,
  rmBench,
  runBenchmark,
} from "rm-r1-harness";
import { UsageError } from "./errors.ts";
import { JUDGE_OPTIONS, openNamedJudge } from "./judges.ts";
import { KeyValueMemory } from "./memory.ts";
import {
  anyText,
  type Command,
  type Context,
  defaulted,
  defineCommand,
  type JsonObject,
  oneOf,
  optional,
  required,
  type Values,
  wholeNumber,
} from "./parser.ts";
import { benchRunName, RUNS } from "./run_names.ts";

const OPTIONS = {
  data: required(
    "--data",
    anyText("PATH"),
    "Folder with the benchmark's files as upstream has them, or one of them",
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
};

/** @param settings of the benchmark itself, which the run's folder is named by, too */
async function score(
  benchmark: Benchmark,
  { data, limit, orders, votes, batch, directory, ...choice }: Values<typeof OPTIONS>,
  settings: JsonObject,
  { out, log, signal }: Context,
): Promise<JsonObject> {
  if (votes > 1 && choice.temperature === 0) {
    throw new UsageError("At a temperature of 0 all samples are alike: give --temperature with --votes");
  }
  using memory = new KeyValueMemory(log);
  await using opened = await openNamedJudge({ ...choice, maxConcurrent: batch, onSummary: memory.see });
  const { seed } = choice;
  const asked = { data, judge: opened.identity, limit: limit ?? null, seed, orders, votes, ...settings };
  const folder = directory ?? join(RUNS, benchRunName(benchmark.name, choice.judge, asked));
  log(`run ${folder}\n`);
  const result = await runBenchmark(benchmark, {
    data,
    judge: opened,
    directory: folder,
    ...(limit !== undefined && { limit }),
    seed,
    orders,
    votes,
    signal,
    onProgress: progressPrinter({ isTTY: process.stderr.isTTY ?? false, write: log }),
  });
  out(`${formatResult(benchmark, result)}\n\nStored in ${join(folder, RESULT_FILE)}\n`);
  return result as unknown as JsonObject;
}

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
  benchRmBench,
  ...Object.values(BENCHMARKS).filter(({ name }) => name !== "rm-bench").map((benchmark) =>
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
