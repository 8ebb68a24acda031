/**
 * The clipped policy loss of PPO, GRPO and their family, as coefficients.
 *
 * For a token with log-probability logp, advantage A, weight w of the normaliser and c of importance sampling, 1 where
 * the policy itself samples:
 *
 *     L = Σ w · ( l + β·k )        l = −c·min(ρ·A, clip(ρ, 1 − ε_low, 1 + ε_high)·A)
 *
 * - PPO (Schulman et al. 2017, arXiv:1707.06347, equation 7) and GRPO (Shao et al. 2024, arXiv:2402.03300, equation 3):
 *   ρ = exp(logp − logp_old) of the token.
 * - DAPO (Yu et al. 2025, arXiv:2503.14476, equation 8): ε_high above ε_low.
 * - GSPO (Zheng et al. 2025, arXiv:2507.18071, equation 7): ρ = exp(mean of logp − logp_old over the sequence).
 * - Dual clip (Ye et al. 2020, arXiv:1912.09729, equation 5): where A < 0, l is at most −C·c·A.
 * - k is an estimate of KL(policy ‖ reference): see `klEstimate`.
 *
 * @module
 */
import { klEstimate, type KlEstimator } from "./kl.ts";

/** A rollout with what its policy loss needs. */
export interface PolicySequence {
  /** Of each response token under the policy that is trained, `[tokens]`. */
  readonly logprobs: ArrayLike<number>;
  /** Of each response token under the policy before its update, `[tokens]`. */
  readonly oldLogprobs: ArrayLike<number>;
  /** c of each response token, `[tokens]`, from `truncatedImportance`; default 1. */
  readonly importance?: ArrayLike<number>;
  /** Of each response token under the reference, `[tokens]`; needed when β > 0. */
  readonly referenceLogprobs?: ArrayLike<number>;
  /** A of each response token, `[tokens]`. */
  readonly advantages: ArrayLike<number>;
  /** w of each of its tokens, from `tokenWeights` over all rollouts of the optimiser step. */
  readonly weight: number;
}

/** Options of {@link policyLoss}. */
export interface PolicyOptions {
  /** ε_low: the ratio is clipped below 1 − ε_low. */
  readonly clipLow: number;
  /** ε_high: the ratio is clipped above 1 + ε_high. */
  readonly clipHigh: number;
  /** C, above 1; null does not bound the loss of tokens with A < 0. */
  readonly dualClip: number | null;
  /** Whether ρ is of a token, or of a whole sequence (GSPO). */
  readonly ratio: "token" | "sequence";
  readonly kl: {
    /** β; 0 needs no reference. */
    readonly coefficient: number;
    /** Not k1, whose gradient is 0 in expectation. */
    readonly estimator: Exclude<KlEstimator, "k1">;
  };
}

/** Sums over tokens, so that those of micro-batches can be added: see {@link addPolicyTotals}. */
export interface PolicyTotals {
  readonly tokens: number;
  /** Tokens whose gradient the lower bound took away (A < 0). */
  readonly clippedLow: number;
  /** Tokens whose gradient the upper bound took away (A > 0). */
  readonly clippedHigh: number;
  /** Tokens whose gradient the dual clip took away (A < 0). */
  readonly clippedDual: number;
  /** Σ ρ. */
  readonly ratio: number;
  /** Largest |ρ − 1|. */
  readonly ratioGap: number;
  /** Σ k3 against the reference, in nats; 0 without one. */
  readonly kl: number;
  /** Σ k3 of the policy before its update against the trained one, in nats: how far the updates have moved. */
  readonly oldKl: number;
}

/** What {@link policyLoss} gives. */
export interface PolicyResult {
  /** This micro-batch's share of the step's loss: the shares of a step add up to its loss. */
  readonly loss: number;
  /** dL/dlogprob of each response token, `[sequences][tokens]`. */
  readonly dLogprobs: readonly Float64Array[];
  readonly totals: PolicyTotals;
}

