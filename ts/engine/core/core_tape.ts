import type { Coefficients, Tape } from "../engine.ts";
import { EngineError } from "../error.ts";

/** What a tape is made of. */
export interface CoreTapeParts {
  readonly logprobs: Float32Array;
  readonly entropies: Float32Array;
  readonly scores: Float32Array;
  readonly backward: (coefficients: Coefficients) => Promise<void>;
  readonly free: () => void;
}

/** A tape in the core. */
export class CoreTape implements Tape {
  readonly logprobs: Float32Array;
  readonly entropies: Float32Array;
  readonly scores: Float32Array;
  readonly #backward: (coefficients: Coefficients) => Promise<void>;
  readonly #free: () => void;
  #closed = false;
  #users = 0;

  /** @internal */
  constructor({ logprobs, entropies, scores, backward, free }: CoreTapeParts) {
    this.logprobs = logprobs;
    this.entropies = entropies;
    this.scores = scores;
    this.#backward = backward;
    this.#free = free;
  }

  async backward(coefficients: Coefficients): Promise<void> {
    if (this.#closed) throw new EngineError("handle", "The tape has been closed");
    this.#users++;
    try {
      await this.#backward(coefficients);
    } finally {
      this.#users--;
      if (this.#closed && this.#users === 0) this.#free();
    }
  }

  /** A backward under way still finishes. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#users === 0) this.#free();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
