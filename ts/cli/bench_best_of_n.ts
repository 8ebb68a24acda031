/**
 * `bench best-of-n NAME`: how often a judge finds the best of several answers.
 *
 * @module
 */
import { join } from "node:path";
import process from "node:process";
import {
  BENCHMARKS,
  fetchedData,
  formatBestOfN,
  measureBestOfN,
  ORDERS,
  progressPrinter,
} from "rm-r1-harness";
import { BEST_OF_N_METHODS } from "../judge/mod.ts";
import { UsageError } from "./errors.ts";
import { JUDGE_OPTIONS, openNamedJudge } from "./judges.ts";
import { KeyValueMemory } from "./memory.ts";
import {
  anyText,
  type Command,
  defaulted,
  defineCommand,
  type JsonObject,
  oneOf,
  optional,
  positional,
  wholeNumber,
} from "./parser.ts";
import { benchRunName, RUNS } from "./run_names.ts";

/** Those whose items can have one best answer among several. */
const NAMES = ["rmb", "rewardbench-2"] as const;

/** The command. */
export const benchBestOfN: Command = defineCommand({
  name: "bench best-of-n",
  brief: "Have a judge find the best of several answers, by knockout or by all pairs",
  options: {
    name: positional(oneOf(NAMES), "The benchmark"),
    data: optional("--data", anyText("PATH"), "As for bench NAME; what fetch brought if not given"),
    ...JUDGE_OPTIONS,
    method: defaulted("--method", oneOf(BEST_OF_N_METHODS), "knockout", "How answers meet"),
    limit: optional("--limit", wholeNumber({ min: 1 }), "Take a stratified sample of so many questions"),
    orders: defaulted("--orders", oneOf(ORDERS), "both", "Judge each pair in both orders, or once"),
    batch: defaulted("--batch", wholeNumber({ min: 1 }), 32, "Most judgements generated at once"),
    directory: optional(
      "--out",
      anyText("DIR"),
      "Folder of the run; what it holds already is not asked again",
    ),
  },
  async run({ name, data: given, method, limit, orders, batch, directory, ...choice }, { out, log, signal }) {
    const benchmark = BENCHMARKS[name];
    const data = given ?? await fetchedData(name);
    if (data === null) {
      throw new UsageError(
        `No data of ${benchmark.title}: fetch them with deno task fetch ${name}, or give --data`,
      );
    }
    using memory = new KeyValueMemory(log);
    await using judge = await openNamedJudge(choice, { maxConcurrent: batch, onSummary: memory.see }, log);
    const asked = { data, judge: judge.identity, limit: limit ?? null, seed: choice.seed, orders, method };
    const folder = directory ??
      join(RUNS, benchRunName(`best-of-n-${name}`, choice.model ?? choice.judge, asked));
    log(`run ${folder}\n`);
    const result = await measureBestOfN(benchmark, {
      data,
      judge,
      directory: folder,
      method,
      orders,
      seed: choice.seed,
      ...(limit !== undefined && { limit }),
      signal,
      onProgress: progressPrinter({ isTTY: process.stderr.isTTY ?? false, write: log }),
    });
    out(`${formatBestOfN(benchmark, result)}\n`);
    return result as unknown as JsonObject;
  },
});