/** Means over tokens. */
export interface PolicyMetrics {
  readonly tokens: number;
  /** Of all bounds. */
  readonly clipFraction: number;
  readonly clipFractionLow: number;
  readonly clipFractionHigh: number;
  readonly clipFractionDual: number;
  readonly meanRatio: number;
  /** Largest |ρ − 1|. */
  readonly ratioGap: number;
  /** k3 against the reference, in nats a token. */
  readonly meanKl: number;
  /** In nats a token. */
  readonly meanOldKl: number;
}

/** Totals of no tokens. */
export const NO_POLICY_TOTALS: PolicyTotals = {
  tokens: 0,
  clippedLow: 0,
  clippedHigh: 0,
  clippedDual: 0,
  ratio: 0,
  ratioGap: 0,
  kl: 0,
  oldKl: 0,
};

/**
 * Coefficients of the policy loss for the rollouts of one micro-batch.
 *
 * @throws {RangeError} Lengths differ, an option is out of range, β > 0 without reference log-probabilities, or a
 *   coefficient is not finite.
 */
export function policyLoss(sequences: readonly PolicySequence[], options: PolicyOptions): PolicyResult {
  checkOptions(options);
  let loss = 0;
  let totals = NO_POLICY_TOTALS;
  const dLogprobs = sequences.map((sequence, index) => {
    checkSequence(sequence, options, index);
    const result = ofSequence(sequence, options, index);
    loss += result.loss;
    totals = addPolicyTotals(totals, result.totals);
    return result.dLogprobs;
  });
  return { loss, dLogprobs, totals };
}

function ofSequence(
  { logprobs, oldLogprobs, importance, referenceLogprobs, advantages, weight }: PolicySequence,
  options: PolicyOptions,
  index: number,
): { loss: number; dLogprobs: Float64Array; totals: PolicyTotals } {
  const tokens = logprobs.length;
  const { kl: { coefficient, estimator } } = options;
  const sums = { ...NO_POLICY_TOTALS, tokens };
  const logRatios = Float64Array.from({ length: tokens }, (_, t) => logprobs[t]! - oldLogprobs[t]!);
  const meanLogRatio = logRatios.reduce((sum, value) => sum + value, 0) / tokens;
  const dLogprobs = new Float64Array(tokens);
  let loss = 0;
  // dL/dlog ρ of a sequence's ratio, which all of its tokens share.
  let shared = 0;
  for (let t = 0; t < tokens; t++) {
    const ratio = Math.exp(options.ratio === "token" ? logRatios[t]! : meanLogRatio);
    const signal = advantages[t]! * (importance?.[t] ?? 1);
    const term = clippedTerm(ratio, signal, options);
    if (term.clipped !== null) sums[term.clipped]++;
    let { value, slope } = term;
    if (options.ratio === "sequence") {
      shared += weight * slope / tokens;
      slope = 0;
    }
    if (referenceLogprobs !== undefined) {
      const penalty = klEstimate(estimator, logprobs[t]!, referenceLogprobs[t]!);
      sums.kl += estimator === "k3"
        ? penalty.value
        : klEstimate("k3", logprobs[t]!, referenceLogprobs[t]!).value;
      value += coefficient * penalty.value;
      slope += coefficient * penalty.slope;
    }
    // A sum that is not finite here is this token's doing: those before it were checked.
    if (![logRatios[t]!, sums.kl, weight * slope + shared, weight * value].every(Number.isFinite)) {
      throw new RangeError(
        `The loss of token ${t} of sequence ${index} is not finite: log-probability "${logprobs[t]}", ` +
          `old "${oldLogprobs[t]}", reference "${referenceLogprobs?.[t]}", advantage "${advantages[t]}", ` +
          `importance "${importance?.[t] ?? 1}", weight "${weight}"`,
      );
    }
    loss += weight * value;
    dLogprobs[t] = weight * slope;
    sums.ratio += ratio;
    sums.ratioGap = Math.max(sums.ratioGap, Math.abs(ratio - 1));
    sums.oldKl += Math.expm1(logRatios[t]!) - logRatios[t]!;
  }
  return {
    loss,
    dLogprobs: shared === 0 ? dLogprobs : dLogprobs.map((slope) => slope + shared),
    totals: sums,
  };
}

