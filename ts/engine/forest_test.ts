import { expect } from "expect";
import fc from "fast-check";
import { EngineError } from "./error.ts";
import { flatForest, forestOf, gather, scatter, scatterMask, type SequenceForest } from "./forest.ts";

const sequence = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 8 })
  .map((tokens) => Uint32Array.from(tokens));
const sequences = fc.array(sequence, { maxLength: 8 });

/** The tokens on the path from the root to a token, by walking segments and parents alone. */
function pathTo({ forest }: SequenceForest, index: number): number[] {
  let start = 0;
  const starts = Array.from(forest.lengths, (length) => (start += length) - length);
  let segment = starts.findLastIndex((from) => from <= index);
  let end = index + 1;
  const path: number[] = [];
  while (segment >= 0) {
    path.unshift(...forest.tokens.subarray(starts[segment], end));
    segment = forest.parents[segment]!;
    if (segment >= 0) end = starts[segment]! + forest.lengths[segment]!;
  }
  return path;
}

Deno.test("each token of each sequence ends the path of its prefix", () => {
  fc.assert(fc.property(sequences, (input) => {
    for (const laid of [forestOf(input), flatForest(input)]) {
      input.forEach((tokens, i) =>
        laid.maps[i]!.forEach((index, position) =>
          expect(pathTo(laid, index)).toEqual([...tokens.subarray(0, position + 1)])
        )
      );
    }
  }));
});

Deno.test("a prefix is stored once, whoever shares it", () => {
  fc.assert(fc.property(sequences, (input) => {
    const prefixes = new Set(
      input.flatMap((tokens) => Array.from(tokens, (_, i) => tokens.slice(0, i + 1).join())),
    );
    expect(forestOf(input).forest.tokens.length).toBe(prefixes.size);
    expect(flatForest(input).forest.tokens.length).toBe(input.reduce((sum, s) => sum + s.length, 0));
  }));
});

Deno.test("parents stand before children, lengths add up, and segments end only where sequences part", () => {
  fc.assert(fc.property(sequences, (input) => {
    const { forest } = forestOf(input);
    expect(forest.lengths.reduce((sum, length) => sum + length, 0)).toBe(forest.tokens.length);
    const children = new Map<number, number>();
    forest.parents.forEach((parent, i) => {
      expect(parent).toBeLessThan(i);
      if (parent >= 0) children.set(parent, (children.get(parent) ?? 0) + 1);
    });
    for (const count of children.values()) expect(count).toBeGreaterThan(1);
  }));
});

Deno.test("segments stand in the order of first appearance", () => {
  const { forest, maps } = forestOf(
    [[1, 2, 3], [9], [1, 2, 4], [1, 2, 3, 5], [9, 8]].map((tokens) => Uint32Array.from(tokens)),
  );
  expect([...forest.tokens]).toEqual([1, 2, 3, 5, 9, 8, 4]);
  expect([...forest.lengths]).toEqual([2, 2, 2, 1]);
  expect([...forest.parents]).toEqual([-1, 0, -1, 0]);
  expect(maps.map((map) => [...map])).toEqual([[0, 1, 2], [4], [0, 1, 6], [0, 1, 2, 3], [4, 5]]);
});

Deno.test("scatter is the transpose of gather", () => {
  const weighted = fc.array(
    fc.record({ tokens: sequence, weights: fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 8 }) }),
    { maxLength: 8 },
  );
  fc.assert(fc.property(weighted, (input) => {
    const laid = forestOf(input.map(({ tokens }) => tokens));
    const own = input.map(({ tokens, weights }) => Float32Array.from(weights.slice(0, tokens.length)));
    const values = Float32Array.from(laid.forest.tokens, (_, i) => i + 1);
    const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
    const bySequence = laid.maps.reduce((sum, map, i) => sum + dot(gather(map, values), own[i]!), 0);
    expect(dot(values, scatter(laid, own))).toBe(bySequence);
  }));
});

Deno.test("a token is selected when any of its sequences selects it", () => {
  const laid = forestOf([Uint32Array.of(1, 2, 3), Uint32Array.of(1, 2, 4)]);
  const united = scatterMask(laid, [Uint8Array.of(0, 0, 1), Uint8Array.of(0, 1, 0)]);
  expect([...united]).toEqual([0, 1, 1, 0]);
});

Deno.test("an empty sequence and values of the wrong length are refused by number", () => {
  const empty = [Uint32Array.of(1), new Uint32Array()];
  expect(() => forestOf(empty)).toThrow('Sequence "1" is empty');
  expect(() => flatForest(empty)).toThrow(EngineError);
  const laid = forestOf([Uint32Array.of(1, 2)]);
  expect(() => scatter(laid, [])).toThrow('values for "0" sequences, expected 1');
  expect(() => scatter(laid, [new Float32Array(3)])).toThrow('has "3" values, expected 2');
});
