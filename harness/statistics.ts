/**
 * Intervals for what a harness measures.
 *
 * @module
 */
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

/** Bounds of a 95 % interval. */
export type Interval = readonly [low: number, high: number];

/** The 97.5 % quantile of the standard normal distribution. */
const Z = 1.959963984540054;

/**
 * Wilson's 95 % score interval of a proportion (Wilson 1927).
 *
 * @param successes may be fractional
 * @param trials at least 1; where trials come in clusters, their number of clusters is the cautious choice
 */
export function wilsonInterval(successes: number, trials: number): Interval {
  if (!(trials >= 1 && successes >= 0 && successes <= trials)) {
    throw new RangeError(
      `Proportion is "${successes}/${trials}", expected 0 ≤ successes ≤ trials and trials ≥ 1`,
    );
  }
  const share = successes / trials;
  const square = Z * Z;
  const centre = (share + square / (2 * trials)) / (1 + square / trials);
  const half = (Z / (1 + square / trials)) *
    Math.sqrt((share * (1 - share)) / trials + square / (4 * trials * trials));
  return [successes === 0 ? 0 : centre - half, successes === trials ? 1 : centre + half];
}

/** Items by stratum; an item is a row of measures, as many for every item. */
export type Strata = readonly (readonly (readonly number[])[])[];

/** Sum of each measure over each stratum's items. */
export type StratumSums = readonly Float64Array[];

/** Options of {@link bootstrapIntervals}. */
export interface BootstrapOptions {
  readonly seed: number;
  /** Default 2000. */
  readonly replicates?: number;
}

/** Sums of all items, as {@link bootstrapIntervals} gives those of its replicates. */
export function sumStrata(strata: Strata): StratumSums {
  return strata.map((items) => {
    const sums = new Float64Array(items[0]?.length ?? 0);
    for (const item of items) for (let at = 0; at < sums.length; at++) sums[at]! += item[at]!;
    return sums;
  });
}

/**
 * 95 % percentile intervals by the clustered bootstrap (Efron and Tibshirani 1993): whole items are drawn with
 * replacement within their stratum, so that the measures of one item stay together and each stratum keeps its size.
 *
 * @param statistics gives the figures of one replicate from its sums
 * @returns one a figure; null for a figure that is not finite in some replicate
 */
export function bootstrapIntervals(
  strata: Strata,
  statistics: (sums: StratumSums) => readonly number[],
  { seed, replicates = 2000 }: BootstrapOptions,
): (Interval | null)[] {
  const random = xoroshiro128plus(seed);
  const rows = strata.map((items) => items.map((item) => Float64Array.from(item)));
  const figures: number[][] = [];
  const sums = rows.map((items) => new Float64Array(items[0]?.length ?? 0));
  for (let replicate = 0; replicate < replicates; replicate++) {
    for (const [stratum, items] of rows.entries()) {
      const sum = sums[stratum]!.fill(0);
      for (let draw = 0; draw < items.length; draw++) {
        const item = items[uniformInt(random, 0, items.length - 1)]!;
        for (let at = 0; at < sum.length; at++) sum[at]! += item[at]!;
      }
    }
    figures.push([...statistics(sums)]);
  }
  return (figures[0] ?? []).map((_, at) => {
    const values = Float64Array.from(figures, (figure) => figure[at]!).sort();
    return values.every(Number.isFinite) ? [quantile(values, 0.025), quantile(values, 0.975)] : null;
  });
}

/** Quantile of sorted values, linear between neighbours. */
function quantile(sorted: Float64Array, share: number): number {
  const at = share * (sorted.length - 1);
  const low = sorted[Math.floor(at)]!;
  return low + (sorted[Math.ceil(at)]! - low) * (at - Math.floor(at));
}
