import { expect } from "expect";
import fc from "fast-check";
import { generalizedAdvantages, whiten } from "./gae.ts";

const number = fc.double({ min: -3, max: 3, noNaN: true });
const response = fc.array(fc.record({ reward: number, value: number }), { minLength: 1, maxLength: 8 }).map(
  (tokens) => ({ rewards: tokens.map(({ reward }) => reward), values: tokens.map(({ value }) => value) }),
);
const share = fc.double({ min: 0, max: 1, noNaN: true });

Deno.test("advantages are the exponentially weighted sum of all later errors, and returns are with the values", () => {
  fc.assert(fc.property(response, share, share, ({ rewards, values }, gamma, lambda) => {
    const { advantages, returns } = generalizedAdvantages({ rewards, values }, { gamma, lambda });
    const errors = rewards.map((reward, t) => reward + gamma * (values[t + 1] ?? 0) - values[t]!);
    for (const t of rewards.keys()) {
      const sum = errors.slice(t).reduce(
        (total, error, later) => total + (gamma * lambda) ** later * error,
        0,
      );
      expect(advantages[t]).toBeCloseTo(sum, 9);
      expect(returns[t]).toBeCloseTo(sum + values[t]!, 9);
    }
  }));
});

Deno.test("with γ = λ = 1 the return is the sum of what is still to come, with λ = 0 the advantage is one error", () => {
  fc.assert(fc.property(response, share, ({ rewards, values }, gamma) => {
    const { returns } = generalizedAdvantages({ rewards, values }, { gamma: 1, lambda: 1 });
    for (const t of rewards.keys()) {
      expect(returns[t]).toBeCloseTo(rewards.slice(t).reduce((sum, reward) => sum + reward, 0), 9);
    }
    const { advantages } = generalizedAdvantages({ rewards, values }, { gamma, lambda: 0 });
    for (const t of rewards.keys()) {
      expect(advantages[t]).toBeCloseTo(rewards[t]! + gamma * (values[t + 1] ?? 0) - values[t]!, 9);
    }
  }));
});

Deno.test("whitened advantages are shifted and scaled to mean 0 and standard deviation 1", () => {
  const lists = fc.array(fc.array(number, { maxLength: 5 }), { minLength: 1, maxLength: 5 });
  fc.assert(fc.property(lists, (all) => {
    const flat = all.flat();
    fc.pre(Math.max(...flat) - Math.min(...flat) > 0.1);
    const white = whiten(all);
    expect(white.map(({ length }) => length)).toEqual(all.map(({ length }) => length));
    const values = white.flatMap((list) => [...list]);
    expect(values.reduce((sum, value) => sum + value, 0) / values.length).toBeCloseTo(0, 9);
    const variance = values.reduce((sum, value) => sum + value ** 2, 0) / (values.length - 1);
    expect(variance).toBeCloseTo(1, 2);
    const scale = (values[0]! - values.at(-1)!) / (flat[0]! - flat.at(-1)!);
    if (Number.isFinite(scale) && Math.abs(flat[0]! - flat.at(-1)!) > 0.01) {
      for (const [index, value] of flat.entries()) {
        expect(values[index]! - values[0]!).toBeCloseTo(scale * (value - flat[0]!), 9);
      }
    }
  }));
});

Deno.test("a single token is left alone, and equal ones are shifted to exactly 0", () => {
  fc.assert(fc.property(number, fc.integer({ min: 2, max: 9 }), (value, count) => {
    expect(whiten([[], [value]])).toEqual([Float64Array.of(), Float64Array.of(value)]);
    const equal = whiten([new Array<number>(count).fill(value), [], [value]]);
    expect(equal.every((list) => list.every((shifted) => shifted === 0))).toBe(true);
  }));
  expect(whiten([])).toEqual([]);
});

Deno.test("what is no number is refused by its token", () => {
  const options = { gamma: 1, lambda: 1 };
  expect(() => generalizedAdvantages({ rewards: [0, NaN], values: [0, 0] }, options)).toThrow(
    'token 1 of the response is not finite: reward "NaN"',
  );
  expect(() => generalizedAdvantages({ rewards: [0], values: [NaN] }, options, "response 7")).toThrow(
    "token 0 of response 7 is not finite",
  );
  expect(() => generalizedAdvantages({ rewards: [0], values: [] }, options)).toThrow(
    'Expected 1 values of the response, as it has rewards, not "0"',
  );
  expect(() => whiten([[1], [0, Infinity]])).toThrow('token 1 of sequence 1 to be finite, not "Infinity"');
  expect(() => generalizedAdvantages({ rewards: [0], values: [0] }, { gamma: 1.1, lambda: 1 })).toThrow(
    '"gamma" in [0, 1], not "1.1"',
  );
});
