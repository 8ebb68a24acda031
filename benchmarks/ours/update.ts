/**
 * Forward and backward of a GRPO update, with what sequences share stored once or not.
 *
 * @module
 */
import { policyLoss, tokenWeights } from "../../ts/algorithms/mod.ts";
import { flatForest, scatterMask, type TrainableEngine } from "../../ts/engine/mod.ts";
import {
  gatherResponses,
  type MicroBatch,
  microBatches,
  scatterResponses,
  type Sequence,
} from "../../ts/train/batching.ts";
import type { UpdateJob } from "../protocol.ts";

/** Sequences stored whole, cut like the trainer's micro-batches by tokens. */
export function* flatBatches<S extends Sequence>(
  sequences: readonly S[],
  tokenBudget: number,
): Generator<MicroBatch<S>> {
  const lengthOf = ({ prompt, response }: Sequence): number => prompt.length + response.length;
  let batch: S[] = [];
  let tokens = 0;
  for (const sequence of sequences) {
    if (batch.length > 0 && tokens + lengthOf(sequence) > tokenBudget) {
      yield flatBatch(batch);
      [batch, tokens] = [[], 0];
    }
    batch.push(sequence);
    tokens += lengthOf(sequence);
  }
  if (batch.length > 0) yield flatBatch(batch);
}

function flatBatch<S extends Sequence>(sequences: readonly S[]): MicroBatch<S> {
  const layout = flatForest(
    sequences.map(({ prompt, response }) => Uint32Array.of(...prompt, ...response)),
  );
  const masks = sequences.map(({ prompt, response }) =>
    new Uint8Array(prompt.length + response.length).fill(1, prompt.length)
  );
  return { sequences, layout, select: scatterMask(layout, masks) };
}

/**
 * Accumulates the gradient of a GRPO loss and throws it away.
 *
 * @param input each prompt, followed by its responses
 * @returns tokens of all sequences, each counted whole whatever the layout
 */
export async function update(
  engine: TrainableEngine,
  { rollouts, recompute, layout, microBatchTokens }: UpdateJob,
  input: readonly (readonly number[])[],
): Promise<number> {
  const sequences = input.flatMap((ids, index) => {
    if (index % (rollouts + 1) !== 0) return [];
    const prompt = Uint32Array.from(ids);
    return input.slice(index + 1, index + 1 + rollouts).map((response, rollout) => ({
      prompt,
      response: Uint32Array.from(response),
      advantages: new Float64Array(response.length).fill(rollout % 2 === 0 ? 1 : -1),
    }));
  });
  const weights = tokenWeights(sequences.map(({ response }) => response.length), { kind: "token-mean" });
  const weighted = sequences.map((sequence, index) => ({ ...sequence, weight: weights[index]! }));
  const cut = layout === "forest" ? microBatches : flatBatches;
  for (const batch of cut(weighted, microBatchTokens)) {
    using tape = await engine.forward(batch.layout.forest, { select: batch.select, recompute });
    const current = gatherResponses(batch, tape.logprobs);
    const { dLogprobs } = policyLoss(
      batch.sequences.map(({ advantages, weight }, index) => ({
        logprobs: current[index]!,
        oldLogprobs: current[index]!,
        advantages,
        weight,
      })),
      {
        clipLow: 0.2,
        clipHigh: 0.2,
        dualClip: null,
        ratio: "token",
        kl: { coefficient: 0, estimator: "k3" },
      },
    );
    await tape.backward({ dLogprobs: scatterResponses(batch, dLogprobs) });
  }
  await engine.discardGradients();
  return sequences.reduce((sum, { prompt, response }) => sum + prompt.length + response.length, 0);
}
