/**
 * Folds of cross-validation.
 *
 * @module
 */
import { hashFraction } from "rm-r1/data";
import type { BenchItem } from "../benchmark.ts";

/** Folds: each is scored by what was learnt from the others. */
export const FOLDS = 5;

/** The fold of each item. Items with the same conversation are in the same one, so that nothing of it is learnt. */
export function foldsOf(items: readonly BenchItem[], seed: number): number[] {
  return items.map(({ conversation }) =>
    Math.floor(FOLDS * hashFraction(seed, `fold\0${JSON.stringify(conversation)}`))
  );
}
