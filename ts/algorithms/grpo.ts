/**
 * Group Relative Policy Optimization (Shao et al. 2024, "DeepSeekMath", arXiv:2402.03300, equations 3 and 4), with
 * the two clip bounds of DAPO (Yu et al. 2025, arXiv:2503.14476, equation 8).
 *
 * For a token with log-probability logp, ρ = exp(logp − logp_old), advantage A of its rollout, weight w of the
 * normaliser and c of importance sampling, 1 where the policy itself samples:
 *
 *     L = Σ w · ( −c·min(ρ·A, clip(ρ, 1 − ε_low, 1 + ε_high)·A) + β·k3 )
 *     k3 = exp(d) − d − 1  with  d = logp_ref − logp     (Schulman 2020, "Approximating KL divergence")
 *     dL/dlogp = w · ( −c·ρ·A where the unclipped term is the smaller, else 0;  + β·(1 − exp(d)) )
 *
 * @module
 */

/** A rollout with what its policy loss needs. */
export interface GrpoSequence {
  /** Of each response token under the policy that is trained, `[tokens]`. */
  readonly logprobs: ArrayLike<number>;
  /** Of each response token under the policy before its update, `[tokens]`. */
  readonly oldLogprobs: ArrayLike<number>;
  /** c of each response token, `[tokens]`, from `truncatedImportance`; default 1. */
  readonly importance?: ArrayLike<number>;
  /** Of each response token under the reference, `[tokens]`; needed when β > 0. */
  readonly referenceLogprobs?: ArrayLike<number>;
  /** Of the whole rollout. */
  readonly advantage: number;
  /** Of each of its tokens, from `tokenWeights` over all rollouts of the optimiser step. */
  readonly weight: number;
}

/** Options of {@link grpo}. */
export interface GrpoOptions {
  /** ε_low: the ratio is clipped below 1 − ε_low. */
  readonly clipLow: number;
  /** ε_high: the ratio is clipped above 1 + ε_high. */
  readonly clipHigh: number;
  /** β: weight of the k3 estimate of KL(policy ‖ reference) in the loss; 0 needs no reference. */
  readonly beta: number;
}

/** Sums over tokens, so that those of micro-batches can be added: see {@link addGrpoTotals}. */
export interface GrpoTotals {
  readonly tokens: number;
  /** Tokens whose gradient the lower bound took away (A < 0). */
  readonly clippedLow: number;
  /** Tokens whose gradient the upper bound took away (A > 0). */
  readonly clippedHigh: number;
  /** Σ ρ. */
  readonly ratio: number;
  /** Largest |ρ − 1|. */
  readonly ratioGap: number;
  /** Σ k3 against the reference, in nats; 0 without one. */
  readonly kl: number;
  /** Σ k3 of the policy before its update against the trained one, in nats: how far the updates have moved. */
  readonly oldKl: number;
}

/** What {@link grpo} gives. */
export interface GrpoResult {
  /** This micro-batch's share of the step's loss: the shares of a step add up to its loss. */
  readonly loss: number;
  /** dL/dlogprob of each response token, `[sequences][tokens]`. */
  readonly dLogprobs: readonly Float64Array[];
  readonly totals: GrpoTotals;
}

/** Means over tokens. */
export interface GrpoMetrics {
  readonly tokens: number;
  readonly clipFraction: number;
  readonly clipFractionLow: number;
  readonly clipFractionHigh: number;
  readonly meanRatio: number;
  /** Largest |ρ − 1|. */
  readonly ratioGap: number;
  /** In nats a token. */
  readonly meanKl: number;
  /** In nats a token. */
  readonly meanOldKl: number;
}

/** Totals of no tokens. */
export const NO_GRPO_TOTALS: GrpoTotals = {
  tokens: 0,
  clippedLow: 0,
  clippedHigh: 0,
  ratio: 0,
  ratioGap: 0,
  kl: 0,
  oldKl: 0,
};

/**
 * Coefficients of the GRPO loss for the rollouts of one micro-batch.
 *
 * @throws {RangeError} Lengths differ, β > 0 without reference log-probabilities, or a coefficient is not finite.
 */
export function grpo(sequences: readonly GrpoSequence[], options: GrpoOptions): GrpoResult {
  checkOptions(options);
  let loss = 0;
  let totals = NO_GRPO_TOTALS;
  const dLogprobs = sequences.map((sequence, index) => {
    const result = ofSequence(sequence, options, index);
    loss += result.loss;
    totals = addGrpoTotals(totals, result.totals);
    return result.dLogprobs;
  });
  return { loss, dLogprobs, totals };
}

