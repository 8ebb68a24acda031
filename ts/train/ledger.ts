/**
 * The ledger of a run: one line for each example that was left out, cut short, or could not be read, by reason.
 *
 * A run that is resumed does again what came after its checkpoint, and writes that again: entries of one stage and
 * step that are written twice are the same ones.
 *
 * @module
 */
import { Lines } from "./lines.ts";

/** What became of an example. */
export interface LedgerEntry {
  /** null for what no stage was given. */
  readonly stage: 1 | 2 | null;
  /** null for what was left out before the first step. */
  readonly step: number | null;
  /** Of the record. */
  readonly id: string;
  /**
   * `filtered`: never trained on; `truncated`: a rollout that was cut at the most tokens or the context's end;
   * `unparsable`: a rollout with no verdict to read.
   */
  readonly what: "filtered" | "truncated" | "unparsable";
  readonly reason: string;
}

/** Appends to a ledger. */
export class Ledger implements AsyncDisposable {
  readonly #lines: Lines;

  private constructor(lines: Lines) {
    this.#lines = lines;
  }

  /** Opens a ledger to append to. */
  static async open(path: string): Promise<Ledger> {
    return new Ledger(await Lines.open(path));
  }

  async append(entries: readonly LedgerEntry[]): Promise<void> {
    await this.#lines.append(entries);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lines[Symbol.asyncDispose]();
  }
}
