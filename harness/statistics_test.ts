import { expect } from "expect";
import fc from "fast-check";
import { bootstrapIntervals, sumStrata, wilsonInterval } from "./statistics.ts";

Deno.test("wilsonInterval gives tabulated values", () => {
  const cases: [number, number, number, number][] = [
    [0, 10, 0, 0.27753],
    [5, 10, 0.23659, 0.76341],
    [10, 10, 0.72247, 1],
    [81, 263, 0.25525, 0.36623],
  ];
  for (const [successes, trials, low, high] of cases) {
    const interval = wilsonInterval(successes, trials);
    expect(interval[0]).toBeCloseTo(low, 4);
    expect(interval[1]).toBeCloseTo(high, 4);
  }
});

Deno.test("wilsonInterval's bounds are where the score test just rejects", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 5000 }), fc.nat(1e6), (trials, part) => {
    const successes = part % (trials + 1);
    const share = successes / trials;
    for (const bound of wilsonInterval(successes, trials)) {
      const z = Math.abs(share - bound) / Math.sqrt(bound * (1 - bound) / trials);
      if (bound > 0 && bound < 1) expect(z).toBeCloseTo(1.959964, 4);
    }
  }));
});

Deno.test("wilsonInterval refuses what is no proportion", () => {
  for (const [successes, trials] of [[1, 0], [2, 1], [-1, 3], [NaN, 3]] as const) {
    expect(() => wilsonInterval(successes, trials)).toThrow("expected 0 ≤ successes ≤ trials");
  }
});

/** All means of n draws with replacement from n values, sorted. */
function allMeans(values: readonly number[]): number[] {
  let sums = [0];
  for (let draw = 0; draw < values.length; draw++) {
    sums = sums.flatMap((sum) => values.map((value) => sum + value));
  }
  return sums.map((sum) => sum / values.length).sort((x, y) => x - y);
}

Deno.test("bootstrapIntervals agrees with the list of all resamples", () => {
  const values = [0, 1, 3, 7, 12, 20];
  const means = allMeans(values);
  const [interval] = bootstrapIntervals(
    [values.map((value) => [value])],
    ([sums]) => [sums![0]! / values.length],
    { seed: 3, replicates: 20_000 },
  );
  // The share of all resamples at or below each bound; the error of 20,000 replicates is about 0.001.
  const below = (bound: number): number => means.filter((mean) => mean <= bound).length / means.length;
  expect(Math.abs(below(interval![0]) - 0.025)).toBeLessThan(0.008);
  expect(Math.abs(below(interval![1]) - 0.975)).toBeLessThan(0.008);
});

Deno.test("bootstrapIntervals draws whole items: copies of an item's measure do not narrow it", () => {
  const items = Array.from({ length: 40 }, (_, i) => [i % 2]);
  const copied = items.map(([value]) => [9 * value!]);
  const [plain] = bootstrapIntervals([items], ([sums]) => [sums![0]! / 40], { seed: 1 });
  const [clustered] = bootstrapIntervals([copied], ([sums]) => [sums![0]! / 360], { seed: 1 });
  expect(clustered![0]).toBeCloseTo(plain![0], 12);
  expect(clustered![1]).toBeCloseTo(plain![1], 12);
  expect(plain![1] - plain![0]).toBeGreaterThan(0.25);
});

Deno.test("bootstrapIntervals keeps strata apart and their sizes fixed", () => {
  const strata = [[[1], [1], [1]], [[5], [5]]];
  const statistics = (sums: readonly Float64Array[]): number[] => sums.map((sum) => sum[0]!);
  expect(bootstrapIntervals(strata, statistics, { seed: 9 })).toEqual([[3, 3], [10, 10]]);
  expect(sumStrata(strata).map(([sum]) => sum)).toEqual([3, 10]);
});

Deno.test("bootstrapIntervals follows its seed and gives null for what is not finite", () => {
  const items = Array.from({ length: 30 }, (_, i) => [(i * 7919) % 31]);
  const run = (seed: number): unknown =>
    bootstrapIntervals([items], ([sums]) => [sums![0]!], { seed, replicates: 50 });
  expect(run(1)).toEqual(run(1));
  expect(run(1)).not.toEqual(run(2));
  const [none, some] = bootstrapIntervals([[[0], [1]]], ([sums]) => [1 / sums![0]!, sums![0]!], { seed: 0 });
  expect(none).toBeNull();
  expect(some).toEqual([0, 2]);
});
