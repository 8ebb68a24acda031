/**
 * Puts the answers of records in places A and B.
 *
 * @module
 */
import { hashFraction } from "./hash.ts";
import type { PlacedPair, PreferenceRecord, Side } from "./record.ts";

/**
 * Where the better answer stands. `alternate`: A, B, A, … in the order of the records, as RM-R1 was trained.
 * `seeded`: by a hash of the seed and the record's id, so that a record keeps its place whatever else is in the set.
 */
export type Placement = { readonly kind: "alternate" } | { readonly kind: "seeded"; readonly seed: number };

/** The record with its better answer in the given place. */
export function place(record: PreferenceRecord, gold: Side): PlacedPair {
  const { chosen, rejected } = record;
  return gold === "A" ? { record, a: chosen, b: rejected, gold } : { record, a: rejected, b: chosen, gold };
}

/** Places each record once. */
export function placeAll(records: readonly PreferenceRecord[], placement: Placement): PlacedPair[] {
  return records.map((record, index) => {
    const first = placement.kind === "alternate"
      ? index % 2 === 0
      : hashFraction(placement.seed, `place\0${record.id}`) < 0.5;
    return place(record, first ? "A" : "B");
  });
}

/** The record in both orders, the better answer first in the first one. */
export function bothOrders(record: PreferenceRecord): [PlacedPair, PlacedPair] {
  return [place(record, "A"), place(record, "B")];
}