/** The clipped term of one token with signal c·A, and its derivative by log ρ. */
function clippedTerm(
  ratio: number,
  signal: number,
  { clipLow, clipHigh, dualClip }: PolicyOptions,
): { value: number; slope: number; clipped: "clippedLow" | "clippedHigh" | "clippedDual" | null } {
  if (signal === 0) return { value: 0, slope: 0, clipped: null };
  const bounded = Math.min(Math.max(ratio, 1 - clipLow), 1 + clipHigh);
  if (signal < 0 && dualClip !== null && Math.max(ratio, bounded) > dualClip) {
    return { value: -dualClip * signal, slope: 0, clipped: "clippedDual" };
  }
  if (ratio * signal <= bounded * signal) {
    return { value: -ratio * signal, slope: -ratio * signal, clipped: null };
  }
  return { value: -bounded * signal, slope: 0, clipped: signal > 0 ? "clippedHigh" : "clippedLow" };
}

function checkOptions({ clipLow, clipHigh, dualClip, kl: { coefficient } }: PolicyOptions): void {
  if (!(clipLow >= 0 && clipLow <= 1)) throw new RangeError(`Expected "clipLow" in [0, 1], not "${clipLow}"`);
  if (!(clipHigh >= 0)) throw new RangeError(`Expected "clipHigh" to be at least 0, not "${clipHigh}"`);
  if (dualClip !== null && !(dualClip > 1)) {
    throw new RangeError(`Expected "dualClip" to be above 1, not "${dualClip}"`);
  }
  if (!(coefficient >= 0 && Number.isFinite(coefficient))) {
    throw new RangeError(`Expected "kl.coefficient" to be finite and at least 0, not "${coefficient}"`);
  }
}

function checkSequence(
  { logprobs, oldLogprobs, importance, referenceLogprobs, advantages }: PolicySequence,
  { kl: { coefficient } }: PolicyOptions,
  index: number,
): void {
  if (coefficient > 0 && referenceLogprobs === undefined) {
    throw new RangeError(
      `Sequence ${index} has no reference log-probabilities, which "kl.coefficient" ${coefficient} needs`,
    );
  }
  const lists = [
    ["old log-probabilities", oldLogprobs],
    ["importance weights", importance],
    ["reference log-probabilities", referenceLogprobs],
    ["advantages", advantages],
  ] as const;
  for (const [name, list] of lists) {
    if (list === undefined || list.length === logprobs.length) continue;
    throw new RangeError(
      `Sequence ${index} has ${list.length} ${name}, expected ${logprobs.length} as it has log-probabilities`,
    );
  }
}

/** Adds the totals of two micro-batches. */
export function addPolicyTotals(x: PolicyTotals, y: PolicyTotals): PolicyTotals {
  return {
    tokens: x.tokens + y.tokens,
    clippedLow: x.clippedLow + y.clippedLow,
    clippedHigh: x.clippedHigh + y.clippedHigh,
    clippedDual: x.clippedDual + y.clippedDual,
    ratio: x.ratio + y.ratio,
    ratioGap: Math.max(x.ratioGap, y.ratioGap),
    kl: x.kl + y.kl,
    oldKl: x.oldKl + y.oldKl,
  };
}

/** Means of the totals; all 0, with a ratio of 1, where there are no tokens. */
export function policyMetrics(totals: PolicyTotals): PolicyMetrics {
  const { tokens, clippedLow, clippedHigh, clippedDual, ratio, ratioGap, kl, oldKl } = totals;
  const mean = (sum: number): number => tokens === 0 ? 0 : sum / tokens;
  return {
    tokens,
    clipFraction: mean(clippedLow + clippedHigh + clippedDual),
    clipFractionLow: mean(clippedLow),
    clipFractionHigh: mean(clippedHigh),
    clipFractionDual: mean(clippedDual),
    meanRatio: tokens === 0 ? 1 : ratio / tokens,
    ratioGap,
    meanKl: mean(kl),
    meanOldKl: mean(oldKl),
  };
}
