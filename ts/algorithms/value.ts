/**
 * The value loss of PPO with clipping (Schulman et al. 2017, arXiv:1707.06347, in the form of the released baselines):
 *
 *     L = c·Σ w · ½·max( (V − R)², (clip(V, V_old − ε, V_old + ε) − R)² )
 *
 * @module
 */

/** A response with what its value loss needs. */
export interface ValueSequence {
  /** V before each token under the critic that is trained, `[tokens]`. */
  readonly values: ArrayLike<number>;
  /** V before each token before the update, `[tokens]`. */
  readonly oldValues: ArrayLike<number>;
  /** R from each token on, `[tokens]`. */
  readonly returns: ArrayLike<number>;
  /** w of each of its tokens, from `tokenWeights` over all sequences of the optimiser step. */
  readonly weight: number;
}

/** Options of {@link valueLoss}. */
export interface ValueOptions {
  /** ε; null does not clip. */
  readonly clip: number | null;
  /** c. */
  readonly coefficient: number;
}

/** Sums over tokens, so that those of micro-batches can be added: see {@link addValueTotals}. */
export interface ValueTotals {
  readonly tokens: number;
  /** Tokens whose gradient the clipping took away. */
  readonly clipped: number;
  /** Σ V. */
  readonly value: number;
  /** Σ (V − R)². */
  readonly squaredError: number;
}

/** Means over tokens. */
export interface ValueMetrics {
  readonly clipFraction: number;
  readonly meanValue: number;
  readonly meanSquaredError: number;
}

/** What {@link valueLoss} gives. */
export interface ValueResult {
  /** This micro-batch's share of the step's loss: the shares of a step add up to its loss. */
  readonly loss: number;
  /** dL/dV, `[sequences][tokens]`. */
  readonly dValues: readonly Float64Array[];
  readonly totals: ValueTotals;
}

/** Totals of no tokens. */
export const NO_VALUE_TOTALS: ValueTotals = { tokens: 0, clipped: 0, value: 0, squaredError: 0 };

/**
 * Coefficients of the value loss for the responses of one micro-batch.
 *
 * @throws {RangeError} Lengths differ, an option is out of range, or a coefficient is not finite.
 */
export function valueLoss(
  sequences: readonly ValueSequence[],
  { clip, coefficient }: ValueOptions,
): ValueResult {
  if (clip !== null && !(clip > 0)) throw new RangeError(`Expected "clip" above 0, not "${clip}"`);
  if (!(coefficient >= 0 && Number.isFinite(coefficient))) {
    throw new RangeError(`Expected "coefficient" to be finite and at least 0, not "${coefficient}"`);
  }
  let loss = 0;
  const totals = { ...NO_VALUE_TOTALS };
  const dValues = sequences.map(({ values, oldValues, returns, weight }, index) => {
    for (const [name, list] of [["old values", oldValues], ["returns", returns]] as const) {
      if (list.length === values.length) continue;
      throw new RangeError(
        `Sequence ${index} has ${list.length} ${name}, expected ${values.length} as it has values`,
      );
    }
    return Float64Array.from({ length: values.length }, (_, t) => {
      const [value, old, target] = [values[t]!, oldValues[t]!, returns[t]!];
      const clipped = clip === null ? value : Math.min(Math.max(value, old - clip), old + clip);
      const isClipped = (clipped - target) ** 2 > (value - target) ** 2;
      const error = (isClipped ? clipped : value) - target;
      const slope = isClipped ? 0 : coefficient * weight * error;
      const share = coefficient * weight * error ** 2 / 2;
      if (!Number.isFinite(share) || !Number.isFinite(slope)) {
        throw new RangeError(
          `The value loss of token ${t} of sequence ${index} is not finite: value "${value}", old "${old}", ` +
            `return "${target}", weight "${weight}"`,
        );
      }
      loss += share;
      totals.tokens++;
      if (isClipped) totals.clipped++;
      totals.value += value;
      totals.squaredError += (value - target) ** 2;
      return slope;
    });
  });
  return { loss, dValues, totals };
}

/** Adds the totals of two micro-batches. */
export function addValueTotals(x: ValueTotals, y: ValueTotals): ValueTotals {
  return {
    tokens: x.tokens + y.tokens,
    clipped: x.clipped + y.clipped,
    value: x.value + y.value,
    squaredError: x.squaredError + y.squaredError,
  };
}

/** Means of the totals; all 0 where there are no tokens. */
export function valueMetrics({ tokens, clipped, value, squaredError }: ValueTotals): ValueMetrics {
  const mean = (sum: number): number => tokens === 0 ? 0 : sum / tokens;
  return { clipFraction: mean(clipped), meanValue: mean(value), meanSquaredError: mean(squaredError) };
}
