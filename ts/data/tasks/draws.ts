/**
 * Counter-based random draws: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 *
 * @module
 */

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;

/** The high 32 bits of the 64-bit product of two unsigned 32-bit integers. */
function multiplyHigh(x: number, y: number): number {
  return Number((BigInt(x) * BigInt(y)) >> 32n);
}

/** Four unsigned 32-bit words. */
export type Counter = readonly [number, number, number, number];

/** One block of Philox4x32-10: four unsigned 32-bit words that depend on nothing but the counter and the key. */
export function philox(counter: Counter, key: readonly [number, number]): Counter {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const low0 = Math.imul(MULTIPLIER_0, c0) >>> 0;
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** The draws of one item: the same names give the same draws, whatever else is drawn. */
export class Draws {
  readonly #key: readonly [number, number];
  readonly #item: number;
  readonly #attempt: number;
  #block = 0;
  #words: number[] = [];

  /**
   * @param seed of the whole set, an unsigned 32-bit integer
   * @param stream separates the uses of one seed, an unsigned 32-bit integer
   * @param item index of the item in its stream
   * @param attempt counts the item's rejected predecessors
   */
  constructor(seed: number, stream: number, item: number, attempt: number) {
    this.#key = [seed >>> 0, stream >>> 0];
    this.#item = item;
    this.#attempt = attempt;
  }

  /** The next unsigned 32-bit word. */
  word(): number {
    if (this.#words.length === 0) {
      this.#words = [...philox([this.#item, this.#attempt, this.#block++, 0], this.#key)];
    }
    return this.#words.shift()!;
  }

  /** An integer from 0 to `count` − 1. */
  below(count: number): number {
    return Math.floor(this.word() / 2 ** 32 * count);
  }

  /** An integer from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.word() / 2 ** 32 < probability;
  }

  /** One element of a list that is not empty. */
  pick<T>(list: readonly T[]): T {
    if (list.length === 0) throw new RangeError("Nothing to pick from: the list is empty");
    return list[this.below(list.length)]!;
  }
}
