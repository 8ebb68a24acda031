/**
 * Runs a benchmark: the entry for commands and programs.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { rename, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { isScorer, type Judge } from "rm-r1/judge";
import type { Progress } from "./answers.ts";
import type { Benchmark } from "./benchmark.ts";
import { Journal } from "./journal.ts";
import { type Answers, resultOf, scoredItems } from "./measure.ts";
import { judgeItems, scoreItems } from "./outcomes.ts";
import { type BenchResult, type Orders, RESULT_FILE } from "./result.ts";
import { rereadJudgements } from "./stored_run.ts";

/** Options of {@link runBenchmark}. */
export interface RunOptions {
  /** Folder with upstream's files, or one of them. */
  readonly data: string;
  readonly judge: Judge;
  /** Directory of the run; what it already holds of this judge is not asked again. */
  readonly directory: string;
  /** Score a stratified sample of this size. Default all items. */
  readonly limit?: number;
  /** Of the sample, the orders, the random floor and the bootstrap. Default 0. */
  readonly seed?: number;
  /** Default `both`. */
  readonly orders?: Orders;
  /** Samples of each judgement, of which the majority counts, of a judge that draws. Default 1. */
  readonly votes?: number;
  /**
   * Counts calls of a judge of pairs that got no answer as no verdict, instead of giving no figure; they are asked again
   * when the run is begun again. Default false.
   */
  readonly countUnanswered?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/**
 * Scores a judge on a benchmark and stores the journal and the result in the run's directory. A run that was broken off
 * goes on where it stopped when it is called again with the same directory.
 *
 * @throws {BenchmarkDataError} The data cannot be read.
 * @throws {RunMismatchError} The directory is another judge's.
 * @throws {UnansweredError} The judge failed on some calls: a figure would count them as its answers, so there is none
 * unless they are to be counted.
 */
export async function runBenchmark(benchmark: Benchmark, options: RunOptions): Promise<BenchResult> {
  const { data, judge, directory, limit = null, seed = 0, orders = "both", votes = 1 } = options;
  const settings = { limit, seed, orders, votes };
  const started = performance.now();
  const set = await benchmark.load(data);
  const items = scoredItems(set, settings);
  const header = {
    benchmark: benchmark.name,
    judge: judge.identity,
    data: set.files,
    options: { ...settings },
  };
  using journal = await Journal.open(directory, header);
  await judge.begin?.(directory);
  const { signal, onProgress, countUnanswered = false } = options;
  const answering = {
    journal,
    countUnanswered,
    ...(signal && { signal }),
    ...(onProgress && { onProgress }),
  };
  const answers: Answers = isScorer(judge)
    ? { kind: "scores", scored: await scoreItems(judge, items, answering) }
    : { kind: "pairs", judged: await judgeItems(judge, items, { ...answering, seed, orders, votes }) };
  const upstream = answers.kind === "pairs" && benchmark.upstream !== undefined
    ? await rereadJudgements(directory, items, settings, benchmark.upstream.rule)
    : undefined;
  const result = resultOf(benchmark, set, answers, {
    judge: { name: judge.name, identity: judge.identity },
    data: resolve(data),
    settings,
    ...(isScorer(judge) && judge.unscored !== undefined && { unscored: judge.unscored }),
    ...(upstream !== undefined && { upstream }),
    unreadableLines: journal.unreadable,
    seconds: (performance.now() - started) / 1000,
  });
  await replaceFile(join(directory, RESULT_FILE), `${JSON.stringify(result, null, 2)}\n`);
  return result;
}

async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await writeFile(temporary, text, { flush: true });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
