/**
 * Reads a run back from its directory: what was judged, and how each judgement came out.
 *
 * @module
 */
import { readFile, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type Verdict, VERDICT_RULES, type VerdictRule } from "rm-r1/cor";
import { UNANSWERED } from "./answers.ts";
import type { BenchItem, Benchmark, BenchSet } from "./benchmark.ts";
import { BenchmarkDataError } from "./benchmark.ts";
import { BENCHMARKS } from "./benchmarks.ts";
import {
  type CallLabel,
  JOURNAL_FILE,
  type JournalLine,
  readJournal,
  type StoredJudgement,
} from "./journal.ts";
import { type Answers, scoredItems } from "./measure.ts";
import { callsOf, type JudgedItem, judgedItems } from "./outcomes.ts";
import { type BenchResult, RESULT_FILE, type RunSettings } from "./result.ts";
import { rewardBench, REWARDBENCH_RULES } from "./rewardbench/benchmark.ts";
import { RM_BENCH_RULES, rmBench } from "./rm_bench/benchmark.ts";

/** A run as it is stored. */
export interface StoredRun {
  readonly directory: string;
  readonly result: BenchResult;
  readonly benchmark: Benchmark;
  readonly set: BenchSet;
  readonly items: readonly BenchItem[];
  readonly answers: Answers;
  /**
   * What was written of a judgement: by {@link labelKey}; empty unless texts were asked for, and of a judge that scores.
   */
  readonly texts: ReadonlyMap<string, string>;
}

/** Options of {@link readStoredRun}. */
export interface StoredRunOptions {
  /** Where the data are, if no longer where the run read them. */
  readonly data?: string;
  /** Keep what the judge wrote. Default false. */
  readonly texts?: boolean;
  /** Reads each verdict anew from its text. Default: what was read when the judgement was made. */
  readonly reread?: (text: string, options: { readonly thinking: "optional" | "required" }) => Verdict;
}

/** A directory that holds no finished run. */
export class StoredRunError extends Error {
  override readonly name = "StoredRunError";
}

/** A judgement's name within a run. `gold`: the place of the better answer; `sample` from 0. */
export function labelKey({ item, pair, gold, sample }: CallLabel): string {
  return JSON.stringify([item, pair, gold, sample]);
}

/**
 * Reads a finished run. Its data are read again: the journal holds what was answered, not what was asked.
 *
 * @throws {StoredRunError} There is no finished run, or its journal lacks an answer.
 * @throws {BenchmarkDataError} The data cannot be read, or are not those of the run.
 */
export async function readStoredRun(directory: string, options: StoredRunOptions = {}): Promise<StoredRun> {
  const result = await readResult(directory);
  const benchmark = storedBenchmark(result);
  const data = options.data ?? result.data.path;
  const set = await benchmark.load(data);
  refuseOtherData(set, result, data);
  const items = scoredItems(set, result);
  const path = join(directory, JOURNAL_FILE);
  const about = { directory, result, benchmark, set, items };
  if (result.orders === null) {
    const scores = await readScores(path);
    const scored = items.map((item) => ({
      item,
      scores: item.answers.map((_, answer) =>
        known(scores, JSON.stringify([item.key, answer]), path, `answer ${answer} of item "${item.key}"`)
      ),
    }));
    return { ...about, answers: { kind: "scores", scored }, texts: new Map() };
  }
  const calls = callsOf(items, { ...result, orders: result.orders });
  const { judgements, texts } = await readJudgements(path, options);
  const counted = (result.failures["unanswered"] ?? 0) > 0;
  const answers = calls.flat(3).map(({ about: label }) => {
    const key = labelKey(label);
    return counted && !judgements.has(key) ? UNANSWERED : known(judgements, key, path, JSON.stringify(label));
  });
  return { ...about, answers: { kind: "pairs", judged: judgedItems(items, calls, answers) }, texts };
}

/**
 * Reads a run's result.
 *
 * @throws {StoredRunError} There is none.
 */
