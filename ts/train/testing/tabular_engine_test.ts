import { expect } from "expect";
import { forestOf } from "../../engine/mod.ts";
import { TabularEngine } from "./tabular_engine.ts";

const sequences = [Uint32Array.of(65, 66, 67, 68), Uint32Array.of(65, 66, 69), Uint32Array.of(70, 71)];

Deno.test("gradients equal finite differences", async () => {
  const engine = TabularEngine.fresh();
  const { forest } = forestOf(sequences);
  const coefficients = Float32Array.from(forest.tokens, (_, i) => (i % 3) - 0.7);
  const lossOf = async (): Promise<number> => {
    const values = await engine.logprobs(forest, { temperature: 0.7 });
    return values.reduce((sum, value, i) => Number.isNaN(value) ? sum : sum + value * coefficients[i]!, 0);
  };
  using tape = await engine.forward(forest, { temperature: 0.7 });
  await tape.backward({ dLogprobs: coefficients });
  const gradients = engine.gradients;
  const touched = [...gradients.keys()].filter((i) => gradients[i] !== 0).filter((_, i) => i % 37 === 0);
  expect(touched.length).toBeGreaterThan(10);
  for (const index of touched) {
    engine.nudge(index, 0.05);
    const above = await lossOf();
    engine.nudge(index, -0.1);
    const below = await lossOf();
    engine.nudge(index, 0.05);
    expect(gradients[index]).toBeCloseTo((above - below) / 0.1, 3);
  }
});

Deno.test("log-probabilities as sampled are those of forward, bit for bit", async () => {
  const engine = TabularEngine.fresh();
  const prompt = Uint32Array.of(65, 66);
  for await (const { tokens, logprobs } of engine.generate([{ prompt, maxTokens: 20, temperature: 0.7 }])) {
    const { forest } = forestOf([Uint32Array.of(...prompt, ...tokens)]);
    using tape = await engine.forward(forest, { temperature: 0.7 });
    expect(tape.logprobs.subarray(prompt.length)).toEqual(logprobs);
  }
});
