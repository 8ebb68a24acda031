/**
 * The Bradley–Terry loss of scalar reward models (Bradley and Terry 1952; for language models Ouyang et al. 2022,
 * arXiv:2203.02155, equation 1), with a margin (Touvron et al. 2023, arXiv:2307.09288, equation 2) and a penalty that
 * keeps scores about 0 (Eisenstein et al. 2023, arXiv:2312.09244, section 2):
 *
 *     L = (1/N) Σ ( −log σ(s_c − s_r − m) + c·(s_c + s_r)² )
 *     dL/ds_c = (1/N)·( −σ(−(s_c − s_r − m)) + 2c·(s_c + s_r) )
 *     dL/ds_r = (1/N)·(  σ(−(s_c − s_r − m)) + 2c·(s_c + s_r) )
 *
 * @module
 */

/** The scores of a pair. */
export interface ScoredPair {
  /** Of the better answer. */
  readonly chosen: number;
  /** Of the worse answer. */
  readonly rejected: number;
  /** m: by how much the better one is to lead. Default 0. */
  readonly margin?: number;
}

/** Options of {@link bradleyTerry}. */
export interface BradleyTerryOptions {
  /** N: pairs of the whole optimiser step, of all its micro-batches. */
  readonly pairs: number;
  /** c; 0 lets scores drift. */
  readonly centring: number;
}

/** Sums over pairs, so that those of micro-batches can be added: see {@link addBradleyTerryTotals}. */
export interface BradleyTerryTotals {
  readonly pairs: number;
  /** Pairs whose better answer has the higher score; equal scores are not right. */
  readonly correct: number;
  /** Σ (s_c − s_r). */
  readonly lead: number;
  /** Σ (s_c + s_r)/2. */
  readonly middle: number;
}

/** Means over pairs. */
export interface BradleyTerryMetrics {
  readonly accuracy: number;
  /** s_c − s_r. */
  readonly meanLead: number;
  /** (s_c + s_r)/2: how far scores have drifted from 0. */
  readonly meanScore: number;
}

/** What {@link bradleyTerry} gives. */
export interface BradleyTerryResult {
  /** This micro-batch's share of the step's loss: the shares of a step add up to its loss. */
  readonly loss: number;
  /** dL/ds_c, `[pairs]`. */
  readonly dChosen: Float64Array;
  /** dL/ds_r, `[pairs]`. */
  readonly dRejected: Float64Array;
  readonly totals: BradleyTerryTotals;
}

/** Totals of no pairs. */
export const NO_BRADLEY_TERRY_TOTALS: BradleyTerryTotals = { pairs: 0, correct: 0, lead: 0, middle: 0 };

/**
 * Coefficients of the Bradley–Terry loss for the pairs of one micro-batch.
 *
 * @throws {RangeError} A score or margin is not finite, an option is out of range, or there are more pairs than the
 *   step has.
 */
export function bradleyTerry(pairs: readonly ScoredPair[], options: BradleyTerryOptions): BradleyTerryResult {
  const { pairs: count, centring } = options;
  if (!Number.isSafeInteger(count) || count < pairs.length) {
    throw new RangeError(
      `Expected the step to have at least the ${pairs.length} pairs given, not "${count}"`,
    );
  }
  if (!(centring >= 0 && Number.isFinite(centring))) {
    throw new RangeError(`Expected "centring" to be finite and at least 0, not "${centring}"`);
  }
  const dChosen = new Float64Array(pairs.length);
  const dRejected = new Float64Array(pairs.length);
  const totals = { ...NO_BRADLEY_TERRY_TOTALS };
  let loss = 0;
  for (const [index, { chosen, rejected, margin = 0 }] of pairs.entries()) {
    const lead = chosen - rejected;
    const sum = chosen + rejected;
    if (![chosen, rejected, margin, lead, sum].every(Number.isFinite)) {
      throw new RangeError(
        `Expected the scores and the margin of pair ${index} to be finite, not "${chosen}", "${rejected}" and ` +
          `"${margin}"`,
      );
    }
    const distance = lead - margin;
    // log(1 + e^(−x)) and σ(−x), without an overflow on either side.
    const small = Math.exp(-Math.abs(distance));
    const softplus = Math.max(-distance, 0) + Math.log1p(small);
    const doubt = (distance > 0 ? small : 1) / (1 + small);
    loss += (softplus + centring * sum ** 2) / count;
    dChosen[index] = (-doubt + 2 * centring * sum) / count;
    dRejected[index] = (doubt + 2 * centring * sum) / count;
    totals.pairs++;
    if (lead > 0) totals.correct++;
    totals.lead += lead;
    totals.middle += sum / 2;
  }
  return { loss, dChosen, dRejected, totals };
}

/** Adds the totals of two micro-batches. */
export function addBradleyTerryTotals(x: BradleyTerryTotals, y: BradleyTerryTotals): BradleyTerryTotals {
  return {
    pairs: x.pairs + y.pairs,
    correct: x.correct + y.correct,
    lead: x.lead + y.lead,
    middle: x.middle + y.middle,
  };
}

/** Means of the totals; all 0 where there are no pairs. */
export function bradleyTerryMetrics(
  { pairs, correct, lead, middle }: BradleyTerryTotals,
): BradleyTerryMetrics {
  const mean = (sum: number): number => pairs === 0 ? 0 : sum / pairs;
  return { accuracy: mean(correct), meanLead: mean(lead), meanScore: mean(middle) };
}
