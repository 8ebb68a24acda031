/**
 * Estimates of KL(policy ‖ reference) from one sampled token (Schulman 2020, "Approximating KL divergence"), with
 * d = logp − logp_ref:
 *
 *     k1 = d          k2 = d²/2          k3 = exp(−d) − 1 + d
 *
 * k1 and k3 have the divergence as their expectation. As a loss only the slope counts: that of k1 is 1, which is 0 in
 * expectation whatever the distance; that of k2 is the gradient of the divergence in expectation; that of k3 is
 * the gradient of the reverse divergence, KL(reference ‖ policy), where the policy is the one that samples. As a
 * reward it is k1 whose expected policy gradient is that of the divergence.
 *
 * @module
 */

/** The estimates. */
export type KlEstimator = "k1" | "k2" | "k3";

/** The estimate of a token, in nats, and its derivative by the token's log-probability. */
export function klEstimate(
  estimator: KlEstimator,
  logprob: number,
  reference: number,
): { readonly value: number; readonly slope: number } {
  const difference = logprob - reference;
  switch (estimator) {
    case "k1":
      return { value: difference, slope: 1 };
    case "k2":
      return { value: difference ** 2 / 2, slope: difference };
    case "k3":
      return { value: Math.expm1(-difference) + difference, slope: -Math.expm1(-difference) };
  }
}
