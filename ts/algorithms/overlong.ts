/**
 * A penalty for length (DAPO, Yu et al. 2025, arXiv:2503.14476, equation 13).
 *
 * @module
 */

/** Options of {@link overlongPenalty}. */
export interface OverlongOptions {
  /** Most tokens that a rollout may have. */
  readonly maxTokens: number;
  /** Tokens before that over which the penalty grows, from 1 to `maxTokens`. */
  readonly buffer: number;
}

/**
 * 0 up to maxTokens − buffer, −1 from maxTokens on, and a line between.
 *
 * @throws {RangeError} The tokens are no count, or the buffer is outside its range.
 */
export function overlongPenalty(tokens: number, { maxTokens, buffer }: OverlongOptions): number {
  if (!(buffer > 0 && buffer <= maxTokens)) {
    throw new RangeError(`Expected "buffer" above 0 and at most ${maxTokens}, not "${buffer}"`);
  }
  if (!(Number.isSafeInteger(tokens) && tokens >= 0)) {
    throw new RangeError(`Expected the tokens of a rollout to be a count, not "${tokens}"`);
  }
  const over = tokens - (maxTokens - buffer);
  return over <= 0 ? 0 : -Math.min(over / buffer, 1);
}
