/**
 * Says what keys and values took.
 *
 * @module
 */
import type { GenerateSummary } from "../engine/mod.ts";
import { megabytes } from "./units.ts";

/** Keeps the greatest memory that any generation took, and logs it when disposed of; nothing where none was told. */
export class KeyValueMemory implements Disposable {
  readonly #log: (text: string) => void;
  #greatest: GenerateSummary | undefined;

  /** `log` gets one line. */
  constructor(log: (text: string) => void) {
    this.#log = log;
  }

  /** For `onSummary`. */
  readonly see = (summary: GenerateSummary): void => {
    if (this.#greatest === undefined || summary.kvPeak > this.#greatest.kvPeak) this.#greatest = summary;
  };

  [Symbol.dispose](): void {
    if (this.#greatest === undefined) return;
    const { kvPeak, kvBudget } = this.#greatest;
    this.#log(`keys and values took ${megabytes(kvPeak)} of at most ${megabytes(kvBudget)}\n`);
  }
}
