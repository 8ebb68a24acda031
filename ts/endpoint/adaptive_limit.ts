/**
 * How many calls may be under way: additive increase, multiplicative decrease, as TCP controls congestion (Chiu and
 * Jain 1989), and a pause for as long as the server asks for.
 *
 * @module
 */
import { sleep } from "./sleep.ts";

/** How a call ended, as far as the rate is concerned: with an answer, refused for its rate, or otherwise. */
export type CallEnd = "answered" | "limited" | "failed";

/** A place among the calls under way. */
export interface Place {
  /** Leaves it. `pause`: milliseconds for which the server wants no calls. To be called once. */
  leave(end: CallEnd, pause?: number): void;
}

/** Options of {@link AdaptiveLimit}. */
export interface AdaptiveLimitOptions {
  /** Calls at once to begin with. */
  readonly start: number;
  /** Most calls at once. */
  readonly most: number;
  /** Milliseconds of a clock that never goes back. Default `performance.now`. */
  readonly now?: () => number;
}

/** Lets calls begin. */
export class AdaptiveLimit {
  readonly #most: number;
  readonly #now: () => number;
  #limit: number;
  #under = 0;
  #pausedUntil = 0;
  #decreasedAt = -Infinity;
  #waiting: (() => void)[] = [];

  constructor({ start, most, now = () => performance.now() }: AdaptiveLimitOptions) {
    this.#limit = Math.min(start, most);
    this.#most = most;
    this.#now = now;
  }

  /** Calls that may be under way now. */
  get limit(): number {
    return Math.floor(this.#limit);
  }

  /** Calls under way. */
  get underWay(): number {
    return this.#under;
  }

  /** Milliseconds until calls may begin again; 0 where they may. */
  get pause(): number {
    return Math.max(0, this.#pausedUntil - this.#now());
  }

  /**
   * Waits for a place. Calls begin in the order in which they asked, but for those that wait for a pause to end.
   *
   * @throws The signal's reason.
   */
  async enter(signal: AbortSignal): Promise<Place> {
    for (;;) {
      signal.throwIfAborted();
      if (this.pause > 0) {
        await sleep(Math.ceil(this.pause), signal);
      } else if (this.#under >= this.limit) {
        await this.#turn(signal);
      } else {
        return this.#place();
      }
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    let go: () => void = () => {};
    await new Promise<void>((resolve) => {
      go = resolve;
      this.#waiting.push(go);
      signal.addEventListener("abort", go, { once: true });
    });
    signal.removeEventListener("abort", go);
    this.#waiting = this.#waiting.filter((other) => other !== go);
  }

  #place(): Place {
    this.#under++;
    const began = this.#now();
    return {
      leave: (end, pause = 0) => {
        this.#under--;
        this.#pausedUntil = Math.max(this.#pausedUntil, this.#now() + pause);
        if (end === "answered") {
          this.#limit = Math.min(this.#most, this.#limit + 1 / this.#limit);
        } else if (end === "limited" && began >= this.#decreasedAt) {
          // Calls that were under way at the last decrease tell of the rate before it.
          this.#limit = Math.max(1, this.#limit / 2);
          this.#decreasedAt = this.#now();
        }
        for (const go of this.#waiting.slice(0, Math.max(0, this.limit - this.#under))) go();
      },
    };
  }
}

/**
 * Milliseconds that a `Retry-After` header asks for, in seconds or as an HTTP date (RFC 9110, section 10.2.3); null
 * where it is not there or is neither.
 */
export function retryAfter(header: string | null, now: number = Date.now()): number | null {
  if (header === null) return null;
  const text = header.trim();
  if (/^\d+(?:\.\d+)?$/.test(text)) return Number(text) * 1000;
  // A date has a day's name; Date.parse alone would take "-5" or "2" for a date, too.
  const date = /^(?:mon|tue|wed|thu|fri|sat|sun)/i.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(date) ? null : Math.max(0, date - now);
}
