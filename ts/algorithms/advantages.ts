/**
 * Group-relative advantages.
 *
 * @module
 */

/**
 * What a group's centred rewards are divided by: `sample` is the standard deviation with n − 1, `population` with n,
 * `none` leaves them undivided (Dr. GRPO, Liu et al. 2025, arXiv:2503.20783).
 */
export type AdvantageStd = "sample" | "population" | "none";

/** Options of {@link groupAdvantages}. */
export interface AdvantageOptions {
  readonly std: AdvantageStd;
  /** Added to the standard deviation. Default 1e-6. */
  readonly epsilon?: number;
}

/**
 * A_i = (r_i − mean(r)) / (std(r) + ε) over the rollouts of one prompt (GRPO, Shao et al. 2024, arXiv:2402.03300,
 * section 4.1.2). A group of one, or of equal rewards, says nothing of which rollout is better: its advantages are
 * exactly 0.
 *
 * @param rewards `[rollouts]`
 * @returns advantages, `[rollouts]`
 * @throws {RangeError} A reward is not finite.
 */
export function groupAdvantages(rewards: readonly number[], options: AdvantageOptions): Float64Array {
  const { std, epsilon = 1e-6 } = options;
  for (const [index, reward] of rewards.entries()) {
    if (!Number.isFinite(reward)) {
      throw new RangeError(`Expected the reward of rollout ${index} to be finite, not "${reward}"`);
    }
  }
  const n = rewards.length;
  if (!hasSpread(rewards)) return new Float64Array(n);
  const mean = rewards.reduce((sum, reward) => sum + reward, 0) / n;
  const centred = Float64Array.from(rewards, (reward) => reward - mean);
  if (std === "none") return centred;
  const squares = centred.reduce((sum, value) => sum + value * value, 0);
  const divisor = Math.sqrt(squares / (std === "sample" ? n - 1 : n)) + epsilon;
  return centred.map((value) => value / divisor);
}

/** Whether a group's rewards differ at all: without that it teaches nothing. */
export function hasSpread(rewards: readonly number[]): boolean {
  return rewards.some((reward) => reward !== rewards[0]);
}
