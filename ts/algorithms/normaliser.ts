/**
 * What a policy loss is divided by. The weights are a function of all sequences of an optimiser step, so that cutting
 * the step into micro-batches cannot change its gradient.
 *
 * @module
 */

/**
 * How the tokens of an optimiser step of N sequences with |o_i| tokens each are averaged.
 *
 * - `token-mean`: every token weighs 1 / Σ|o_i| (DAPO, Yu et al. 2025, arXiv:2503.14476, equation 8).
 * - `sequence-mean`: every sequence weighs 1 / N, each of its tokens 1 / (N·|o_i|) (GRPO, Shao et al. 2024,
 *   arXiv:2402.03300, equation 3).
 * - `constant`: every token weighs 1 / (N·length) (Dr. GRPO, Liu et al. 2025, arXiv:2503.20783, section 3.2).
 */
export type Normaliser =
  | { readonly kind: "token-mean" }
  | { readonly kind: "sequence-mean" }
  | { readonly kind: "constant"; readonly length: number };

/**
 * Weight of each token of each sequence of an optimiser step.
 *
 * @param lengths loss tokens of every sequence of the whole step, `[sequences]`
 * @returns weight of one token, `[sequences]`; 0 for a sequence of no tokens
 * @throws {RangeError} A length is no count, or the constant length is not above 0.
 */
export function tokenWeights(lengths: readonly number[], normaliser: Normaliser): Float64Array {
  let total = 0;
  for (const [index, length] of lengths.entries()) {
    if (!Number.isSafeInteger(length) || length < 0) {
      throw new RangeError(`Expected the length of sequence ${index} to be a count, not "${length}"`);
    }
    total += length;
  }
  if (normaliser.kind === "constant" && !(normaliser.length > 0 && Number.isFinite(normaliser.length))) {
    throw new RangeError(`Expected the constant length to be above 0, not "${normaliser.length}"`);
  }
  return Float64Array.from(lengths, (length) => {
    if (length === 0) return 0;
    switch (normaliser.kind) {
      case "token-mean":
        return 1 / total;
      case "sequence-mean":
        return 1 / (lengths.length * length);
      case "constant":
        return 1 / (lengths.length * normaliser.length);
    }
  });
}
