/**
 * Compares finished runs on the items that they share.
 *
 * @module
 */
import jstat from "jstat";
import type { BenchItem, Benchmark, ItemOutcome, Row } from "../benchmark.ts";
import { averageRows, subsetSums, summands } from "../figures.ts";
import type { Answers } from "../measure.ts";
import { outcomesByOrder, outcomesByRule, outcomesOfScores } from "../outcomes.ts";
import { bootstrapIntervals, type StratumSums, sumStrata } from "../statistics.ts";
import { readStoredRun, type StoredRun, StoredRunError } from "../stored_run.ts";

const { binomial } = jstat as {
  readonly binomial: { cdf(successes: number, trials: number, probability: number): number };
};

/** A figure of two runs, and by how much the other one's is higher, with a 95 % interval by the paired bootstrap. */
export interface Difference {
  readonly base: number;
  readonly other: number;
  readonly difference: number;
  /** null where there are too few rows. */
  readonly low: number | null;
  readonly high: number | null;
}

/** Items that the other run judges better or worse, and how surprising their numbers are. */
export interface ChangedItems {
  /** Keys of items that the other run judges better. */
  readonly fixed: readonly string[];
  /** Keys of items that it judges worse. */
  readonly broke: readonly string[];
  /**
   * McNemar's exact test (McNemar 1947): two-sided, over items; an item of several judgements counts by their mean, so
   * that it is then the sign test.
   */
  readonly p: number;
  /** After Holm's correction (Holm 1979) over all tests of the comparison. */
  readonly holm: number;
}

/** A run beside another one. */
export interface RunComparison {
  readonly base: string;
  readonly other: string;
  readonly items: number;
  readonly overall: Difference & ChangedItems;
  readonly sections: Readonly<Record<string, Difference & ChangedItems>>;
}

/** Options of {@link compareRuns}. */
export interface CompareOptions {
  /** Of the bootstrap. Default 0. */
  readonly seed?: number;
  /** Where the data are, if no longer where the runs read them. */
  readonly data?: string;
}

/**
 * Compares each further run with the first one, on the items that all of them have.
 *
 * @throws {StoredRunError} A run is not there, or is of another benchmark, rule or data; there is no common item.
 */
export async function compareRuns(
  directories: readonly string[],
  { seed = 0, data }: CompareOptions = {},
): Promise<RunComparison[]> {
  const options = data === undefined ? {} : { data };
  const runs = await Promise.all(directories.map((directory) => readStoredRun(directory, options)));
  const [base, ...others] = runs;
  if (base === undefined || others.length === 0) {
    throw new RangeError(`Got ${runs.length} runs, expected at least 2`);
  }
  for (const other of others) refuseOther(base, other);
  const keys = others.reduce(
    (shared, { items }) => shared.intersection(new Set(items.map(({ key }) => key))),
    new Set(base.items.map(({ key }) => key)),
  );
  if (keys.size === 0) throw new StoredRunError(`Runs "${directories.join('", "')}" have no item in common`);
  const judged = runs.map((run) => judgingsOf(run.benchmark, run.answers, keys));
  const tests = others.map((other, at) => compareTwo(base, other, judged[0]!, judged[at + 1]!, seed));
  return withHolm(tests);
}

function refuseOther(base: StoredRun, other: StoredRun): void {
  for (const field of ["benchmark", "rule"] as const) {
    if (base.result[field] === other.result[field]) continue;
    throw new StoredRunError(
      `Run "${other.directory}" has ${field} "${other.result[field]}", expected "${
        base.result[field]
      }" as in "${base.directory}"`,
    );
  }
  for (const [file, hash] of Object.entries(base.result.data.files)) {
    if ((other.result.data.files[file] ?? hash) === hash) continue;
    throw new StoredRunError(
      `Run "${other.directory}" has read another file "${file}" than "${base.directory}": their items differ`,
    );
  }
}

type Judgings = readonly (readonly ItemOutcome[])[];

/** How the items came out, what cannot be read counted as wrong. */
function judgingsOf(benchmark: Benchmark, answers: Answers, keys: ReadonlySet<string>): Judgings {
  const isShared = ({ item }: { readonly item: BenchItem }): boolean => keys.has(item.key);
  if (answers.kind === "scores") return [outcomesOfScores(answers.scored.filter(isShared), "wrong")];
  const judged = answers.judged.filter(isShared);
  return benchmark.orderRule === undefined
    ? outcomesByOrder(judged, "wrong")
    : [outcomesByRule(judged, benchmark.orderRule)];
}

/** The mean of all comparisons of each item, by its key. */
function itemScores(judgings: Judgings): Map<string, number> {
  return new Map(judgings[0]!.map(({ item }, at) => {
    const values = judgings.flatMap((outcomes) => outcomes[at]!.pairs);
    return [item.key, values.reduce((sum, value) => sum + value, 0) / values.length];
  }));
}

