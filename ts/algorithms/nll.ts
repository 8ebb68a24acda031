/**
 * Negative log-likelihood of target tokens: the loss of distillation.
 *
 * @module
 */

/** Options of {@link nll}. */
export interface NllOptions {
  /** Target tokens of the whole optimiser step, of all its micro-batches. */
  readonly tokens: number;
}

/** What {@link nll} gives. */
export interface NllResult {
  /** This micro-batch's share of the step's loss, in nats a token: the shares of a step add up to its loss. */
  readonly loss: number;
  /** dL/dlogprob of each target token, shaped as the log-probabilities given. */
  readonly dLogprobs: readonly Float64Array[];
}

/**
 * L = −(1/N) Σ log π(o_t | q, o_<t) over the N target tokens of an optimiser step, so dL/dlogprob_t = −1/N.
 *
 * @param logprobs of the target tokens alone, `[sequences][targets]`; a prompt's tokens carry no loss and are left out
 * @throws {RangeError} A log-probability is not finite, or there are more of them than the step has tokens.
 */
export function nll(logprobs: readonly ArrayLike<number>[], { tokens }: NllOptions): NllResult {
  let sum = 0;
  let count = 0;
  for (const [sequence, values] of logprobs.entries()) {
    for (let t = 0; t < values.length; t++) {
      const value = values[t]!;
      if (!Number.isFinite(value)) {
        throw new RangeError(
          `Expected the log-probability of target ${t} of sequence ${sequence} to be finite, not "${value}"`,
        );
      }
      sum += value;
    }
    count += values.length;
  }
  if (!Number.isSafeInteger(tokens) || tokens < count) {
    throw new RangeError(`Expected the step to have at least the ${count} targets given, not "${tokens}"`);
  }
  return {
    loss: count === 0 ? 0 : -sum / tokens,
    dLogprobs: logprobs.map((values) => new Float64Array(values.length).fill(-1 / tokens)),
  };
}
