/**
 * One optimiser step of the policy on a minibatch of rollouts.
 *
 * @module
 */
import {
  addPolicyTotals,
  addValueTotals,
  NO_POLICY_TOTALS,
  NO_VALUE_TOTALS,
  policyLoss,
  type PolicyTotals,
  tokenWeights,
  type ValueTotals,
} from "../algorithms/mod.ts";
import { EngineError, type StepOptions, type TrainableEngine } from "../engine/mod.ts";
import { gatherResponses, type MicroBatch, microBatches, scatterResponses } from "./batching.ts";
import type { Stage2Config } from "./config.ts";
import { criticLoss, statesOf, weighValues } from "./critic.ts";
import { applyStep, assertFinite } from "./diverged.ts";
import type { RatedRollout } from "./rating.ts";
import type { Rollout } from "./rollouts.ts";

/** Options of {@link updatePolicy}. */
export interface UpdateOptions {
  readonly stage: Stage2Config;
  readonly optimizer: StepOptions;
  /** No update since the rollouts were sampled: their log-probabilities must be the trainer's own, bit for bit. */
  readonly onPolicy: boolean;
  /** Heeded before the weights change. */
  readonly signal?: AbortSignal;
  /** Told of the rollouts of each micro-batch. */
  readonly onDone?: (rollouts: number) => void;
}

/** What {@link updatePolicy} did. */
export interface UpdateReport {
  /** The value loss of a shared trunk is not in it. */
  readonly loss: number;
  readonly gradNorm: number;
  readonly totals: PolicyTotals;
  /** Of a critic on the policy's trunk, else none. */
  readonly value: { readonly loss: number; readonly totals: ValueTotals };
  /** Σ of the entropies of the response tokens' distributions, in nats. */
  readonly entropy: number;
  /** Tokens of all forward passes, shared prefixes once. */
  readonly tokens: number;
}

/**
 * Accumulates the gradient over micro-batches, by weights of the whole minibatch, and applies it; that of a critic on
 * the policy's trunk with it.
 *
 * @throws {EngineError} On policy, a log-probability differs from the sampler's: the gradient would be of something
 *   else than what was sampled.
 * @throws {DivergedError} A log-probability or the gradient is not finite.
 */
export async function updatePolicy(
  engine: TrainableEngine,
  rollouts: readonly RatedRollout[],
  { stage, optimizer, onPolicy, signal, onDone }: UpdateOptions,
): Promise<UpdateReport> {
  const { temperature, recompute, kl } = stage;
  const critic = stage.critic?.trunk === "shared" ? stage.critic : null;
  const weights = tokenWeights(rollouts.map(({ response }) => response.length), stage.normaliser);
  const weighted = weighValues(rollouts.map((rollout, index) => ({ ...rollout, weight: weights[index]! })));
  const penalty = {
    coefficient: kl.place === "loss" ? kl.coefficient : 0,
    estimator: kl.estimator === "k1" ? "k3" as const : kl.estimator,
  };
  let loss = 0;
  let totals = NO_POLICY_TOTALS;
  let valueLoss = 0;
  let valueTotals = NO_VALUE_TOTALS;
  let entropy = 0;
  let tokens = 0;
  for (const batch of microBatches(weighted, stage.microBatchTokens)) {
    signal?.throwIfAborted();
    const { forest } = batch.layout;
    const states = critic === null ? null : statesOf(batch);
    using tape = await engine.forward(forest, {
      temperature,
      select: batch.select,
      recompute,
      entropy: true,
      ...(states !== null && { scores: states.tokens }),
    });
    const current = gatherResponses(batch, tape.logprobs);
    assertFinite(batch, current);
    if (onPolicy) assertOnPolicy(batch, current);
    const result = policyLoss(
      batch.sequences.map((sequence, index) => ({ ...sequence, logprobs: current[index]! })),
      { ...stage, kl: penalty },
    );
    const ofValues = critic === null ? null : criticLoss(batch, states!, tape, critic);
    await tape.backward({
      dLogprobs: scatterResponses(batch, result.dLogprobs),
      ...(ofValues !== null && { dScores: ofValues.dScores }),
    });
    loss += result.loss;
    totals = addPolicyTotals(totals, result.totals);
    if (ofValues !== null) {
      valueLoss += ofValues.loss;
      valueTotals = addValueTotals(valueTotals, ofValues.totals);
    }
    for (const values of gatherResponses(batch, tape.entropies)) for (const value of values) entropy += value;
    tokens += forest.tokens.length;
    onDone?.(batch.sequences.length);
  }
  signal?.throwIfAborted();
  const { gradNorm } = await applyStep(engine, optimizer);
  return { loss, gradNorm, totals, value: { loss: valueLoss, totals: valueTotals }, entropy, tokens };
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
