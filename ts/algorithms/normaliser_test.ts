import { expect } from "expect";
import fc from "fast-check";
import { type Normaliser, tokenWeights } from "./normaliser.ts";

const lengths = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 12 });
const total = (list: readonly number[]): number => list.reduce((sum, value) => sum + value, 0);

Deno.test("token-mean gives every token of the step the same weight, and the weights of all tokens add up to 1", () => {
  fc.assert(fc.property(lengths, (list) => {
    const weights = tokenWeights(list, { kind: "token-mean" });
    expect(new Set(weights).size).toBe(1);
    expect(total(list.map((length, i) => length * weights[i]!))).toBeCloseTo(1, 12);
  }));
});

Deno.test("sequence-mean gives every sequence the same weight", () => {
  fc.assert(fc.property(lengths, (list) => {
    const weights = tokenWeights(list, { kind: "sequence-mean" });
    for (const [i, length] of list.entries()) expect(length * weights[i]!).toBeCloseTo(1 / list.length, 12);
  }));
});

Deno.test("constant does not depend on how long the sequences are", () => {
  fc.assert(fc.property(lengths, fc.integer({ min: 1, max: 4096 }), (list, length) => {
    const weights = tokenWeights(list, { kind: "constant", length });
    for (const weight of weights) expect(weight).toBeCloseTo(1 / (list.length * length), 12);
  }));
});

Deno.test("an empty sequence weighs nothing, alone or beside others", () => {
  const kinds: Normaliser[] = [{ kind: "token-mean" }, { kind: "sequence-mean" }, {
    kind: "constant",
    length: 8,
  }];
  for (const kind of kinds) {
    expect([...tokenWeights([0], kind)]).toEqual([0]);
    expect(tokenWeights([0, 3], kind)[0]).toBe(0);
  }
});

Deno.test("lengths that are no counts are refused", () => {
  expect(() => tokenWeights([2, -1], { kind: "token-mean" })).toThrow('sequence 1 to be a count, not "-1"');
  expect(() => tokenWeights([2], { kind: "constant", length: 0 })).toThrow('above 0, not "0"');
});
