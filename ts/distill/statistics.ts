/**
 * What became of the pairs of a distillation.
 *
 * @module
 */
import type { ProblemKind, QuoteOutcome } from "../cor/mod.ts";
import type { PlacedPair, Side, SkipReason, TraceRecord } from "../data/mod.ts";
import { qualityOf, type Rejection } from "./assess.ts";

/** What became of a pair in a pass. */
export type PassOutcome =
  | "kept"
  | Rejection
  | SkipReason
  | "prompt-too-long"
  | "unanswered: budget"
  | "unanswered: failed"
  | "unanswered: refused";

/** The passes by name: those of an oracle, and traces from the data. */
export type PassName = "pass 1" | "pass 2" | "data";

/** A pair with what became of it, pass by pass. */
export interface PairResult {
  readonly pair: PlacedPair;
  /** In the order of the passes; of a local model, one for each sample. */
  readonly outcomes: readonly { readonly pass: PassName; readonly outcome: PassOutcome }[];
  /** Null where no trace was kept. */
  readonly record: TraceRecord | null;
}

/** Counts over the pairs. */
export interface DistillStatistics {
  readonly pairs: number;
  /** Traces that were kept. */
  readonly kept: number;
  /** Of those, by the place of the better answer. */
  readonly sides: Readonly<Record<Side, number>>;
  /** What became of pairs (of a local model: of samples), by pass. */
  readonly passes: Readonly<Partial<Record<PassName, Readonly<Record<string, number>>>>>;
  /** Quotes of kept traces, by whether they stand in the answer that they quote. */
  readonly quotes: Readonly<Record<QuoteOutcome, number>>;
  /** Kept traces with a quote that does not. */
  readonly tracesWithMissingQuotes: number;
  /** Kept traces by what is wrong with their form. */
  readonly problems: Readonly<Partial<Record<ProblemKind, number>>>;
}

/** Counts what became of pairs. */
export function statisticsOf(results: readonly PairResult[]): DistillStatistics {
  const passes: Partial<Record<PassName, Record<string, number>>> = {};
  const sides = { A: 0, B: 0 };
  const quotes = { exact: 0, normalised: 0, missing: 0, empty: 0 };
  const problems: Partial<Record<ProblemKind, number>> = {};
  let tracesWithMissingQuotes = 0;
  for (const { pair, outcomes, record } of results) {
    for (const { pass, outcome } of outcomes) {
      const counts = passes[pass] ??= {};
      counts[outcome] = (counts[outcome] ?? 0) + 1;
    }
    if (record === null) continue;
    sides[pair.gold]++;
    const quality = qualityOf(record.trace, pair);
    for (const found of ["exact", "normalised", "missing", "empty"] as const) {
      quotes[found] += quality.quotes[found];
    }
    if (quality.quotes.missing + quality.quotes.empty > 0) tracesWithMissingQuotes++;
    for (const kind of quality.problems) problems[kind] = (problems[kind] ?? 0) + 1;
  }
  return {
    pairs: results.length,
    kept: sides.A + sides.B,
    sides,
    passes,
    quotes,
    tracesWithMissingQuotes,
    problems,
  };
}

/** The record of a kept trace. */
export function recordOf(
  { record: { id, group = id, conversation }, a, b, gold }: PlacedPair,
  { trace, pass, model }: Pick<TraceRecord, "trace" | "pass" | "model">,
): TraceRecord {
  return { id, group, conversation, a, b, gold, trace, pass, model };
}
