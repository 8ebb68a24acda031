/**
 * Stratified samples.
 *
 * @module
 */
import { hashFraction } from "rm-r1/data";

/** Options of {@link stratifiedSample}. */
export interface SampleOptions<Item> {
  /** Size of the sample; all items are taken where there are no more. */
  readonly limit: number;
  readonly seed: number;
  readonly stratumOf: (item: Item) => string;
  /** Unique in the set. */
  readonly keyOf: (item: Item) => string;
}

/**
 * A seeded sample whose strata are as large, relative to each other, as the set's, with at least one item of each; a
 * limit below the number of strata takes one item of each of the largest. Seats go by Webster's method, which is
 * house-monotone, and items by their own draw: a sample is a part of every larger one with the same seed. The order of
 * the items is kept.
 *
 * @throws {RangeError} The limit is not a positive integer.
 */
export function stratifiedSample<Item>(items: readonly Item[], options: SampleOptions<Item>): Item[] {
  const { limit, seed, stratumOf, keyOf } = options;
  if (!Number.isSafeInteger(limit) || limit < 1) {
    throw new RangeError(`Limit is "${limit}", expected a positive integer`);
  }
  const strata = Object.entries(Object.groupBy(items, stratumOf)).map(([name, members]) => {
    const drawn = members!.map((item) => ({ item, draw: hashFraction(seed, `sample\0${keyOf(item)}`) }));
    return { name, members: drawn.sort((x, y) => x.draw - y.draw), seats: 0 };
  }).sort((x, y) => y.members.length - x.members.length || (x.name < y.name ? -1 : 1));
  for (let seat = 0; seat < Math.min(limit, items.length); seat++) {
    const open = strata.filter(({ members, seats }) => seats < members.length);
    const next = open.find(({ seats }) => seats === 0) ??
      open.reduce((best, stratum) =>
        stratum.members.length * (2 * best.seats + 1) > best.members.length * (2 * stratum.seats + 1)
          ? stratum
          : best
      );
    next.seats++;
  }
  const taken = new Set(
    strata.flatMap(({ members, seats }) => members.slice(0, seats).map(({ item }) => item)),
  );
  return items.filter((item) => taken.has(item));
}
