/**
 * From verdicts to advantages: rewards, penalties, and what a group or a critic makes of them.
 *
 * @module
 */
import {
  generalizedAdvantages,
  groupAdvantages,
  overlongPenalty,
  rewardsToGo,
  tokenRewards,
  whiten,
} from "../algorithms/mod.ts";
import type { Engine, TrainableEngine } from "../engine/mod.ts";
import { gatherResponses, microBatches } from "./batching.ts";
import type { Stage2Config } from "./config.ts";
import { valuesOf } from "./critic.ts";
import { isCut } from "./rollout_report.ts";
import type { Rollout, RolloutGroup } from "./rollouts.ts";
import { RunError } from "./run_error.ts";
import type { StepRunOptions } from "./stage.ts";

/** A rollout with its advantages. */
export interface RatedRollout extends Rollout {
  /** Of each response token, `[tokens]`. */
  readonly advantages: Float64Array;
  /** Of each response token under the reference, `[tokens]`, where there is one. */
  readonly referenceLogprobs?: Float32Array;
  /** Before each response token under the critic, `[tokens]`, where there is one. */
  readonly oldValues?: Float32Array;
  /** From each response token on, `[tokens]`, where there is a critic. */
  readonly returns?: Float64Array;
}

/** The rated rollouts of one prompt. */
export interface RatedGroup extends RolloutGroup {
  readonly rollouts: readonly RatedRollout[];
}

/** What ratings are made with. */
export interface RatingOptions {
  readonly stage: Stage2Config;
  /** Needed where the KL coefficient is above 0. */
  readonly reference: Engine | null;
  /** Needed by PPO. */
  readonly critic: TrainableEngine | null;
}

/** Whether a rollout was cut short and so is left out of the losses, where the configuration masks such. */
export function isMasked({ finish }: Pick<Rollout, "finish">, { overlong }: Stage2Config): boolean {
  return overlong.kind === "mask" && isCut(finish);
}

/** Rates the rollouts of a step. What is masked is rated too, but has no part in whitening. */
export async function rate(
  groups: readonly RolloutGroup[],
  { stage, reference, critic }: RatingOptions,
  { signal, onProgress }: StepRunOptions,
): Promise<RatedGroup[]> {
  const all = groups.flatMap(({ rollouts }) => rollouts);
  const scored = (done: number): void => onProgress?.({ phase: "scoring", done, of: all.length });
  const references = new Map<Rollout, Float32Array>();
  if (reference !== null) {
    for (const batch of microBatches(all, stage.microBatchTokens)) {
      signal?.throwIfAborted();
      const options = { temperature: stage.temperature, select: batch.select };
      const found = gatherResponses(batch, await reference.logprobs(batch.layout.forest, options));
      for (const [index, rollout] of batch.sequences.entries()) references.set(rollout, found[index]!);
      scored(references.size);
    }
  }
  signal?.throwIfAborted();
  const values = critic === null ? null : await valuesOf(critic, all, stage);
  const returns = new Map<Rollout, Float64Array>();
  const advantages = new Map<Rollout, Float64Array>();
  for (const { example, rollouts } of groups) {
    const scores = rollouts.map((rollout, index) => {
      const score = finalReward(rollout, stage);
      assertReward(score, index, example.pair.record.id);
      return score;
    });
    const earned = values === null ? groupAdvantages(scores, { std: stage.std }) : scores;
    for (const [index, rollout] of rollouts.entries()) {
      const name = `rollout ${index} of record "${example.pair.record.id}"`;
      const rewards = rewardsOf(rollout, earned[index]!, references.get(rollout), stage, name);
      if (values === null) {
        advantages.set(rollout, rewardsToGo(rewards));
        continue;
      }
      const estimate = generalizedAdvantages({ rewards, values: values.get(rollout)! }, stage.gae, name);
      advantages.set(rollout, estimate.advantages);
      returns.set(rollout, estimate.returns);
    }
  }
  if (values !== null && stage.whiten) {
    const counted = all.filter((rollout) => !isMasked(rollout, stage));
    const whitened = whiten(counted.map((rollout) => advantages.get(rollout)!));
    for (const [index, rollout] of counted.entries()) advantages.set(rollout, whitened[index]!);
  }
  return groups.map((group) => ({
    ...group,
    rollouts: group.rollouts.map((rollout) => ({
      ...rollout,
      advantages: advantages.get(rollout)!,
      ...(references.has(rollout) && { referenceLogprobs: references.get(rollout)! }),
      ...(values !== null && { oldValues: values.get(rollout)!, returns: returns.get(rollout)! }),
    })),
  }));
}

/** The verdict's reward, with the penalty for length. */
function finalReward({ response, reward }: Rollout, { overlong, maxNewTokens }: Stage2Config): number {
  if (overlong.kind !== "penalty") return reward;
  const { buffer, weight } = overlong;
  return reward + weight * overlongPenalty(response.length, { maxTokens: maxNewTokens, buffer });
}

/** Each response token's rewards: what the rollout earned, and the KL term where it counts in the reward. */
function rewardsOf(
  { oldLogprobs }: Rollout,
  reward: number,
  referenceLogprobs: Float32Array | undefined,
  { kl }: Stage2Config,
  name: string,
): Float64Array {
  return tokenRewards(
    { reward, oldLogprobs, ...(referenceLogprobs !== undefined && { referenceLogprobs }) },
    kl.place === "reward" ? kl.coefficient : 0,
    name,
  );
}

function assertReward(reward: number, rollout: number, id: string): void {
  if (Number.isFinite(reward)) return;
  throw new RunError(
    `The reward of rollout ${rollout} of record "${id}" is "${reward}", expected a finite number`,
  );
}
