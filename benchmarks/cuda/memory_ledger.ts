/**
 * Whose a device's memory is, from readings of the whole.
 *
 * @module
 */

/**
 * Tells the peaks of processes that work in turn. While one works, the others keep what they held when they last
 * stopped; the rest of a reading is the working one's. So libraries' caches count, on every side alike.
 */
export class MemoryLedger {
  readonly #baseline: number;
  readonly #idle = new Map<string, number>();
  readonly #peaks = new Map<string, number>();
  #latest: number;
  #highest: number;

  /** @param baseline bytes in use before any process has begun */
  constructor(baseline: number) {
    this.#baseline = this.#latest = this.#highest = baseline;
  }

  /** Takes a reading of all bytes in use. */
  read(bytes: number): void {
    this.#latest = bytes;
    this.#highest = Math.max(this.#highest, bytes);
  }

  /** Some process begins to work. */
  begin(): void {
    this.#highest = this.#latest;
  }

  /** A process stops working. Gives its peak so far. */
  end(name: string): number {
    let others = this.#baseline;
    for (const [other, bytes] of this.#idle) if (other !== name) others += bytes;
    this.#idle.set(name, Math.max(0, this.#latest - others));
    const peak = Math.max(this.#peaks.get(name) ?? 0, this.#highest - others);
    this.#peaks.set(name, peak);
    return peak;
  }

  /** A process has ended, and its memory is free. */
  forget(name: string): void {
    this.#idle.delete(name);
    this.#peaks.delete(name);
  }
}
