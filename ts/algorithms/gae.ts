/**
 * Generalised advantage estimation (Schulman et al. 2015, arXiv:1506.02438, equations 11 and 16) over the tokens of a
 * response, behind whose last token nothing is worth anything:
 *
 *     δ_t = r_t + γ·V_{t+1} − V_t        A_t = δ_t + γλ·A_{t+1}        R_t = A_t + V_t
 *
 * @module
 */

/** A response with its rewards and what a critic expected. */
export interface ValuedResponse {
  /** Of each token, `[tokens]`. */
  readonly rewards: ArrayLike<number>;
  /** Before each token, `[tokens]`. */
  readonly values: ArrayLike<number>;
}

/** Options of {@link generalizedAdvantages}. */
export interface GaeOptions {
  /** γ: what a reward one token later is worth, in [0, 1]. */
  readonly gamma: number;
  /** λ: 0 trusts the values alone, 1 the rewards alone; in [0, 1]. */
  readonly lambda: number;
}

/** What {@link generalizedAdvantages} gives. */
export interface AdvantageEstimate {
  /** A_t, `[tokens]`. */
  readonly advantages: Float64Array;
  /** R_t: what the value before the token is to become, `[tokens]`. */
  readonly returns: Float64Array;
}

/**
 * Advantages and returns of a response.
 *
 * @param name of the response, for errors
 * @throws {RangeError} Lengths differ, a number is not finite, or γ or λ is outside [0, 1].
 */
export function generalizedAdvantages(
  { rewards, values }: ValuedResponse,
  { gamma, lambda }: GaeOptions,
  name: string = "the response",
): AdvantageEstimate {
  for (const [key, value] of [["gamma", gamma], ["lambda", lambda]] as const) {
    if (!(value >= 0 && value <= 1)) throw new RangeError(`Expected "${key}" in [0, 1], not "${value}"`);
  }
  const tokens = rewards.length;
  if (values.length !== tokens) {
    throw new RangeError(`Expected ${tokens} values of ${name}, as it has rewards, not "${values.length}"`);
  }
  const advantages = new Float64Array(tokens);
  const returns = new Float64Array(tokens);
  let next = 0;
  let advantage = 0;
  for (let t = tokens - 1; t >= 0; t--) {
    const value = values[t]!;
    advantage = rewards[t]! + gamma * next - value + gamma * lambda * advantage;
    if (!Number.isFinite(advantage)) {
      throw new RangeError(
        `The advantage of token ${t} of ${name} is not finite: reward "${
          rewards[t]
        }", value "${value}", the next one "${next}"`,
      );
    }
    advantages[t] = advantage;
    returns[t] = advantage + value;
    next = value;
  }
  return { advantages, returns };
}

/**
 * (x − mean) / √(variance + ε) over all tokens of a step, the variance with n − 1 (as TRL and verl have it; OpenRLHF
 * divides by n). A single token has no spread to be measured by: it is left as it is.
 *
 * @param lists advantages, `[sequences][tokens]`
 * @returns shaped as `lists`
 * @throws {RangeError} An advantage is not finite.
 */
export function whiten(lists: readonly ArrayLike<number>[], epsilon = 1e-8): Float64Array[] {
  const values = lists.map((list, sequence) =>
    Float64Array.from(list, (value, token) => {
      if (Number.isFinite(value)) return value;
      throw new RangeError(
        `Expected the advantage of token ${token} of sequence ${sequence} to be finite, not "${value}"`,
      );
    })
  );
  const count = values.reduce((sum, list) => sum + list.length, 0);
  if (count < 2) return values;
  const total = (of: (value: number) => number): number =>
    values.reduce((sum, list) => list.reduce((inner, value) => inner + of(value), sum), 0);
  // Measured from one of the values, so that equal ones are shifted to exactly 0.
  const origin = values.find((list) => list.length > 0)![0]!;
  const mean = origin + total((value) => value - origin) / count;
  const scale = 1 / Math.sqrt(total((value) => (value - mean) ** 2) / (count - 1) + epsilon);
  return values.map((list) => list.map((value) => (value - mean) * scale));
}
