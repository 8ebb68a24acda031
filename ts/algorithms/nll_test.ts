import { expect } from "expect";
import fc from "fast-check";
import { nll } from "./nll.ts";

const logprob = fc.double({ min: -20, max: 0, noNaN: true });
const batch = fc.array(fc.array(logprob, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 6 });
const count = (sequences: readonly (readonly number[])[]): number => sequences.flat().length;

Deno.test("the loss is the mean negative log-likelihood of the step's target tokens", () => {
  expect(nll([[-1, -2], [-3]], { tokens: 3 }).loss).toBeCloseTo(2, 12);
});

Deno.test("coefficients equal finite differences of the loss", () => {
  fc.assert(fc.property(batch, (sequences) => {
    const tokens = count(sequences);
    const { dLogprobs } = nll(sequences, { tokens });
    const h = 1e-3;
    for (const [i, values] of sequences.entries()) {
      for (const t of values.keys()) {
        const at = (value: number): number =>
          nll(sequences.map((s, j) => i === j ? s.with(t, value) : s), { tokens }).loss;
        expect(dLogprobs[i]![t]).toBeCloseTo((at(values[t]! + h) - at(values[t]! - h)) / (2 * h), 8);
      }
    }
  }));
});

Deno.test("splitting a step into micro-batches keeps every coefficient and adds up to the same loss", () => {
  fc.assert(fc.property(batch, fc.nat(), (sequences, cut) => {
    const tokens = count(sequences);
    const at = cut % (sequences.length + 1);
    const whole = nll(sequences, { tokens });
    const parts = [nll(sequences.slice(0, at), { tokens }), nll(sequences.slice(at), { tokens })];
    expect(parts.flatMap((part) => part.dLogprobs)).toEqual(whole.dLogprobs);
    expect(parts[0]!.loss + parts[1]!.loss).toBeCloseTo(whole.loss, 9);
  }));
});

Deno.test("no targets give no loss", () => {
  expect(nll([], { tokens: 0 })).toEqual({ loss: 0, dLogprobs: [] });
});

Deno.test("a log-probability that is not finite and a step that is too small are refused", () => {
  expect(() => nll([[-1, NaN]], { tokens: 2 })).toThrow('target 1 of sequence 0 to be finite, not "NaN"');
  expect(() => nll([[-1, -2]], { tokens: 1 })).toThrow('at least the 2 targets given, not "1"');
});
