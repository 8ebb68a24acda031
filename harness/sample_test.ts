import { expect } from "expect";
import fc from "fast-check";
import { stratifiedSample } from "./sample.ts";

interface Item {
  readonly id: string;
  readonly stratum: string;
}

const sets = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 }).map((sizes) =>
  sizes.flatMap((size, stratum) =>
    Array.from({ length: size }, (_, i): Item => ({ id: `${stratum}-${i}`, stratum: `s${stratum}` }))
  )
);

function sample(items: readonly Item[], limit: number, seed: number): Item[] {
  return stratifiedSample(items, {
    limit,
    seed,
    stratumOf: (item) => item.stratum,
    keyOf: (item) => item.id,
  });
}

function sizesOf(items: readonly Item[]): Record<string, number> {
  return Object.fromEntries(
    Object.entries(Object.groupBy(items, ({ stratum }) => stratum)).map(([name, list]) => [
      name,
      list!.length,
    ]),
  );
}

Deno.test("stratifiedSample takes the limit, in the set's order, one of each stratum at least", () => {
  fc.assert(fc.property(sets, fc.integer({ min: 1, max: 160 }), fc.nat(), (items, limit, seed) => {
    const taken = sample(items, limit, seed);
    expect(taken.length).toBe(Math.min(limit, items.length));
    expect(items.filter((item) => taken.includes(item))).toEqual(taken);
    const strata = Object.keys(sizesOf(items)).length;
    expect(Object.keys(sizesOf(taken)).length).toBe(Math.min(strata, limit));
  }));
});

Deno.test("stratifiedSample is a part of every larger sample with its seed", () => {
  fc.assert(fc.property(sets, fc.integer({ min: 1, max: 100 }), fc.nat(), (items, limit, seed) => {
    const larger = sample(items, limit + 1, seed);
    for (const item of sample(items, limit, seed)) expect(larger).toContain(item);
  }));
});

Deno.test("stratifiedSample keeps proportions that divide", () => {
  const items = [40, 30, 20, 10].flatMap((size, stratum) =>
    Array.from({ length: size }, (_, i) => ({ id: `${stratum}-${i}`, stratum: `s${stratum}` }))
  );
  expect(sizesOf(sample(items, 10, 1))).toEqual({ s0: 4, s1: 3, s2: 2, s3: 1 });
  expect(sizesOf(sample(items, 50, 1))).toEqual({ s0: 20, s1: 15, s2: 10, s3: 5 });
});

Deno.test("stratifiedSample draws other items with another seed, and each as often", () => {
  const items = Array.from({ length: 20 }, (_, i) => ({ id: `${i}`, stratum: "s" }));
  const counts = new Map(items.map(({ id }) => [id, 0]));
  for (let seed = 0; seed < 1000; seed++) {
    for (const { id } of sample(items, 5, seed)) counts.set(id, counts.get(id)! + 1);
  }
  // 250 expected of each, five standard deviations of a binomial.
  for (const count of counts.values()) expect(Math.abs(count - 250)).toBeLessThan(69);
});

Deno.test("stratifiedSample refuses a limit that is no positive integer", () => {
  for (const limit of [0, -1, 1.5, NaN]) {
    expect(() => sample([{ id: "a", stratum: "s" }], limit, 0)).toThrow(
      `Limit is "${limit}", expected a positive integer`,
    );
  }
});
