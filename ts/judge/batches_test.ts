import { expect } from "expect";
import fc from "fast-check";
import { batchesOf } from "./batches.ts";

const prompts = fc.array(fc.array(fc.nat(2), { minLength: 1, maxLength: 12 }), { maxLength: 40 }).map((
  lists,
) => lists.map((tokens, index) => ({ index, tokens: Uint32Array.from(tokens) })));

/** Tokens of a forest with these paths, by listing every distinct prefix. */
function forestSize(lists: readonly Uint32Array[]): number {
  const prefixes = new Set(
    lists.flatMap((tokens) => [...tokens.keys()].map((at) => tokens.slice(0, at + 1).join())),
  );
  return prefixes.size;
}

Deno.test("batchesOf gives each prompt once and keeps the limits", () => {
  fc.assert(fc.property(
    prompts,
    fc.integer({ min: 1, max: 9 }),
    fc.integer({ min: 1, max: 60 }),
    fc.nat(5),
    (list, maxConcurrent, tokenBudget, maxNewTokens) => {
      const batches = [...batchesOf(list, { maxConcurrent, tokenBudget, maxNewTokens })];
      const indexes = batches.flat().map(({ index }) => index);
      expect(indexes.toSorted((x, y) => x - y)).toEqual([...list.keys()]);
      for (const batch of batches) {
        expect(batch.length).toBeLessThanOrEqual(maxConcurrent);
        const size = forestSize(batch.map(({ tokens }) => tokens)) + batch.length * maxNewTokens;
        if (batch.length > 1) expect(size).toBeLessThanOrEqual(tokenBudget);
      }
    },
  ));
});

Deno.test("batchesOf puts prompts with a common prefix side by side", () => {
  const list = [[1, 1, 1], [2, 2, 2], [1, 1, 2], [2, 2, 3]].map((tokens, index) => ({
    index,
    tokens: Uint32Array.from(tokens),
  }));
  const batches = [...batchesOf(list, { maxConcurrent: 9, tokenBudget: 4, maxNewTokens: 0 })];
  expect(batches.map((batch) => batch.map(({ index }) => index))).toEqual([[0, 2], [1, 3]]);
});
