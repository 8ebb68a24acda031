/**
 * Truncated importance sampling, for rollouts of a sampler that is not the policy (Ionides 2008; for quantised
 * samplers of language models Yao et al. 2025, "Your Efficient RL Framework Secretly Brings You Off-Policy RL
 * Training"). With log-probabilities of a token under the policy before its update and under the sampler, the token's
 * policy term has the constant weight
 *
 *     w = min(exp(logp_old − logp_sampler), C)
 *
 * @module
 */

/** Log-probabilities of a rollout's tokens under two policies. */
export interface SampledElsewhere {
  /** Under the policy before its update, `[tokens]`. */
  readonly oldLogprobs: ArrayLike<number>;
  /** As the sampler drew them, `[tokens]`. */
  readonly samplerLogprobs: ArrayLike<number>;
}

/** Sums over tokens of how far a sampler is from the policy. */
export interface GapTotals {
  readonly tokens: number;
  /** Σ |logp_old − logp_sampler|, in nats. */
  readonly gap: number;
  /** Largest |logp_old − logp_sampler|, in nats. */
  readonly maxGap: number;
  /** Σ k3 of KL(sampler ‖ policy), in nats (Schulman 2020, "Approximating KL divergence"). */
  readonly kl: number;
  /** Σ w. */
  readonly weight: number;
  /** Tokens whose weight is the cap. */
  readonly truncated: number;
}

/** Means over tokens. */
export interface GapMetrics {
  /** |logp_old − logp_sampler|, in nats. */
  readonly meanGap: number;
  /** Largest, in nats. */
  readonly maxGap: number;
  /** k3 of KL(sampler ‖ policy), in nats a token. */
  readonly meanKl: number;
  readonly meanWeight: number;
  /** Share of tokens whose weight is the cap. */
  readonly truncatedFraction: number;
}

/** Totals of no tokens. */
export const NO_GAP_TOTALS: GapTotals = { tokens: 0, gap: 0, maxGap: 0, kl: 0, weight: 0, truncated: 0 };

/**
 * Weights of each token of some rollouts.
 *
 * @param cap C, above 0
 * @throws {RangeError} Lengths differ, or a log-probability is not finite.
 */
export function truncatedImportance(
  rollouts: readonly SampledElsewhere[],
  cap: number,
): { readonly weights: readonly Float64Array[]; readonly totals: GapTotals } {
  if (!(cap > 0)) throw new RangeError(`Expected "cap" above 0, not "${cap}"`);
  const totals = { ...NO_GAP_TOTALS };
  const weights = rollouts.map(({ oldLogprobs, samplerLogprobs }, index) => {
    if (oldLogprobs.length !== samplerLogprobs.length) {
      throw new RangeError(
        `Rollout ${index} has ${samplerLogprobs.length} log-probabilities of the sampler, expected ` +
          `${oldLogprobs.length}`,
      );
    }
    return Float64Array.from(samplerLogprobs, (sampled, t) => {
      const difference = oldLogprobs[t]! - sampled;
      if (!Number.isFinite(difference)) {
        throw new RangeError(
          `Token ${t} of rollout ${index} has log-probability "${
            oldLogprobs[t]
          }", the sampler's "${sampled}": ` +
            `expected finite numbers`,
        );
      }
      const ratio = Math.exp(difference);
      totals.tokens++;
      totals.gap += Math.abs(difference);
      totals.maxGap = Math.max(totals.maxGap, Math.abs(difference));
      totals.kl += Math.expm1(difference) - difference;
      if (ratio >= cap) totals.truncated++;
      const weight = Math.min(ratio, cap);
      totals.weight += weight;
      return weight;
    });
  });
  return { weights, totals };
}

/** Adds the totals of two batches. */
export function addGapTotals(x: GapTotals, y: GapTotals): GapTotals {
  return {
    tokens: x.tokens + y.tokens,
    gap: x.gap + y.gap,
    maxGap: Math.max(x.maxGap, y.maxGap),
    kl: x.kl + y.kl,
    weight: x.weight + y.weight,
    truncated: x.truncated + y.truncated,
  };
}

/** Means of the totals; all 0, with a weight of 1, where there are no tokens. */
export function gapMetrics({ tokens, gap, maxGap, kl, weight, truncated }: GapTotals): GapMetrics {
  const mean = (sum: number): number => tokens === 0 ? 0 : sum / tokens;
  return {
    meanGap: mean(gap),
    maxGap,
    meanKl: mean(kl),
    meanWeight: tokens === 0 ? 1 : weight / tokens,
    truncatedFraction: mean(truncated),
  };
}
