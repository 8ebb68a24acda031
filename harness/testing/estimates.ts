/**
 * Figures of outcomes that a test makes up.
 *
 * @module
 */
import type { BenchItem, Benchmark, ItemOutcome } from "../benchmark.ts";
import { averageRows, estimate, type Estimates } from "../figures.ts";

/** Figures without intervals. */
export function figuresOf(benchmark: Benchmark, outcomes: readonly ItemOutcome[]): Estimates {
  return estimate(benchmark, averageRows(benchmark, [outcomes]), { seed: 0, replicates: 0 })!;
}

/** Outcomes of so many items of a subset, each of one pair with this value. */
export function repeated(subset: string, count: number, value: number): ItemOutcome[] {
  const item: BenchItem = { key: "", subset, conversation: [], answers: [], pairs: [[0, 1]] };
  return Array.from({ length: count }, () => ({ item, pairs: [value], scores: null }));
}
