import { readFile } from "node:fs/promises";
import { expect } from "expect";
import fc from "fast-check";
import { CoreEngine } from "../../ts/engine/core/core_engine.ts";
import { drawCorpus } from "./corpus.ts";
import { encodeDocuments, learningRateAt, pretrain } from "./pretrain.ts";
import { CHAT_TEMPLATE } from "./tokenizer.ts";

const TOKENIZER = new URL("../../models/embedded-base/tokenizer.json", import.meta.url);

/** A model with random weights, too small to be good for anything. */
async function tinyEngine(): Promise<CoreEngine> {
  return await CoreEngine.init({
    model_type: "llama",
    vocab_size: 640,
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 16,
    max_position_embeddings: 1024,
    rope_theta: 10000,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: true,
    eos_token_id: 0,
  }, { tokenizer: await readFile(TOKENIZER, "utf8"), chatTemplate: CHAT_TEMPLATE, seed: 3 });
}

Deno.test("the learning rate rises, stays and falls", () => {
  fc.assert(fc.property(
    fc.integer({ min: 10, max: 1000 }),
    fc.integer({ min: 1, max: 5 }),
    fc.double({ min: 0.6, max: 0.9, noNaN: true }),
    (steps, warmupSteps, decayFrom) => {
      const options = { learningRate: 0.5, warmupSteps, decayFrom };
      const rates = Array.from({ length: steps }, (_, step) => learningRateAt(step, steps, options));
      expect(rates[0]).toBeCloseTo(0.5 / warmupSteps);
      expect(rates[Math.floor(steps * 0.55)]).toBe(0.5);
      for (const [step, rate] of rates.entries()) {
        expect(rate).toBeGreaterThan(0);
        expect(rate).toBeLessThanOrEqual(0.5);
        if (step > decayFrom * steps + 1) expect(rate).toBeLessThan(rates[step - 1]!);
      }
    },
  ));
});

Deno.test("a document gives one sequence a response, which ends its turn", async () => {
  await using engine = await tinyEngine();
  for (const document of drawCorpus({ seed: 2, count: 30 })) {
    const sequences = await encodeDocuments(engine, [document]);
    expect(sequences.length).toBe(document.responses.length);
    for (const [index, { prompt, response }] of sequences.entries()) {
      expect(prompt.length).toBe(1);
      expect(response.at(-1)).toBe(engine.info.eosTokenIds[0]);
      const [text] = await engine.decode([response.subarray(0, -1)]);
      expect(text!.endsWith(document.responses[index]!)).toBe(true);
    }
  }
});

Deno.test("pretraining lowers the loss, and repeats itself bit for bit", async () => {
  const losses = async (): Promise<number[]> => {
    await using engine = await tinyEngine();
    const seen: number[] = [];
    await pretrain(engine, {
      seed: 7,
      documents: 60,
      batchDocuments: 3,
      learningRate: 0.01,
      warmupSteps: 2,
      decayFrom: 0.5,
      weightDecay: 0,
      onStep: ({ loss }) => void seen.push(loss),
    });
    return seen;
  };
  const first = await losses();
  expect(first.length).toBe(20);
  expect(first.at(-1)).toBeLessThan(0.8 * first[0]!);
  expect(await losses()).toEqual(first);
});