type Untested<T> = Omit<T, "holm">;
type TestedRun = Omit<RunComparison, "overall" | "sections"> & {
  readonly overall: Untested<Difference & ChangedItems>;
  readonly sections: Readonly<Record<string, Untested<Difference & ChangedItems>>>;
};

function compareTwo(
  base: StoredRun,
  other: StoredRun,
  one: Judgings,
  two: Judgings,
  seed: number,
): TestedRun {
  const { benchmark } = base;
  const differences = differencesOf(
    benchmark,
    averageRows(benchmark, one),
    averageRows(benchmark, two),
    seed,
  );
  const [before, after] = [itemScores(one), itemScores(two)];
  const items = one[0]!.map(({ item }) => item);
  const changed = (of: readonly BenchItem[]): Untested<ChangedItems> => {
    const keys = of.map(({ key }) => key);
    const fixed = keys.filter((key) => after.get(key)! > before.get(key)!);
    const broke = keys.filter((key) => after.get(key)! < before.get(key)!);
    return { fixed, broke, p: mcnemar(fixed.length, broke.length) };
  };
  const subsets = benchmark.sectionsOf([...new Set(items.map(({ subset }) => subset))]);
  return {
    base: base.directory,
    other: other.directory,
    items: items.length,
    overall: { ...differences.overall, ...changed(items) },
    sections: Object.fromEntries(
      Object.entries(differences.sections).map(([name, difference]) => {
        const within = new Set(subsets[name]);
        return [name, { ...difference, ...changed(items.filter(({ subset }) => within.has(subset))) }];
      }),
    ),
  };
}

/** McNemar's exact two-sided p of so many discordant items either way. */
export function mcnemar(fixed: number, broke: number): number {
  const n = fixed + broke;
  if (n === 0) return 1;
  return Math.min(1, 2 * binomial.cdf(Math.min(fixed, broke), n, 0.5));
}

interface Differences {
  readonly overall: Difference;
  readonly sections: Readonly<Record<string, Difference>>;
}

/** Both runs' figures from the same rows, and from the same draws of them. */
function differencesOf(
  benchmark: Benchmark,
  one: readonly Row[],
  two: readonly Row[],
  seed: number,
): Differences {
  const rows = one.map((row, at) => ({ subset: row.subset, one: row.measures, two: two[at]!.measures }))
    .filter((row) => !Number.isNaN(row.one[0]!) && !Number.isNaN(row.two[0]!));
  const groups = Object.entries(Object.groupBy(rows, ({ subset }) => subset)).sort(([x], [y]) =>
    x < y ? -1 : 1
  );
  const names = groups.map(([name]) => name);
  const strata = groups.map(([, members]) =>
    members!.map((row) => [...summands({ measures: row.one }), ...summands({ measures: row.two })])
  );
  const figuresOf = (sums: StratumSums): { base: number[]; other: number[]; sections: string[] } => {
    const half = sums[0]!.length / 2;
    const [base, other] = [[0, half], [half, 2 * half]].map(([from, to]) =>
      benchmark.figures(new Map(names.map((name, at) => [name, subsetSums(sums[at]!.subarray(from, to))])))
    );
    const listed = (
      figures: typeof base,
    ): number[] => [figures!.overall, ...Object.values(figures!.sections)];
    return { base: listed(base), other: listed(other), sections: Object.keys(base!.sections) };
  };
  const { base, other, sections } = figuresOf(sumStrata(strata));
  const isSingle = strata.some((members) => members.length < 2);
  const intervals = isSingle ? [] : bootstrapIntervals(strata, (sums) => {
    const drawn = figuresOf(sums);
    return drawn.other.map((value, at) => value - drawn.base[at]!);
  }, { seed });
  const differences = base.map((value, at): Difference => {
    const [low, high] = intervals[at] ?? [null, null];
    return { base: value, other: other[at]!, difference: other[at]! - value, low, high };
  });
  return {
    overall: differences[0]!,
    sections: Object.fromEntries(sections.map((name, at) => [name, differences[at + 1]!])),
  };
}

/** Holm's correction over all tests, in place of each p: the smallest first, none below one before it. */
function withHolm(runs: readonly TestedRun[]): RunComparison[] {
  const all = runs.flatMap(({ overall, sections }) => [overall, ...Object.values(sections)]);
  const adjusted = holm(all.map(({ p }) => p)).values();
  return runs.map((run) => ({
    ...run,
    overall: { ...run.overall, holm: adjusted.next().value! },
    sections: Object.fromEntries(
      Object.entries(run.sections).map(([name, section]) => [
        name,
        { ...section, holm: adjusted.next().value! },
      ]),
    ),
  }));
}

/** Holm's step-down correction of p-values, in their order. */
export function holm(values: readonly number[]): number[] {
  const order = values.map((_, index) => index).sort((x, y) => values[x]! - values[y]!);
  const adjusted = values.map(() => 1);
  let highest = 0;
  for (const [rank, index] of order.entries()) {
    highest = Math.max(highest, Math.min(1, (values.length - rank) * values[index]!));
    adjusted[index] = highest;
  }
  return adjusted;
}
