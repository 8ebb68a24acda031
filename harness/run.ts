/**
 * Runs a benchmark: the entry for commands and programs.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { rename, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Baseline, isScorer, type Judge, type Scorer } from "rm-r1/judge";
import type { AnswerOptions, Progress } from "./answers.ts";
import type { BenchItem, Benchmark, ItemOutcome } from "./benchmark.ts";
import { averageRows, estimate, type EstimateOptions, type Estimates } from "./figures.ts";
import { Journal } from "./journal.ts";
import {
  baselineScores,
  isRead,
  type JudgedItem,
  judgeItems,
  type JudgeItemsOptions,
  outcomesByOrder,
  outcomesByRule,
  outcomesOfScores,
  type ScoredItem,
  scoreItems,
  type Treatment,
} from "./outcomes.ts";
import {
  type BenchResult,
  type Floor,
  type Orders,
  type PairwiseFigures,
  RESULT_FILE,
  type Treatments,
} from "./result.ts";
import { stratifiedSample } from "./sample.ts";
import { wilsonInterval } from "./statistics.ts";

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
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/** What a judge came to, and what belongs to its kind. */
type Measured = Pick<BenchResult, "judgements" | "pairwise" | "ties" | "failures" | "treatments"> & {
  readonly estimates: Estimates;
  /** Share of the judgements that could be read. */
  readonly rate: number;
};

/**
 * Scores a judge on a benchmark and stores the journal and the result in the run's directory. A run that was broken off
 * goes on where it stopped when it is called again with the same directory.
 *
 * @throws {BenchmarkDataError} The data cannot be read.
 * @throws {RunMismatchError} The directory is another judge's.
 * @throws {UnansweredError} The judge failed on some calls: a figure would count them as its answers, so there is none.
 */
export async function runBenchmark(benchmark: Benchmark, options: RunOptions): Promise<BenchResult> {
  const { data, judge, directory, limit, seed = 0, orders = "both", votes = 1 } = options;
  const started = performance.now();
  const set = await benchmark.load(data);
  const items = limit === undefined ? set.items : stratifiedSample(set.items, {
    limit,
    seed,
    stratumOf: ({ subset }) => subset,
    keyOf: ({ key }) => key,
  });
  const header = {
    benchmark: benchmark.name,
    judge: judge.identity,
    data: set.files,
    options: { limit: limit ?? null, seed, orders, votes },
  };
  using journal = await Journal.open(directory, header);
  const { signal, onProgress } = options;
  const answering = { journal, ...(signal && { signal }), ...(onProgress && { onProgress }) };
  const scorer = isScorer(judge);
  const measured = scorer
    ? await measureScorer(benchmark, judge, items, { ...answering, seed })
    : await measureJudge(benchmark, judge, items, { ...answering, seed, orders, votes });
  const { estimates: { overall, ...figures }, rate, ...kind } = measured;
  const missing = missingParts(benchmark, items);
  const result: BenchResult = {
    benchmark: benchmark.name,
    scope: scopeOf(benchmark, missing, items.length < set.items.length),
    missing,
    malformed: set.malformed,
    identical: identicalPairs(items),
    judge: { name: judge.name, identity: judge.identity },
    data: { path: resolve(data), files: set.files },
    seed,
    limit: limit ?? null,
    orders: scorer ? null : orders,
    votes: scorer ? 1 : votes,
    items: items.length,
    overall: overall.score,
    low: overall.low,
    high: overall.high,
    ...figures,
    parsed: { rate, interval: wilsonInterval(rate * items.length, items.length) },
    ...kind,
    floors: measureFloors(benchmark, judge.name, items, seed),
    unreadableLines: journal.unreadable,
    seconds: (performance.now() - started) / 1000,
  };
  await replaceFile(join(directory, RESULT_FILE), `${JSON.stringify(result, null, 2)}\n`);
  return result;
}

function scopeOf({ sizes }: Benchmark, missing: readonly string[], isSample: boolean): BenchResult["scope"] {
  if (isSample) return "sample";
  if (sizes === null) return "own";
  return missing.length === 0 ? "full" : "partial";
}

/** What is missing from the whole benchmark, a line for each subset; empty where all is there. */
export function missingParts({ sizes }: Benchmark, items: readonly BenchItem[]): string[] {
  const have = new Map(Object.keys(sizes ?? {}).map((subset) => [subset, 0]));
  for (const { subset } of items) have.set(subset, (have.get(subset) ?? 0) + 1);
  return Object.entries(sizes ?? {}).flatMap(([subset, want]) =>
    have.get(subset) === want ? [] : [`${subset}: ${have.get(subset)} of ${want} items`]
  );
}

/** Keys of items whose compared answers are the same text. */
function identicalPairs(items: readonly BenchItem[]): string[] {
  return items.filter(({ answers, pairs }) =>
    pairs.some(([better, worse]) => answers[better]!.text === answers[worse]!.text)
  ).map(({ key }) => key);
}

function share(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole;
}

