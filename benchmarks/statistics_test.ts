import { expect } from "expect";
import fc from "fast-check";
import { compare, meets, summarise } from "./statistics.ts";
import { sampleOf } from "./testing/samples.ts";

const seconds = fc.double({ min: 1e-3, max: 1e3, noNaN: true });
const many = fc.array(fc.tuple(seconds, seconds), { minLength: 1, maxLength: 9 });

Deno.test("a median lies between the extremes and splits the values", () => {
  fc.assert(fc.property(fc.array(seconds, { minLength: 1 }), (values) => {
    const { min, median, max } = summarise(values);
    expect([min, max]).toEqual([Math.min(...values), Math.max(...values)]);
    expect(median >= min && median <= max).toBe(true);
    const below = values.filter((value) => value < median).length;
    const above = values.filter((value) => value > median).length;
    expect(Math.max(below, above)).toBeLessThanOrEqual(values.length / 2);
  }));
});

Deno.test("no values and no numbers are refused", () => {
  expect(() => summarise([])).toThrow(RangeError);
  expect(() => summarise([1, NaN])).toThrow('"1,NaN"');
});

Deno.test("a bound holds at its own value", () => {
  expect([meets(1.3, { atLeast: 1.3 }), meets(1.2999, { atLeast: 1.3 })]).toEqual([true, false]);
  expect([meets(0.5, { atMost: 0.5 }), meets(0.5001, { atMost: 0.5 })]).toEqual([true, false]);
});

Deno.test("a rate is compared as ours by peer, a step as how many times faster", () => {
  const [ours, peer] = [[sampleOf(2), sampleOf(4), sampleOf(3)], [sampleOf(6), sampleOf(4), sampleOf(9)]];
  const rate = compare({ kind: "rate", goal: { atLeast: 2 } }, ours, peer);
  expect(rate.ours.median).toBeCloseTo(100 / 3);
  expect(rate.ratio).toEqual({ min: 1, median: expect.closeTo(2), max: expect.closeTo(3) });
  const step = compare({ kind: "step", goal: { atLeast: 2.1 } }, ours, peer);
  expect(step.ratio).toEqual({ min: 1, median: 2, max: 3 });
  expect(step.met).toBe(false);
});

Deno.test("memory and time are compared as shares of the peer's", () => {
  const ours = [sampleOf(1, { peakBytes: 2e9, processSeconds: 3 })];
  const peer = [sampleOf(4, { peakBytes: 8e9, processSeconds: 4 })];
  expect(compare({ kind: "memory", goal: { atMost: 0.25 } }, ours, peer)).toMatchObject({
    unit: "GB",
    ours: { median: 2 },
    ratio: { median: 0.25 },
    met: true,
  });
  expect(compare({ kind: "first token", goal: null }, ours, peer)).toMatchObject({
    ratio: { median: 0.25 },
    met: null,
  });
  expect(compare({ kind: "process", goal: { atMost: 0.5 } }, ours, peer)).toMatchObject({
    ratio: { median: 0.75 },
    met: false,
  });
});

Deno.test("the time of a process must have been taken", () => {
  expect(() => compare({ kind: "process", goal: null }, [sampleOf(1)], [sampleOf(1)])).toThrow(RangeError);
});

Deno.test("equal sides have ratio 1, and swapping sides inverts it", () => {
  fc.assert(fc.property(many, (pairs) => {
    const [ours, peer] = [pairs.map(([own]) => sampleOf(own)), pairs.map(([, other]) => sampleOf(other))];
    const metric = { kind: "step", goal: null } as const;
    expect(compare(metric, ours, ours).ratio).toEqual({ min: 1, median: 1, max: 1 });
    const [there, back] = [compare(metric, ours, peer).ratio, compare(metric, peer, ours).ratio];
    expect(there.median * back.median).toBeCloseTo(1);
    expect(there.min * back.max).toBeCloseTo(1);
  }));
});

Deno.test("samples without their pair are refused", () => {
  const metric = { kind: "step", goal: null } as const;
  expect(() => compare(metric, [sampleOf(1)], [])).toThrow("Found 1 samples of ours and 0 of the peer");
});
