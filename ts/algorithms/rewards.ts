/**
 * Rewards of single tokens, with the divergence from the reference held down there rather than in the loss (Stiennon
 * et al. 2020, arXiv:2009.01325, section 3.4; per token in Ouyang et al. 2022, arXiv:2203.02155, section 3.5):
 *
 *     r_t = −β·k1_t        and at the last token  r_n = −β·k1_n + reward        k1_t = logp_old_t − logp_ref_t
 *
 * @module
 */
import { klEstimate } from "./kl.ts";

/** A rollout with what it earned. */
export interface RewardedRollout {
  /** Of the whole response. */
  readonly reward: number;
  /** Of each response token under the policy before its update, `[tokens]`. */
  readonly oldLogprobs: ArrayLike<number>;
  /** Of each response token under the reference, `[tokens]`; needed when the coefficient is above 0. */
  readonly referenceLogprobs?: ArrayLike<number>;
}

/**
 * Rewards of a rollout's tokens. A response of no tokens chose nothing, so it has none.
 *
 * @param coefficient β, at least 0
 * @param name of the rollout, for errors
 * @returns `[tokens]`
 * @throws {RangeError} β > 0 without reference log-probabilities, lengths differ, or a number is not finite.
 */
export function tokenRewards(
  { reward, oldLogprobs, referenceLogprobs }: RewardedRollout,
  coefficient: number,
  name: string = "the rollout",
): Float64Array {
  if (!(coefficient >= 0 && Number.isFinite(coefficient))) {
    throw new RangeError(`Expected the coefficient to be finite and at least 0, not "${coefficient}"`);
  }
  if (!Number.isFinite(reward)) {
    throw new RangeError(`Expected the reward of ${name} to be finite, not "${reward}"`);
  }
  const tokens = oldLogprobs.length;
  const rewards = new Float64Array(tokens);
  if (coefficient > 0) {
    if (referenceLogprobs?.length !== tokens) {
      throw new RangeError(
        `Expected ${tokens} reference log-probabilities of ${name}, as it has old ones, not "${
          referenceLogprobs?.length ?? 0
        }"`,
      );
    }
    for (let t = 0; t < tokens; t++) {
      rewards[t] = -coefficient * klEstimate("k1", oldLogprobs[t]!, referenceLogprobs[t]!).value;
      if (Number.isFinite(rewards[t])) continue;
      throw new RangeError(
        `The reward of token ${t} of ${name} is not finite: old log-probability "${oldLogprobs[t]}", ` +
          `reference "${referenceLogprobs[t]}"`,
      );
    }
  }
  if (tokens > 0) rewards[tokens - 1]! += reward;
  return rewards;
}

/**
 * Σ_{u ≥ t} r_u: what the choice of a token can still have changed. Where the reward of {@link tokenRewards} is a
 * rollout's group-relative advantage, these are GRPO's advantages with the divergence in the reward. It is taken off
 * after the group is normalised: before, a group of equal verdicts would be spread to ±1 by its divergences alone.
 *
 * @param rewards of a rollout's tokens, `[tokens]`
 * @returns `[tokens]`
 */
export function rewardsToGo(rewards: ArrayLike<number>): Float64Array {
  const sums = Float64Array.from(rewards);
  for (let t = sums.length - 2; t >= 0; t--) sums[t]! += sums[t + 1]!;
  return sums;
}