function treatmentsOf(
  benchmark: Benchmark,
  judgings: (treatment: Treatment) => readonly (readonly ItemOutcome[])[],
  options: EstimateOptions,
): { readonly estimates: Estimates; readonly treatments: Treatments } {
  const under = (treatment: Treatment): Estimates | null =>
    estimate(benchmark, averageRows(benchmark, judgings(treatment)), options);
  const [wrong, excluded, tie] = [under("wrong"), under("excluded"), under("tie")];
  if (wrong === null || tie === null) throw new RangeError("There are no items, expected one or more");
  const treatments = { wrong: wrong.overall, excluded: excluded?.overall ?? null, tie: tie.overall };
  return { estimates: wrong, treatments };
}

async function measureJudge(
  benchmark: Benchmark,
  judge: Judge,
  items: readonly BenchItem[],
  options: JudgeItemsOptions,
): Promise<Measured> {
  const judged = await judgeItems(judge, items, options);
  const all = judged.flatMap(({ pairs }) => pairs.flat());
  const read = all.filter(({ judgement }) => isRead(judgement.outcome)).length;
  const failures: Record<string, number> = {};
  for (const { judgement: { outcome } } of all) {
    if ("reason" in outcome) failures[outcome.reason] = (failures[outcome.reason] ?? 0) + 1;
  }
  const judgings = (treatment: Treatment): ItemOutcome[][] =>
    benchmark.orderRule === undefined
      ? outcomesByOrder(judged, treatment)
      : [outcomesByRule(judged, benchmark.orderRule)];
  return {
    ...treatmentsOf(benchmark, judgings, options),
    rate: read / all.length,
    judgements: all.length,
    pairwise: pairwiseFigures(benchmark, judged),
    ties: null,
    failures,
  };
}

function pairwiseFigures(benchmark: Benchmark, judged: readonly JudgedItem[]): PairwiseFigures {
  const overall = (outcomes: readonly ItemOutcome[]): number | null =>
    estimate(benchmark, averageRows(benchmark, [outcomes]), { seed: 0, replicates: 0 })?.overall.score ??
      null;
  const pairs = judged.flatMap((item) => item.pairs);
  const judgements = pairs.flat().map(({ judgement }) => judgement);
  const readable = pairs.filter((placed) =>
    placed.length === 2 && placed.every(({ judgement }) => isRead(judgement.outcome))
  );
  const isRight = ({ gold, judgement }: (typeof pairs)[number][number]): boolean =>
    judgement.outcome.kind === gold;
  const flips = readable.filter(([first, second]) => isRight(first!) !== isRight(second!)).length;
  const picks = judgements.filter(({ outcome }) => isRead(outcome));
  const total = (field: "tokens" | "promptTokens"): number =>
    judgements.reduce((sum, judgement) => sum + judgement[field], 0);
  return {
    first: overall(outcomesByOrder(judged, "wrong")[0]!)!,
    allOrders: overall(outcomesByRule(judged, "all"))!,
    consistent: readable.length === 0 ? null : overall(outcomesByRule(judged, "consistent")),
    readable: readable.length,
    flips,
    firstPlaceShare: share(picks.filter(({ outcome }) => outcome.kind === "A").length, picks.length),
    cut: judgements.filter(({ finish }) => finish === "length" || finish === "context").length,
    tokens: total("tokens"),
    promptTokens: total("promptTokens"),
  };
}

async function measureScorer(
  benchmark: Benchmark,
  scorer: Scorer,
  items: readonly BenchItem[],
  options: AnswerOptions & EstimateOptions,
): Promise<Measured> {
  const scored = await scoreItems(scorer, items, options);
  const comparisons = scored.flatMap(({ item, scores }) =>
    item.pairs.map(([better, worse]) => [scores[better]!, scores[worse]!] as const)
  );
  const read = comparisons.filter(([better, worse]) => better !== null && worse !== null);
  return {
    ...treatmentsOf(benchmark, (treatment) => [outcomesOfScores(scored, treatment)], options),
    rate: read.length / comparisons.length,
    judgements: comparisons.length,
    pairwise: null,
    ties: read.filter(([better, worse]) => better === worse).length,
    failures: read.length === comparisons.length
      ? {}
      : { "prompt-too-long": comparisons.length - read.length },
  };
}

/** The baselines' figures, without the judge itself where it is one. */
function measureFloors(
  benchmark: Benchmark,
  name: string,
  items: readonly BenchItem[],
  seed: number,
): Floor[] {
  const baselines = [Baseline.longest(), Baseline.shortest(), Baseline.random(seed)];
  return baselines.filter((baseline) => baseline.name !== name).map((baseline) =>
    floorOf(benchmark, baseline.name, baselineScores(baseline, items), seed)
  );
}

function floorOf(benchmark: Benchmark, judge: string, scored: readonly ScoredItem[], seed: number): Floor {
  const rows = averageRows(benchmark, [outcomesOfScores(scored, "wrong")]);
  const { overall, sections } = estimate(benchmark, rows, { seed })!;
  const scores = Object.entries(sections).map(([section, { score }]) => [section, score] as const);
  return { judge, overall, sections: Object.fromEntries(scores) };
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
