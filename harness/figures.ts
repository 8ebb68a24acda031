/**
 * From outcomes to figures with intervals.
 *
 * @module
 */
import type { Benchmark, Figures, ItemOutcome, Row, SubsetSums } from "./benchmark.ts";
import type { BenchResult, Estimate, Section } from "./result.ts";
import { bootstrapIntervals, type StratumSums, sumStrata, wilsonInterval } from "./statistics.ts";

/** Figures of a set of rows, each with its interval. */
export interface Estimates {
  readonly overall: Estimate;
  readonly sections: Readonly<Record<string, Section>>;
  readonly subsets: Readonly<Record<string, Section>>;
  readonly levels: Readonly<Record<string, Estimate>>;
  readonly domains?: NonNullable<BenchResult["domains"]>;
}

/** Options of {@link estimate}. */
export interface EstimateOptions {
  /** Of the bootstrap. */
  readonly seed: number;
  /** Of the bootstrap; 0 gives no intervals. Default 2000. */
  readonly replicates?: number;
}

/** The rows of one or more judgings of the same items, averaged one by one; NaN has no part in an average. */
export function averageRows(benchmark: Benchmark, judgings: readonly (readonly ItemOutcome[])[]): Row[] {
  const [first = [], ...others] = judgings.map((outcomes) => benchmark.rows(outcomes));
  return first.map(({ subset, measures }, at) => ({
    subset,
    measures: measures.map((measure, index) => {
      const values = [measure, ...others.map((rows) => rows[at]!.measures[index]!)];
      const known = values.filter((value) => !Number.isNaN(value));
      return known.reduce((sum, value) => sum + value, 0) / known.length;
    }),
  }));
}

/** A row as what is summed: each measure, then for each whether it is there. */
export function summands({ measures }: Pick<Row, "measures">): number[] {
  return [
    ...measures.map((value) => Number.isNaN(value) ? 0 : value),
    ...measures.map((value) => Number.isNaN(value) ? 0 : 1),
  ];
}

/** Sums of {@link summands} as measures and counts. */
export function subsetSums(sums: Float64Array): SubsetSums {
  const half = sums.length / 2;
  return { sums: sums.subarray(0, half), counts: sums.subarray(half) };
}

/** Figures as a list, in an order that depends on the subsets alone. */
function listed(figures: Figures, subsets: ReadonlyMap<string, SubsetSums>): number[] {
  const means = [...subsets.values()].map(({ sums, counts }) => sums[0]! / counts[0]!);
  return [
    figures.overall,
    ...Object.values(figures.sections),
    ...Object.values(figures.levels ?? {}),
    ...means,
  ];
}

/**
 * Figures with 95 % intervals by the bootstrap over rows within subsets. A figure has none where a subset has a single
 * row. Where all rows are right, or all wrong, each replicate is the same: Wilson's interval is taken instead, with the
 * rows as trials.
 *
 * @returns null where no row has a score
 */
export function estimate(
  benchmark: Benchmark,
  rows: readonly Row[],
  { seed, replicates = 2000 }: EstimateOptions,
): Estimates | null {
  const scored = rows.filter(({ measures }) => !Number.isNaN(measures[0]!));
  if (scored.length === 0) return null;
  const order = Object.keys(benchmark.sizes ?? {});
  const groups = Object.entries(Object.groupBy(scored, ({ subset }) => subset)).sort(([x], [y]) =>
    order.indexOf(x) - order.indexOf(y) || (x < y ? -1 : 1)
  );
  const names = groups.map(([name]) => name);
  const strata = groups.map(([, members]) => members!.map(summands));
  const bySubset = (sums: StratumSums): Map<string, SubsetSums> =>
    new Map(names.map((name, at) => [name, subsetSums(sums[at]!)]));
  const statistics = (sums: StratumSums): number[] => {
    const subsets = bySubset(sums);
    return listed(benchmark.figures(subsets), subsets);
  };
  const subsets = bySubset(sumStrata(strata));
  const figures = benchmark.figures(subsets);
  const values = listed(figures, subsets);
  const intervals = replicates === 0 ? [] : bootstrapIntervals(strata, statistics, { seed, replicates });
  const single = new Set(names.filter((_, at) => strata[at]!.length < 2));
  let at = 0;
  const next = (of: readonly string[]): Estimate => {
    const score = values[at]!;
    const drawn = of.every((name) => !single.has(name)) ? intervals[at] ?? null : null;
    at++;
    const [low, high] = drawn !== null && (score === 0 || score === 1)
      ? wilsonInterval(score * count(of), count(of))
      : drawn ?? [null, null];
    return { score, low, high };
  };
  const sectionSubsets = benchmark.sectionsOf(names);
  const count = (of: readonly string[]): number =>
    of.reduce((sum, name) => sum + (subsets.get(name)?.counts[0] ?? 0), 0);
  const overall = next(names);
  const sections = Object.keys(figures.sections).map((name): [string, Section] => {
    const of = sectionSubsets[name]!.filter((each) => subsets.has(each));
    return [name, { ...next(of), n: count(of) }];
  });
  const levels = Object.keys(figures.levels ?? {}).map((name): [string, Estimate] => [name, next(names)]);
  const each = names.map((name): [string, Section] => [name, { ...next([name]), n: count([name]) }]);
  const { sectionLevels } = figures;
  return {
    overall,
    sections: Object.fromEntries(sections),
    ...(sectionLevels !== undefined && {
      domains: Object.fromEntries(
        sections.map(([name, section]) => [name, { ...section, levels: sectionLevels[name]! }]),
      ),
    }),
    levels: Object.fromEntries(levels),
    subsets: Object.fromEntries(each),
  };
}
