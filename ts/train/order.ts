/**
 * The order of examples: a function of the seed and the step alone.
 *
 * @module
 */
import { hashFraction } from "../data/hash.ts";

/** An example's turn. */
export interface Turn {
  /** Of the example. */
  readonly index: number;
  /** How often it has had its turn before. */
  readonly epoch: number;
}

/** Gives each example a turn in every epoch, each epoch in an order of its own. */
export class ExampleOrder {
  readonly #count: number;
  readonly #seed: number;
  readonly #name: string;
  #epoch = -1;
  #order: readonly number[] = [];

  /** @param name separates the orders of one seed */
  constructor(count: number, options: { readonly seed: number; readonly name: string }) {
    this.#count = count;
    this.#seed = options.seed;
    this.#name = options.name;
  }

  /** The turns from position `from` up to, not including, `to` of the endless sequence of epochs. */
  turns(from: number, to: number): Turn[] {
    return Array.from({ length: Math.max(0, to - from) }, (_, offset) => {
      const epoch = Math.floor((from + offset) / this.#count);
      return { index: this.#orderOf(epoch)[(from + offset) % this.#count]!, epoch };
    });
  }

  #orderOf(epoch: number): readonly number[] {
    if (epoch !== this.#epoch) {
      const draws = Array.from(
        { length: this.#count },
        (_, index) => hashFraction(this.#seed, `${this.#name}\0${epoch}\0${index}`),
      );
      this.#order = [...draws.keys()].sort((x, y) => draws[x]! - draws[y]! || x - y);
      this.#epoch = epoch;
    }
    return this.#order;
  }
}
