import { expect } from "expect";
import fc from "fast-check";
import { nll } from "../algorithms/mod.ts";
import { gatherResponses, microBatches, scatterResponses, type Sequence } from "./batching.ts";
import { TabularEngine } from "./testing/tabular_engine.ts";

const tokens = (minLength: number, maxLength: number): fc.Arbitrary<Uint32Array> =>
  fc.array(fc.integer({ min: 32, max: 36 }), { minLength, maxLength }).map((list) => Uint32Array.from(list));
const sequence: fc.Arbitrary<Sequence> = fc.record({ prompt: tokens(1, 6), response: tokens(1, 5) });
const sequences = fc.array(sequence, { minLength: 1, maxLength: 10 });

async function gradientsOf(list: readonly Sequence[], budget: number): Promise<Float64Array> {
  const engine = TabularEngine.fresh();
  const total = list.reduce((sum, { response }) => sum + response.length, 0);
  for (const batch of microBatches(list, budget)) {
    using tape = await engine.forward(batch.layout.forest, { select: batch.select });
    const { dLogprobs } = nll(gatherResponses(batch, tape.logprobs), { tokens: total });
    await tape.backward({ dLogprobs: scatterResponses(batch, dLogprobs) });
  }
  return engine.gradients;
}

Deno.test("every sequence is in one micro-batch, and a forest of several keeps to the budget", () => {
  fc.assert(fc.property(sequences, fc.integer({ min: 1, max: 40 }), (list, budget) => {
    const batches = [...microBatches(list, budget)];
    expect(new Set(batches.flatMap((batch) => batch.sequences))).toEqual(new Set(list));
    expect(batches.flatMap((batch) => batch.sequences).length).toBe(list.length);
    for (const { sequences: own, layout } of batches) {
      if (own.length > 1) expect(layout.forest.tokens.length).toBeLessThanOrEqual(budget);
    }
  }));
});

Deno.test("neither the budget nor the order of the sequences changes the gradient", async () => {
  await fc.assert(
    fc.asyncProperty(sequences, fc.integer({ min: 1, max: 40 }), async (list, budget) => {
      const whole = await gradientsOf(list, 10_000);
      const parts = await gradientsOf(list.toReversed(), budget);
      const most = (values: Float64Array): number => values.reduce((x, y) => Math.max(x, Math.abs(y)), 0);
      expect(most(whole.map((slope, index) => slope - parts[index]!))).toBeLessThanOrEqual(
        1e-5 * most(whole),
      );
    }),
    { numRuns: 20 },
  );
});

Deno.test("sequences of one prompt share a forest, and the prompt is in it once", () => {
  const prompts = [1, 2, 3].map((id) => new Uint32Array(50).fill(id));
  const list = [0, 1, 2, 0, 1, 2].map((of, index) => ({
    prompt: prompts[of]!,
    response: Uint32Array.of(60 + index),
  }));
  const batches = [...microBatches(list, 60)];
  expect(batches.map((batch) => batch.layout.forest.tokens.length)).toEqual([52, 52, 52]);
});

Deno.test("only tokens of responses carry loss, even where a prompt holds the same tokens", () => {
  fc.assert(fc.property(sequences, (list) => {
    for (const batch of microBatches(list, 10_000)) {
      const wanted = new Set(batch.sequences.flatMap(({ prompt }, index) => [
        ...batch.layout.maps[index]!.subarray(prompt.length),
      ]));
      batch.select.forEach((selected, index) => expect(selected === 1).toBe(wanted.has(index)));
    }
  }));
});

Deno.test("log-probabilities come back to their own sequences", async () => {
  const engine = TabularEngine.fresh();
  const list = [{ prompt: Uint32Array.of(65), response: Uint32Array.of(66, 67) }, {
    prompt: Uint32Array.of(65, 66),
    response: Uint32Array.of(67),
  }];
  for (const batch of microBatches(list, 100)) {
    const gathered = gatherResponses(
      batch,
      await engine.logprobs(batch.layout.forest, { select: batch.select }),
    );
    for (const [index, own] of batch.sequences.entries()) {
      const [alone] = [...microBatches([own], 100)];
      const values = await engine.logprobs(alone!.layout.forest);
      expect(gathered[index]).toEqual(gatherResponses(alone!, values)[0]);
    }
  }
});
