/**
 * RM-Bench's figures from the nine comparisons of each item.
 *
 * @module
 */
import { bootstrapIntervals, type StratumSums, sumStrata } from "../statistics.ts";
import { type Domain, DOMAINS } from "./items.ts";

/**
 * Which cells count as what.
 *
 * - `standard`: the paper's. hard = (M01 + M02 + M12)/3, normal = the diagonal, easy = (M10 + M20 + M21)/3.
 * - `released`: the evaluation script released with RM-R1 reads one of its three result files twice, so that M02, M10
 *   and M21 also stand in for M01, M12 and M20. hard = (2·M02 + M10)/3, easy = (M10 + 2·M21)/3.
 */
export type Rule = "standard" | "released";

/** All rules. */
export const RULES: readonly Rule[] = ["standard", "released"];

/** For each cell of the matrix, row by row, the cell that is read in its place. */
const READ: { readonly [rule in Rule]: readonly number[] } = {
  standard: [0, 1, 2, 3, 4, 5, 6, 7, 8],
  released: [0, 2, 2, 3, 4, 3, 7, 7, 8],
};

/** How much the styles help: the better answer's is plainer than, equal to or more elaborate than the worse one's. */
export type Level = "hard" | "normal" | "easy";

/** The cells of each level. */
const LEVEL_CELLS: { readonly [level in Level]: readonly number[] } = {
  hard: [1, 2, 5],
  normal: [0, 4, 8],
  easy: [3, 6, 7],
};

/** All levels. */
export const LEVELS: readonly Level[] = ["hard", "normal", "easy"];

/** An item's nine comparisons. */
export interface ScoredItem {
  readonly domain: Domain;
  /** Cell 3i + j: how far chosen_i beat rejected_j, 0 to 1; failures to judge are 0. */
  readonly cells: readonly number[];
  /** Judgements, those that could be read, and of these the right ones. */
  readonly judged: number;
  readonly parsed: number;
  readonly right: number;
}

/** A figure with its 95 % interval by the clustered bootstrap; null where there are too few items for one. */
export interface Estimate {
  readonly score: number;
  readonly low: number | null;
  readonly high: number | null;
}

/** Figures of a domain. */
export interface DomainFigures {
  readonly hard: number;
  readonly normal: number;
  readonly easy: number;
  /** Mean of the nine cells. */
  readonly mean: number;
  readonly low: number | null;
  readonly high: number | null;
  /** Items. */
  readonly n: number;
  /** Share of the judgements that could be read which is right; null where none could. */
  readonly parsedAccuracy: number | null;
  /** Share of the judgements that could be read. */
  readonly parseRate: number;
}

/** Figures of all items. */
export interface Figures {
  /** Of the domains that have items. */
  readonly domains: { readonly [domain in Domain]?: DomainFigures };
  /** Mean of the domains at each level. */
  readonly levels: { readonly [level in Level]: Estimate };
  /** Mean of the domains, and so of the levels. */
  readonly overall: Estimate;
  /** Mean of the domains' parsed accuracies; null where one of them has none. */
  readonly parsedAccuracy: Estimate | null;
}

/** Options of {@link figuresOf}. */
export interface FiguresOptions {
  /** Default `standard`. */
  readonly rule?: Rule;
  /** Of the bootstrap. Default 0. */
  readonly seed?: number;
  /** Of the bootstrap; 0 gives no intervals. Default 2000. */
  readonly replicates?: number;
}

/** The largest gap that rounding may leave between two routes to the same mean. */
const ROUNDING = 1e-9;

/** Measures of an item, in the order of {@link MEASURE}. */
function measures({ cells, judged, parsed, right }: ScoredItem, rule: Rule): number[] {
  const read = READ[rule].map((cell) => cells[cell]!);
  const levels = LEVELS.map((level) => LEVEL_CELLS[level].reduce((sum, cell) => sum + read[cell]!, 0) / 3);
  return [...levels, read.reduce((sum, cell) => sum + cell, 0) / 9, right, parsed, judged];
}

const MEASURE = { hard: 0, normal: 1, easy: 2, mean: 3, right: 4, parsed: 5, judged: 6 } as const;

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/**
 * Means, levels and overall. A domain counts once however many items it has, and the safety subsets are one domain.
 *
 * @throws {RangeError} There are no items.
 * @throws {Error} The mean of the domains is not that of the levels: a fault of this software.
 */
export function figuresOf(items: readonly ScoredItem[], options: FiguresOptions = {}): Figures {
  const { rule = "standard", seed = 0, replicates = 2000 } = options;
  if (items.length === 0) throw new RangeError("No items, expected one or more");
  const present = DOMAINS.filter((domain) => items.some((item) => item.domain === domain));
  const strata = present.map((domain) =>
    items.filter((item) => item.domain === domain).map((item) => measures(item, rule))
  );
  const sizes = strata.map((rows) => rows.length);

  const statistics = (sums: StratumSums): number[] => {
    const means = sums.map((sum, at) => sum[MEASURE.mean]! / sizes[at]!);
    const levels = LEVELS.map((level) => average(sums.map((sum, at) => sum[MEASURE[level]]! / sizes[at]!)));
    const parsed = average(sums.map((sum) => sum[MEASURE.right]! / sum[MEASURE.parsed]!));
    return [average(means), parsed, ...levels, ...means];
  };
  const sums = sumStrata(strata);
  const [overall, parsed, ...rest] = statistics(sums) as [number, number, ...number[]];
  const gap = Math.abs(overall - average(rest.slice(0, LEVELS.length)));
  if (!(gap <= ROUNDING)) {
    throw new Error(`Mean of the domains and of the levels differ by "${gap}", expected 0`);
  }

  const intervals = replicates === 0 ? [] : bootstrapIntervals(strata, statistics, { seed, replicates });
  const enough = sizes.every((size) => size > 1);
  const estimate = (score: number, at: number, ok = enough): Estimate => {
    const [low, high] = (ok && intervals[at]) || [null, null];
    return { score, low, high };
  };
  const domains = present.map((domain, at) => {
    const sum = sums[at]!;
    const n = sizes[at]!;
    const { score, low, high } = estimate(rest[LEVELS.length + at]!, 2 + LEVELS.length + at, n > 1);
    const levels = LEVELS.map((level) => [level, sum[MEASURE[level]]! / n]);
    const readable = sum[MEASURE.parsed]!;
    return [domain, {
      ...Object.fromEntries(levels) as Record<Level, number>,
      mean: score,
      low,
      high,
      n,
      parsedAccuracy: readable === 0 ? null : sum[MEASURE.right]! / readable,
      parseRate: readable / sum[MEASURE.judged]!,
    }] as const;
  });
  return {
    domains: Object.fromEntries(domains),
    levels: Object.fromEntries(
      LEVELS.map((level, at) => [level, estimate(rest[at]!, 2 + at)]),
    ) as Figures["levels"],
    overall: estimate(overall, 0),
    parsedAccuracy: Number.isNaN(parsed) ? null : estimate(parsed, 1),
  };
}