function ofSequence(
  { logprobs, oldLogprobs, importance, referenceLogprobs, advantage, weight }: GrpoSequence,
  { clipLow, clipHigh, beta }: GrpoOptions,
  index: number,
): { loss: number; dLogprobs: Float64Array; totals: GrpoTotals } {
  const tokens = logprobs.length;
  checkLength("old log-probabilities", oldLogprobs.length, tokens, index);
  if (importance !== undefined) checkLength("importance weights", importance.length, tokens, index);
  if (beta > 0 && referenceLogprobs === undefined) {
    throw new RangeError(`Sequence ${index} has no reference log-probabilities, which "beta" ${beta} needs`);
  }
  if (referenceLogprobs !== undefined) {
    checkLength("reference log-probabilities", referenceLogprobs.length, tokens, index);
  }
  const dLogprobs = new Float64Array(tokens);
  const sums = { ...NO_GRPO_TOTALS, tokens };
  let loss = 0;
  for (let t = 0; t < tokens; t++) {
    const logRatio = logprobs[t]! - oldLogprobs[t]!;
    const ratio = Math.exp(logRatio);
    let value = 0;
    let slope = 0;
    const signal = advantage * (importance?.[t] ?? 1);
    if (signal !== 0) {
      const clipped = Math.min(Math.max(ratio, 1 - clipLow), 1 + clipHigh);
      if (ratio * signal <= clipped * signal) {
        value = -ratio * signal;
        slope = -ratio * signal;
      } else {
        value = -clipped * signal;
        if (signal > 0) sums.clippedHigh++;
        else sums.clippedLow++;
      }
    }
    if (referenceLogprobs !== undefined) {
      const difference = referenceLogprobs[t]! - logprobs[t]!;
      const k3 = Math.expm1(difference) - difference;
      sums.kl += k3;
      value += beta * k3;
      slope -= beta * Math.expm1(difference);
    }
    if (!Number.isFinite(weight * slope) || !Number.isFinite(weight * value)) {
      throw new RangeError(
        `The loss of token ${t} of sequence ${index} is not finite: log-probability "${logprobs[t]}", ` +
          `old "${oldLogprobs[t]}", reference "${referenceLogprobs?.[t]}", advantage "${advantage}", ` +
          `weight "${weight}"`,
      );
    }
    loss += weight * value;
    dLogprobs[t] = weight * slope;
    sums.ratio += ratio;
    sums.ratioGap = Math.max(sums.ratioGap, Math.abs(ratio - 1));
    sums.oldKl += Math.expm1(logRatio) - logRatio;
  }
  return { loss, dLogprobs, totals: sums };
}

function checkOptions({ clipLow, clipHigh, beta }: GrpoOptions): void {
  if (!(clipLow >= 0 && clipLow <= 1)) throw new RangeError(`Expected "clipLow" in [0, 1], not "${clipLow}"`);
  if (!(clipHigh >= 0)) throw new RangeError(`Expected "clipHigh" to be at least 0, not "${clipHigh}"`);
  if (!(beta >= 0 && Number.isFinite(beta))) {
    throw new RangeError(`Expected "beta" to be finite and at least 0, not "${beta}"`);
  }
}

function checkLength(name: string, length: number, expected: number, index: number): void {
  if (length === expected) return;
  throw new RangeError(
    `Sequence ${index} has ${length} ${name}, expected ${expected} as it has log-probabilities`,
  );
}

/** Adds the totals of two micro-batches. */
export function addGrpoTotals(x: GrpoTotals, y: GrpoTotals): GrpoTotals {
  return {
    tokens: x.tokens + y.tokens,
    clippedLow: x.clippedLow + y.clippedLow,
    clippedHigh: x.clippedHigh + y.clippedHigh,
    ratio: x.ratio + y.ratio,
    ratioGap: Math.max(x.ratioGap, y.ratioGap),
    kl: x.kl + y.kl,
    oldKl: x.oldKl + y.oldKl,
  };
}

/** Means of the totals; all 0, with a ratio of 1, where there are no tokens. */
export function grpoMetrics(totals: GrpoTotals): GrpoMetrics {
  const { tokens, clippedLow, clippedHigh, ratio, ratioGap, kl, oldKl } = totals;
  const mean = (sum: number): number => tokens === 0 ? 0 : sum / tokens;
  return {
    tokens,
    clipFraction: mean(clippedLow + clippedHigh),
    clipFractionLow: mean(clippedLow),
    clipFractionHigh: mean(clippedHigh),
    meanRatio: tokens === 0 ? 1 : ratio / tokens,
    ratioGap,
    meanKl: mean(kl),
    meanOldKl: mean(oldKl),
  };
}
