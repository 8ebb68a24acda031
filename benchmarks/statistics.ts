/**
 * What a row of the comparison says of two sides' samples.
 *
 * @module
 */
import type { Sample } from "./protocol.ts";

/** Least, median and greatest of some measurements. */
export interface Summary {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** The quantity that a metric compares. */
export type MetricKind = "rate" | "step" | "memory" | "first token" | "process";

/** A bound of {@link Comparison.ratio}. */
export type Goal = { readonly atLeast: number } | { readonly atMost: number };

/** What is compared in a row, and what is aimed at. */
export interface Metric {
  readonly kind: MetricKind;
  /** Null where nothing is aimed at. */
  readonly goal: Goal | null;
}

/** How a kind of metric is read off a sample and compared. */
interface Reading {
  readonly unit: string;
  readonly value: (sample: Sample) => number;
  /** `ours/peer`, or `peer/ours` where the ratio is to say how many times faster. */
  readonly ratio: "ours/peer" | "peer/ours";
}

const READINGS: Readonly<Record<MetricKind, Reading>> = {
  rate: { unit: "tok/s", value: ({ tokens, seconds }) => tokens / seconds, ratio: "ours/peer" },
  step: { unit: "s", value: ({ seconds }) => seconds, ratio: "peer/ours" },
  memory: { unit: "GB", value: ({ peakBytes }) => peakBytes / 1e9, ratio: "ours/peer" },
  "first token": { unit: "s", value: ({ seconds }) => seconds, ratio: "ours/peer" },
  process: { unit: "s", value: processSeconds, ratio: "ours/peer" },
};

function processSeconds({ processSeconds }: Sample): number {
  if (processSeconds === undefined) {
    throw new RangeError("A sample has no time of its process, which only processes of one repetition have");
  }
  return processSeconds;
}

/** Both sides in one metric. */
export interface Comparison extends Metric {
  readonly unit: string;
  readonly ours: Summary;
  readonly peer: Summary;
  /** `ours/peer`, but for `step` `peer/ours`. `median`: of the sides' medians; `min` and `max`: of the pairs. */
  readonly ratio: Summary;
  /** Null without a goal. */
  readonly met: boolean | null;
}

/**
 * Least, median and greatest value.
 *
 * @throws {RangeError} There is none, or one is not a number.
 */
export function summarise(values: readonly number[]): Summary {
  if (values.length === 0 || values.some(Number.isNaN)) {
    throw new RangeError(`Measurements are "${values.join()}", expected at least one, all of them numbers`);
  }
  const sorted = [...values].sort((x, y) => x - y);
  const upper = sorted.length >> 1;
  const lower = (sorted.length - 1) >> 1;
  return { min: sorted[0]!, median: (sorted[lower]! + sorted[upper]!) / 2, max: sorted.at(-1)! };
}

/** Whether a ratio reaches a goal. */
export function meets(ratio: number, goal: Goal): boolean {
  return "atLeast" in goal ? ratio >= goal.atLeast : ratio <= goal.atMost;
}

/**
 * Compares two sides whose samples were taken in turn: ours[i] just before peer[i].
 *
 * @throws {RangeError} The sides have different numbers of samples, or none.
 */
export function compare(metric: Metric, ours: readonly Sample[], peer: readonly Sample[]): Comparison {
  if (ours.length !== peer.length) {
    throw new RangeError(
      `Found ${ours.length} samples of ours and ${peer.length} of the peer, expected pairs`,
    );
  }
  const { unit, value, ratio } = READINGS[metric.kind];
  const divide = (x: number, y: number): number => ratio === "ours/peer" ? x / y : y / x;
  const [own, others] = [ours.map(value), peer.map(value)];
  const [ourSummary, peerSummary] = [summarise(own), summarise(others)];
  const pairs = summarise(own.map((each, index) => divide(each, others[index]!)));
  const median = divide(ourSummary.median, peerSummary.median);
  return {
    ...metric,
    unit,
    ours: ourSummary,
    peer: peerSummary,
    ratio: { min: pairs.min, median, max: pairs.max },
    met: metric.goal === null ? null : meets(median, metric.goal),
  };
}
