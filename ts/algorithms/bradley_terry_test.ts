import { expect } from "expect";
import fc from "fast-check";
import {
  addBradleyTerryTotals,
  bradleyTerry,
  bradleyTerryMetrics,
  type ScoredPair,
} from "./bradley_terry.ts";

const score = fc.double({ min: -5, max: 5, noNaN: true });
const pair: fc.Arbitrary<ScoredPair> = fc.record({
  chosen: score,
  rejected: score,
  margin: fc.constantFrom(0, 0.5, 2),
});
const pairs = fc.array(pair, { minLength: 1, maxLength: 6 });
const centring = fc.constantFrom(0, 0.01, 1);

Deno.test("coefficients equal finite differences of the loss", () => {
  fc.assert(fc.property(pairs, centring, (all, c) => {
    const options = { pairs: all.length + 2, centring: c };
    const { dChosen, dRejected } = bradleyTerry(all, options);
    for (const [index, one] of all.entries()) {
      const at = (change: Partial<ScoredPair>): number =>
        bradleyTerry(all.with(index, { ...one, ...change }), options).loss;
      const h = 1e-5;
      const chosen = (at({ chosen: one.chosen + h }) - at({ chosen: one.chosen - h })) / (2 * h);
      const rejected = (at({ rejected: one.rejected + h }) - at({ rejected: one.rejected - h })) / (2 * h);
      expect(Math.abs(dChosen[index]! - chosen)).toBeLessThan(1e-7 * Math.max(1, Math.abs(chosen)));
      expect(Math.abs(dRejected[index]! - rejected)).toBeLessThan(1e-7 * Math.max(1, Math.abs(rejected)));
    }
  }));
});

Deno.test("without centring only the lead matters, and what one score gains the other loses", () => {
  fc.assert(fc.property(pairs, fc.double({ min: -3, max: 3, noNaN: true }), (all, by) => {
    const options = { pairs: all.length, centring: 0 };
    const plain = bradleyTerry(all, options);
    const moved = bradleyTerry(
      all.map((one) => ({ ...one, chosen: one.chosen + by, rejected: one.rejected + by })),
      options,
    );
    expect(moved.loss).toBeCloseTo(plain.loss, 9);
    for (const [index, slope] of plain.dChosen.entries()) expect(plain.dRejected[index]).toBe(-slope);
  }));
});

Deno.test("centring pulls the middle of a pair to 0 and leaves its lead alone", () => {
  const at = (chosen: number, rejected: number): { dChosen: Float64Array; dRejected: Float64Array } =>
    bradleyTerry([{ chosen, rejected }], { pairs: 1, centring: 0.5 });
  const { dChosen, dRejected } = at(3, 1);
  expect(dChosen[0]! + dRejected[0]!).toBeCloseTo(2 * 4, 12);
  expect(at(1, -1).dChosen[0]! + at(1, -1).dRejected[0]!).toBe(0);
});

Deno.test("equal scores lose log 2 and are not right, and a lead far off is neither infinite nor lost", () => {
  const { loss, totals } = bradleyTerry([{ chosen: 1, rejected: 1 }], { pairs: 1, centring: 0 });
  expect(loss).toBeCloseTo(Math.LN2, 12);
  expect(totals.correct).toBe(0);
  const far = bradleyTerry([{ chosen: -1000, rejected: 1000 }, { chosen: 1000, rejected: -1000 }], {
    pairs: 2,
    centring: 0,
  });
  expect(far.loss).toBe(1000);
  expect([...far.dChosen]).toEqual([-0.5, 0]);
  expect(bradleyTerryMetrics(far.totals)).toEqual({ accuracy: 0.5, meanLead: 0, meanScore: 0 });
});

Deno.test("splitting the step into micro-batches keeps every coefficient, the loss and the metrics", () => {
  fc.assert(fc.property(pairs, centring, fc.nat(), (all, c, cut) => {
    const options = { pairs: all.length, centring: c };
    const at = cut % (all.length + 1);
    const whole = bradleyTerry(all, options);
    const [left, right] = [bradleyTerry(all.slice(0, at), options), bradleyTerry(all.slice(at), options)];
    expect([...left.dChosen, ...right.dChosen]).toEqual([...whole.dChosen]);
    expect([...left.dRejected, ...right.dRejected]).toEqual([...whole.dRejected]);
    expect(left.loss + right.loss).toBeCloseTo(whole.loss, 9);
    const metrics = bradleyTerryMetrics(addBradleyTerryTotals(left.totals, right.totals));
    for (const [name, value] of Object.entries(bradleyTerryMetrics(whole.totals))) {
      expect(metrics[name as keyof typeof metrics]).toBeCloseTo(value, 9);
    }
  }));
});

Deno.test("what cannot give a finite gradient is refused by name", () => {
  const options = { pairs: 1, centring: 0 };
  expect(() => bradleyTerry([{ chosen: NaN, rejected: 0 }], options)).toThrow(
    "margin of pair 0 to be finite",
  );
  expect(() => bradleyTerry([{ chosen: 0, rejected: 0 }], { ...options, pairs: 0 })).toThrow(
    '1 pairs given, not "0"',
  );
  expect(() => bradleyTerry([], { pairs: 0, centring: -1 })).toThrow('"centring"');
  expect(bradleyTerryMetrics(bradleyTerry([], { pairs: 0, centring: 0 }).totals).accuracy).toBe(0);
});
