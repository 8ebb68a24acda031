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
 * @throws {RangeError} Lengths differ, a number is not finite, or γ or λ is outside [0, 1].
 */
export function generalizedAdvantages(
  { rewards, values }: ValuedResponse,
  options: GaeOptions,
): AdvantageEstimate {
  const { gamma, lambda } = options;
  for (const [name, value] of [["gamma", gamma], ["lambda", lambda]] as const) {
    if (!(value >= 0 && value <= 1)) throw new RangeError(`Expected "${name}" in [0, 1], not "${value}"`);
  }
  const tokens = rewards.length;
  if (values.length !== tokens) {
    throw new RangeError(`A response has ${values.length} values, expected ${tokens} as it has rewards`);
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
        `The advantage of token ${t} is not finite: reward "${
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
 * Shifts and scales the advantages of all tokens of a step to mean 0 and standard deviation 1, with n − 1 as TRL and
 * verl have it. One token alone is only shifted.
 *
 * @param lists advantages, `[sequences][tokens]`
 * @returns shaped as `lists`
 */
export function whiten(lists: readonly ArrayLike<number>[], epsilon = 1e-8): Float64Array[] {
  let [count, sum] = [0, 0];
  for (const list of lists) {
    count += list.length;
    for (let t = 0; t < list.length; t++) sum += list[t]!;
  }
  const mean = count === 0 ? 0 : sum / count;
  let squares = 0;
  for (const list of lists) for (let t = 0; t < list.length; t++) squares += (list[t]! - mean) ** 2;
  const scale = count < 2 ? 1 : 1 / Math.sqrt(squares / (count - 1) + epsilon);
  return lists.map((list) => Float64Array.from(list, (value) => (value - mean) * scale));
}