export async function readResult(directory: string): Promise<BenchResult> {
  const path = join(directory, RESULT_FILE);
  const text = await readFile(path, "utf8").catch(() => null);
  if (text === null) {
    const there = await stat(join(directory, JOURNAL_FILE)).then(() => true, () => false);
    throw new StoredRunError(
      there
        ? `Run "${directory}" was broken off: the command that began it goes on from there`
        : `No run in "${directory}", expected a folder with "${RESULT_FILE}"`,
    );
  }
  let content: Partial<BenchResult>;
  try {
    content = JSON.parse(text);
  } catch {
    throw new StoredRunError(`File "${path}" is not JSON, expected a run's result`);
  }
  const { benchmark } = content;
  if (benchmark === undefined || !(benchmark in BENCHMARKS)) {
    const names = Object.keys(BENCHMARKS).map((name) => `"${name}"`).join(", ");
    throw new StoredRunError(`File "${path}" has benchmark "${benchmark}", expected one of ${names}`);
  }
  return content as BenchResult;
}

/** The benchmark of a result, by its rule. */
export function storedBenchmark({ benchmark, rule }: BenchResult): Benchmark {
  if (benchmark === "rm-bench") return rmBench(RM_BENCH_RULES.find((name) => name === rule));
  if (benchmark === "rewardbench") return rewardBench(REWARDBENCH_RULES.find((name) => name === rule));
  return BENCHMARKS[benchmark];
}

function refuseOtherData({ files }: BenchSet, { data, benchmark }: BenchResult, path: string): void {
  for (const [file, hash] of Object.entries(data.files)) {
    if (files[file] === hash) continue;
    throw new BenchmarkDataError(
      `File "${file}" of ${benchmark} in "${resolve(path)}" has SHA-256 "${files[file] ?? "none"}", ` +
        `expected "${hash}", which the run has read`,
    );
  }
}

function known<T>(answers: ReadonlyMap<string, T>, key: string, path: string, what: string): T {
  const answer = answers.get(key);
  if (answer === undefined) throw new StoredRunError(`Journal "${path}" has no answer to ${what}`);
  return answer;
}

async function* readAnswers(path: string): AsyncGenerator<Exclude<JournalLine, { type: "run" | "failure" }>> {
  for await (const line of readJournal(path)) {
    if (line !== null && line.type !== "run" && line.type !== "failure") yield line;
  }
}

async function readScores(path: string): Promise<Map<string, number | null>> {
  const byKey = new Map<string, number | null>();
  const scores = new Map<string, number | null>();
  for await (const line of readAnswers(path)) {
    if (line.type === "score") byKey.set(line.key, line.score);
    const score = byKey.get(line.key);
    if (score !== undefined) scores.set(JSON.stringify([line.about["item"], line.about["answer"]]), score);
  }
  return scores;
}

/**
 * A run's judgements with each verdict read anew from its text.
 *
 * @param settings that decided the calls; one without an answer is no verdict
 */
export async function rereadJudgements(
  directory: string,
  items: readonly BenchItem[],
  settings: Pick<RunSettings, "orders" | "seed" | "votes">,
  rule: VerdictRule,
): Promise<JudgedItem[]> {
  const path = join(directory, JOURNAL_FILE);
  const calls = callsOf(items, settings);
  const { judgements } = await readJudgements(path, { reread: VERDICT_RULES[rule] });
  const answers = calls.flat(3).map(({ about }) => judgements.get(labelKey(about)) ?? UNANSWERED);
  return judgedItems(items, calls, answers);
}

/** Judgements, and their texts where they are asked for, by {@link labelKey}. */
async function readJudgements(
  path: string,
  { texts: keep = false, reread }: StoredRunOptions,
): Promise<{ readonly judgements: Map<string, StoredJudgement>; readonly texts: Map<string, string> }> {
  const byKey = new Map<string, { readonly judgement: StoredJudgement; readonly text: string }>();
  const judgements = new Map<string, StoredJudgement>();
  const texts = new Map<string, string>();
  for await (const line of readAnswers(path)) {
    if (line.type === "judgement") {
      const { type: _, key, about: __, text, ...stored } = line;
      const isText = reread !== undefined && stored.outcome.kind !== "none";
      const judgement = isText
        ? { ...stored, outcome: reread(text, { thinking: stored.thinking ?? "optional" }) }
        : stored;
      byKey.set(key, { judgement, text: keep ? text : "" });
    }
    const answer = byKey.get(line.key);
    if (answer === undefined) continue;
    judgements.set(labelKey(line.about), answer.judgement);
    if (keep) texts.set(labelKey(line.about), answer.text);
  }
  return { judgements, texts };
}
