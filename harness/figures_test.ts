import { expect } from "expect";
import fc from "fast-check";
import type { ItemOutcome, Row } from "./benchmark.ts";
import { averageRows, estimate } from "./figures.ts";
import { wilsonInterval } from "./statistics.ts";
import { SMALL, smallItems } from "./testing/small_benchmark.ts";

const SEED = { seed: 0 };

function rows(values: Readonly<Record<string, readonly number[]>>): Row[] {
  return Object.entries(values).flatMap(([subset, measures]) =>
    measures.map((measure) => ({ subset, measures: [measure] }))
  );
}

Deno.test("figures are the benchmark's, with intervals where a subset has more than one row", () => {
  const found = estimate(SMALL, rows({ first: [1, 0, 1, 1], second: [1] }), SEED)!;
  expect(found.overall).toEqual({ score: 0.875, low: null, high: null });
  expect(found.sections["first"]).toMatchObject({ score: 0.75, n: 4 });
  expect(found.sections["first"]!.low).toBeLessThan(0.75);
  expect(found.sections["second"]).toEqual({ score: 1, low: null, high: null, n: 1 });
  expect(found.subsets).toEqual(found.sections);
});

Deno.test("rows without a score are left out, and nothing but them is no figure", () => {
  const found = estimate(SMALL, rows({ first: [1, NaN, 0], second: [NaN] }), SEED)!;
  expect(found.sections).toMatchObject({ first: { score: 0.5, n: 2 } });
  expect(Object.keys(found.sections)).toEqual(["first"]);
  expect(estimate(SMALL, rows({ first: [NaN] }), SEED)).toBeNull();
});

Deno.test("where all rows are wrong, or all right, the interval is Wilson's", () => {
  const found = estimate(SMALL, rows({ first: [0, 0, 0, 0], second: [1, 1, 1] }), SEED)!;
  expect(found.sections["first"]).toEqual({ score: 0, low: 0, high: wilsonInterval(0, 4)[1], n: 4 });
  expect(found.sections["second"]).toEqual({ score: 1, low: wilsonInterval(3, 3)[0], high: 1, n: 3 });
  const none = estimate(SMALL, rows({ first: [0, 0], second: [0, 0, 0] }), SEED)!;
  expect(none.overall.high).toBeCloseTo(wilsonInterval(0, 5)[1], 12);
});

Deno.test("scores do not depend on the order of the rows, and are within their intervals", () => {
  const value = fc.constantFrom(0, 0.5, 1);
  const some = fc.array(value, { minLength: 2, maxLength: 30 });
  fc.assert(
    fc.property(some, some, (first, second) => {
      const options = { seed: 0, replicates: 200 };
      const found = estimate(SMALL, rows({ first, second }), options)!;
      const turned = estimate(
        SMALL,
        rows({ second: second.toReversed(), first: first.toReversed() }),
        options,
      )!;
      expect(turned.overall.score).toBeCloseTo(found.overall.score, 12);
      expect(Object.keys(turned.sections)).toEqual(["first", "second"]);
      expect(found.overall.low! <= found.overall.high!).toBe(true);
      expect(found.overall.low!).toBeGreaterThanOrEqual(0);
      expect(found.overall.high!).toBeLessThanOrEqual(1);
    }),
    { numRuns: 30 },
  );
});

Deno.test("rows of both orders are averaged one by one, and what is missing has no part", () => {
  const items = smallItems();
  const judging = (value: number): ItemOutcome[] =>
    items.map((item, index) => ({ item, pairs: [index === 0 ? NaN : value], scores: null }));
  const averaged = averageRows(SMALL, [judging(1), judging(0)]);
  expect(averaged.map(({ measures: [score] }) => score)).toEqual([NaN, 0.5, 0.5, 0.5, 0.5]);
  const [half] = averageRows(SMALL, [judging(1), items.map((item) => ({ item, pairs: [0], scores: null }))]);
  expect(half!.measures).toEqual([0]);
});
