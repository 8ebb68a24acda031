/**
 * Whether a judge is right as often as it is sure.
 *
 * @module
 */
import type { Side } from "rm-r1/data";
import type { JudgedItem, JudgedOrder } from "./outcomes.ts";
import { isRead } from "./outcomes.ts";
import { type Interval, wilsonInterval } from "./statistics.ts";

/** Judgements of about the same confidence. */
export interface CalibrationBin {
  /** Bounds of the confidence; the lower one belongs to the bin, the upper one to the last bin alone. */
  readonly from: number;
  readonly to: number;
  readonly n: number;
  /** Mean confidence. */
  readonly confidence: number;
  readonly accuracy: number;
  readonly interval: Interval;
}

/** How confidence and accuracy go together. */
export interface Calibration {
  /** What confidence is: the share of the readable votes for the pick, or the probability of the verdict. */
  readonly of: "vote-share" | "probability";
  readonly n: number;
  /** Those that have judgements, from 0.5 to 1. */
  readonly bins: readonly CalibrationBin[];
  /** Expected calibration error (Guo et al. 2017, arXiv:1706.04599, equation 3) over the bins. */
  readonly ece: number;
  /** Brier score of the probability that A is the better answer (Brier 1950): 0.25 for one that is always even. */
  readonly brier: number;
}

/** Bins of equal width between 0.5 and 1. */
const BINS = 5;

/** A judgement with its probability of A. */
interface Point {
  readonly a: number;
  readonly gold: Side;
}

/** The calibration of votes where there are several, else of probabilities; null where there are neither. */
export function calibrationOf(judged: readonly JudgedItem[]): Calibration | null {
  const orders = judged.flatMap(({ pairs }) => pairs.flat());
  const byVotes = orders.some(({ samples }) => samples.length > 1);
  const points = orders.flatMap((order): Point[] => {
    const a = byVotes ? voteShare(order) : order.judgement.probabilityA;
    return a === undefined ? [] : [{ a, gold: order.gold }];
  });
  if (points.length === 0) return null;
  const bins = Array.from({ length: BINS }, (_, at) => binOf(points, at)).filter(({ n }) => n > 0);
  return {
    of: byVotes ? "vote-share" : "probability",
    n: points.length,
    bins,
    ece: bins.reduce((sum, { n, accuracy, confidence }) => sum + n * Math.abs(accuracy - confidence), 0) /
      points.length,
    brier: points.reduce((sum, { a, gold }) => sum + (a - (gold === "A" ? 1 : 0)) ** 2, 0) / points.length,
  };
}

/** Share of the votes for A among those that could be read; undefined where none could. */
function voteShare({ samples }: JudgedOrder): number | undefined {
  const votes = samples.map(({ outcome }) => outcome).filter(isRead);
  return votes.length === 0 ? undefined : votes.filter(({ kind }) => kind === "A").length / votes.length;
}

function binOf(points: readonly Point[], at: number): CalibrationBin {
  const [from, to] = [0.5 + at * 0.5 / BINS, 0.5 + (at + 1) * 0.5 / BINS];
  const within = points.map(({ a, gold }) => {
    const confidence = Math.max(a, 1 - a);
    // An even judgement picks neither: it is right half of the time.
    const right = a === 0.5 ? 0.5 : (a > 0.5) === (gold === "A") ? 1 : 0;
    return { confidence, right };
  }).filter(({ confidence }) => confidence >= from && (confidence < to || at === BINS - 1));
  const n = within.length;
  if (n === 0) return { from, to, n, confidence: NaN, accuracy: NaN, interval: [0, 1] };
  const right = within.reduce((sum, each) => sum + each.right, 0);
  return {
    from,
    to,
    n,
    confidence: within.reduce((sum, each) => sum + each.confidence, 0) / n,
    accuracy: right / n,
    interval: wilsonInterval(right, n),
  };
}
