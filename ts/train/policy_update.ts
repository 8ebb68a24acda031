/**
 * One optimiser step of GRPO on a minibatch of rollouts.
 *
 * @module
 */
import { addGrpoTotals, grpo, type GrpoTotals, NO_GRPO_TOTALS, tokenWeights } from "../algorithms/mod.ts";
import { type Engine, EngineError, type StepOptions, type TrainableEngine } from "../engine/mod.ts";
import { gatherResponses, type MicroBatch, microBatches, scatterResponses } from "./batching.ts";
import type { Stage2Config } from "./config.ts";
import type { Rollout } from "./rollouts.ts";

/** A rollout with its advantage. */
export interface RatedRollout extends Rollout {
  readonly advantage: number;
}

/** Options of {@link updatePolicy}. */
export interface UpdateOptions {
  readonly stage: Stage2Config;
  readonly optimizer: StepOptions;
  /** Needed when β > 0. */
  readonly reference: Engine | null;
  /** No update since the rollouts were sampled: their log-probabilities must be the trainer's own, bit for bit. */
  readonly onPolicy: boolean;
  /** Heeded before the weights change. */
  readonly signal?: AbortSignal;
  /** Told of the rollouts of each micro-batch. */
  readonly onDone?: (rollouts: number) => void;
}

/** What {@link updatePolicy} did. */
export interface UpdateReport {
  readonly loss: number;
  readonly gradNorm: number;
  readonly totals: GrpoTotals;
  /** Σ of the entropies of the response tokens' distributions, in nats. */
  readonly entropy: number;
  /** Tokens of all forward passes, shared prefixes once. */
  readonly tokens: number;
}

/**
 * Accumulates the gradient over micro-batches, by weights of the whole minibatch, and applies it.
 *
 * @throws {EngineError} On policy, a log-probability differs from the sampler's: the gradient would be of something
 *   else than what was sampled.
 */
export async function updatePolicy(
  engine: TrainableEngine,
  rollouts: readonly RatedRollout[],
  { stage, optimizer, reference, onPolicy, signal, onDone }: UpdateOptions,
): Promise<UpdateReport> {
  const { temperature, recompute } = stage;
  const weights = tokenWeights(rollouts.map(({ response }) => response.length), stage.normaliser);
  const weighted = rollouts.map((rollout, index) => ({ ...rollout, weight: weights[index]! }));
  let loss = 0;
  let totals = NO_GRPO_TOTALS;
  let entropy = 0;
  let tokens = 0;
  for (const batch of microBatches(weighted, stage.microBatchTokens)) {
    signal?.throwIfAborted();
    const { forest } = batch.layout;
    const options = { temperature, select: batch.select };
    const frozen = reference === null
      ? null
      : gatherResponses(batch, await reference.logprobs(forest, options));
    using tape = await engine.forward(forest, { ...options, recompute, entropy: true });
    const current = gatherResponses(batch, tape.logprobs);
    if (onPolicy) assertOnPolicy(batch, current);
    const result = grpo(
      batch.sequences.map(({ oldLogprobs, importance, advantage, weight }, index) => ({
        logprobs: current[index]!,
        oldLogprobs,
        ...(importance === undefined ? {} : { importance }),
        ...(frozen === null ? {} : { referenceLogprobs: frozen[index]! }),
        advantage,
        weight,
      })),
      stage,
    );
    await tape.backward({ dLogprobs: scatterResponses(batch, result.dLogprobs) });
    loss += result.loss;
    totals = addGrpoTotals(totals, result.totals);
    for (const values of gatherResponses(batch, tape.entropies)) for (const value of values) entropy += value;
    tokens += forest.tokens.length;
    onDone?.(batch.sequences.length);
  }
  signal?.throwIfAborted();
  const { gradNorm } = await engine.step(optimizer);
  return { loss, gradNorm, totals, entropy, tokens };
}

function assertOnPolicy(batch: MicroBatch<Rollout>, current: readonly Float32Array[]): void {
  for (const [index, { oldLogprobs }] of batch.sequences.entries()) {
    const position = oldLogprobs.findIndex((old, t) => old !== current[index]![t]);
    if (position < 0) continue;
    throw new EngineError(
      "internal",
      `Sampler and trainer disagree on token ${position} of a rollout: log-probability ` +
        `"${oldLogprobs[position]}" as sampled, "${current[index]![position]}" as trained`,
    );
  }
}
