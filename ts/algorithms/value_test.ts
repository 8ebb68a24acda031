import { expect } from "expect";
import fc from "fast-check";
import { tokenWeights } from "./normaliser.ts";
import { addValueTotals, valueLoss, valueMetrics, type ValueSequence } from "./value.ts";

const number = fc.double({ min: -2, max: 2, noNaN: true });
const sequences = fc.array(
  fc.array(fc.record({ value: number, old: number, target: number }), { minLength: 1, maxLength: 5 }),
  { minLength: 1, maxLength: 5 },
).map((lists): ValueSequence[] => {
  const weights = tokenWeights(lists.map(({ length }) => length), { kind: "token-mean" });
  return lists.map((tokens, index) => ({
    values: tokens.map(({ value }) => value),
    oldValues: tokens.map(({ old }) => old),
    returns: tokens.map(({ target }) => target),
    weight: weights[index]!,
  }));
});
const clip = fc.constantFrom(null, 0.2, 1);

/** Whether the loss has a corner nearby: at the bounds, and where both errors are equal. */
function nearKink({ values, oldValues, returns }: ValueSequence, bound: number | null): boolean {
  return bound !== null && Array.from(values).some((value, t) => {
    const clipped = Math.min(Math.max(value, oldValues[t]! - bound), oldValues[t]! + bound);
    const atBound = Math.abs(Math.abs(value - oldValues[t]!) - bound) < 1e-3;
    return atBound ||
      (clipped !== value && Math.abs((clipped - returns[t]!) ** 2 - (value - returns[t]!) ** 2) < 1e-3);
  });
}

Deno.test("coefficients equal finite differences of the loss", () => {
  fc.assert(fc.property(sequences, clip, fc.constantFrom(0.1, 1), (all, bound, coefficient) => {
    fc.pre(!all.some((sequence) => nearKink(sequence, bound)));
    const options = { clip: bound, coefficient };
    const { dValues } = valueLoss(all, options);
    for (const [i, sequence] of all.entries()) {
      const values = Array.from(sequence.values);
      for (const t of values.keys()) {
        const at = (value: number): number =>
          valueLoss(all.with(i, { ...sequence, values: values.with(t, value) }), options).loss;
        const slope = (at(values[t]! + 1e-5) - at(values[t]! - 1e-5)) / 2e-5;
        expect(dValues[i]![t]).toBeCloseTo(slope, 6);
      }
    }
  }));
});

Deno.test("a value that has left its old one and is nearer to the return has no gradient", () => {
  const one = { oldValues: [0], returns: [1], weight: 1 };
  const far = valueLoss([{ ...one, values: [0.5] }], { clip: 0.2, coefficient: 1 });
  expect(far.dValues[0]![0]).toBe(0);
  expect(far.loss).toBeCloseTo(0.32, 12);
  expect(valueMetrics(far.totals)).toEqual({ clipFraction: 1, meanValue: 0.5, meanSquaredError: 0.25 });
  expect(valueLoss([{ ...one, values: [-0.5] }], { clip: 0.2, coefficient: 1 }).dValues[0]![0]).toBe(-1.5);
});

Deno.test("splitting the step into micro-batches keeps every coefficient, the loss and the metrics", () => {
  fc.assert(fc.property(sequences, clip, fc.nat(), (all, bound, cut) => {
    const options = { clip: bound, coefficient: 0.5 };
    const at = cut % (all.length + 1);
    const whole = valueLoss(all, options);
    const parts = [valueLoss(all.slice(0, at), options), valueLoss(all.slice(at), options)] as const;
    expect(parts.flatMap(({ dValues }) => dValues)).toEqual(whole.dValues);
    expect(parts[0].loss + parts[1].loss).toBeCloseTo(whole.loss, 12);
    const [metrics, expected] = [addValueTotals(parts[0].totals, parts[1].totals), whole.totals].map(
      valueMetrics,
    );
    for (const [name, value] of Object.entries(expected!)) {
      expect(metrics![name as keyof typeof metrics]).toBeCloseTo(value, 12);
    }
  }));
});

Deno.test("what cannot give a finite gradient is refused by name", () => {
  const good = { values: [0], oldValues: [0], returns: [1], weight: 1 };
  const options = { clip: 0.2, coefficient: 1 };
  expect(() => valueLoss([{ ...good, returns: [] }], options)).toThrow(
    "Sequence 0 has 0 returns, expected 1",
  );
  expect(() => valueLoss([{ ...good, returns: [NaN] }], options)).toThrow(
    "token 0 of sequence 0 is not finite",
  );
  expect(() => valueLoss([good], { ...options, clip: 0 })).toThrow('"clip" above 0, not "0"');
  expect(() => valueLoss([good], { ...options, coefficient: -1 })).toThrow('"coefficient"');
});
