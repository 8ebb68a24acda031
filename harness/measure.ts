/**
 * What the answers to a run's calls come to.
 *
 * @module
 */
import { Baseline } from "rm-r1/judge";
import type { BenchItem, Benchmark, BenchSet, ItemOutcome } from "./benchmark.ts";
import { auditOf } from "./audit.ts";
import { calibrationOf } from "./calibration.ts";
import { averageRows, estimate, type EstimateOptions, type Estimates } from "./figures.ts";
import {
  baselineScores,
  isRead,
  type JudgedItem,
  outcomesByOrder,
  outcomesByRule,
  outcomesOfScores,
  type ScoredItem,
  type Treatment,
} from "./outcomes.ts";
import type { BenchResult, Floor, PairwiseFigures, RunSettings, Treatments } from "./result.ts";
import { stratifiedSample } from "./sample.ts";
import { bagOfWordsScores } from "./floors/bag_of_words.ts";
import { sourceOnlyScores } from "./floors/source_only.ts";
import { wilsonInterval } from "./statistics.ts";

/** The answers to a run's calls: of a judge of pairs, or of one that rates each answer alone. */
export type Answers =
  | { readonly kind: "pairs"; readonly judged: readonly JudgedItem[] }
  | { readonly kind: "scores"; readonly scored: readonly ScoredItem[] };

/** What a judge came to, and what belongs to its kind. */
type Measured = Pick<BenchResult, "judgements" | "pairwise" | "ties" | "failures" | "treatments"> & {
  readonly estimates: Estimates;
  /** Share of the judgements that could be read. */
  readonly rate: number;
};

/** The items that a run scores: all, or a stratified sample. */
export function scoredItems(
  { items }: BenchSet,
  { limit, seed }: Pick<RunSettings, "limit" | "seed">,
): readonly BenchItem[] {
  return limit === null ? items : stratifiedSample(items, {
    limit,
    seed,
    stratumOf: ({ subset }) => subset,
    keyOf: ({ key }) => key,
  });
}

/** What {@link resultOf} is told of a run. */
export interface RunAbout {
  readonly judge: BenchResult["judge"];
  /** Path of the data. */
  readonly data: string;
  readonly settings: RunSettings;
  /** What a null score means. Default `prompt-too-long`. */
  readonly unscored?: string;
  /** The judgements as the benchmark's own script reads them, where it has one for judges of pairs. */
  readonly upstream?: readonly JudgedItem[];
  readonly unreadableLines: number;
  readonly seconds: number;
}

/** What the answers come to. */
export function resultOf(
  benchmark: Benchmark,
  set: BenchSet,
  answers: Answers,
  { judge, data, settings, unscored = "prompt-too-long", upstream, unreadableLines, seconds }: RunAbout,
): BenchResult {
  const items = (answers.kind === "pairs" ? answers.judged : answers.scored).map(({ item }) => item);
  const { seed, limit, orders, votes } = settings;
  const { estimates: { overall, ...figures }, rate, ...kind } = answers.kind === "pairs"
    ? measureJudged(benchmark, answers.judged, { seed })
    : measureScored(benchmark, answers.scored, unscored, { seed });
  const missing = missingParts(benchmark, items);
  return {
    benchmark: benchmark.name,
    ...(benchmark.rule !== undefined && { rule: benchmark.rule }),
    scope: scopeOf(benchmark, missing, items.length < set.items.length),
    missing,
    malformed: set.malformed,
    identical: identicalPairs(items),
    judge,
    data: { path: data, files: set.files },
    seed,
    limit,
    orders: answers.kind === "scores" ? null : orders,
    votes: answers.kind === "scores" ? 1 : votes,
    items: items.length,
    overall: overall.score,
    low: overall.low,
    high: overall.high,
    ...figures,
    parsed: { rate, interval: wilsonInterval(rate * items.length, items.length) },
    ...kind,
    upstream: upstream === undefined ? null : upstreamFigure(benchmark, upstream),
    calibration: answers.kind === "pairs" ? calibrationOf(answers.judged) : null,
    audit: auditOf(
      answers.kind === "pairs"
        ? outcomesByOrder(answers.judged, "wrong")
        : [outcomesOfScores(answers.scored, "wrong")],
    ),
    floors: measureFloors(benchmark, judge.name, items, seed),
    unreadableLines,
    seconds,
  };
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

/** The figure of the benchmark's own script: one order, its rule for verdicts, and its worth of an error. */
function upstreamFigure(benchmark: Benchmark, judged: readonly JudgedItem[]): BenchResult["upstream"] {
  if (benchmark.upstream === undefined) return null;
  const { rule, errors } = benchmark.upstream;
  const outcomes = benchmark.orderRule === undefined
    ? outcomesByOrder(judged, errors)[0]!
    : outcomesByRule(judged, benchmark.orderRule);
  const found = estimate(benchmark, averageRows(benchmark, [outcomes]), { seed: 0, replicates: 0 });
  return { rule, errors, overall: found!.overall.score };
}

function measureJudged(
  benchmark: Benchmark,
  judged: readonly JudgedItem[],
  options: EstimateOptions,
): Measured {
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

function measureScored(
  benchmark: Benchmark,
  scored: readonly ScoredItem[],
  unscored: string,
  options: EstimateOptions,
): Measured {
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
    failures: read.length === comparisons.length ? {} : { [unscored]: comparisons.length - read.length },
  };
}

/** Items below which nothing is learnt from them. */
const FEWEST_LEARNT_FROM = 20;

/** The baselines' figures, without the judge itself where it is one; where there are items enough, the learnt ones'. */
function measureFloors(
  benchmark: Benchmark,
  name: string,
  items: readonly BenchItem[],
  seed: number,
): Floor[] {
  const baselines = [Baseline.longest(), Baseline.shortest(), Baseline.random(seed)];
  const floors = baselines.filter((baseline) => baseline.name !== name).map((baseline) =>
    floorOf(benchmark, baseline.name, baselineScores(baseline, items), seed)
  );
  if (items.length < FEWEST_LEARNT_FROM) return floors;
  const sources = sourceOnlyScores(items, seed);
  return [
    ...floors,
    floorOf(benchmark, "floor:bag-of-words", bagOfWordsScores(items, seed), seed),
    ...(sources === null ? [] : [floorOf(benchmark, "floor:source", sources, seed)]),
  ];
}

function floorOf(benchmark: Benchmark, judge: string, scored: readonly ScoredItem[], seed: number): Floor {
  const rows = averageRows(benchmark, [outcomesOfScores(scored, "wrong")]);
  const { overall, sections } = estimate(benchmark, rows, { seed })!;
  const scores = Object.entries(sections).map(([section, { score }]) => [section, score] as const);
  return { judge, overall, sections: Object.fromEntries(scores) };
}
