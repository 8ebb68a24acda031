/**
 * A step of distillation by the trainer's parts.
 *
 * @module
 */
import { nll } from "../../ts/algorithms/mod.ts";
import type { StepOptions, TrainableEngine } from "../../ts/engine/mod.ts";
import { gatherResponses, microBatches, scatterResponses } from "../../ts/train/batching.ts";
import type { SftStepJob } from "../protocol.ts";

/** AdamW as PyTorch has it by default, without clipping, which the peer's step does not do either. */
const OPTIMIZER: StepOptions = {
  learningRate: 1e-5,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0.01,
  maxGradNorm: 0,
};

/** Forward, negative log-likelihood of all tokens but the first of each sequence, backward, AdamW. Gives the tokens. */
export async function sftStep(
  engine: TrainableEngine,
  { recompute, microBatchTokens = Infinity }: SftStepJob,
  input: readonly (readonly number[])[],
): Promise<number> {
  const sequences = input.map((ids) => ({
    prompt: Uint32Array.from(ids.slice(0, 1)),
    response: Uint32Array.from(ids.slice(1)),
  }));
  const targets = sequences.reduce((sum, { response }) => sum + response.length, 0);
  for (const batch of microBatches(sequences, microBatchTokens)) {
    using tape = await engine.forward(batch.layout.forest, { select: batch.select, recompute });
    const { dLogprobs } = nll(gatherResponses(batch, tape.logprobs), { tokens: targets });
    await tape.backward({ dLogprobs: scatterResponses(batch, dLogprobs) });
  }
  await engine.step(OPTIMIZER);
  return input.reduce((sum, ids) => sum + ids.length, 0);
}
