/**
 * The journal of a run: one JSON object a line, only ever appended to.
 *
 * A run that is resumed does again what came after its checkpoint, and writes it again, to the same values. The last
 * record of a step is the one that counts; the earlier ones stay as evidence.
 *
 * @module
 */
import { type FileHandle, open, readFile } from "node:fs/promises";
import type { Counts, EvaluationReport, StepRecord } from "./records.ts";
import type { EvaluationPoint } from "./config.ts";
import { RunError } from "./run_error.ts";

/** What a journal says. */
export type JournalEntry =
  | {
    readonly type: "start" | "resume";
    readonly code: string;
    readonly backend: string;
    readonly threads: number;
  }
  | { readonly type: "data"; readonly train: number; readonly evaluation: number; readonly leftOut: Counts }
  | { readonly type: "stage"; readonly stage: 1 | 2; readonly steps: number; readonly from: number }
    & StageCounts
  | { readonly type: "step" } & StepRecord
  | { readonly type: "evaluation"; readonly at: EvaluationPoint; readonly report: EvaluationReport }
  | { readonly type: "checkpoint"; readonly path: string }
  | { readonly type: "warning"; readonly message: string }
  | { readonly type: "interrupted"; readonly stage: 1 | 2 | null; readonly step: number }
  | { readonly type: "finish" };

/** What a stage trains on. */
export interface StageCounts {
  readonly examples: number;
  /** Pairs that cannot be used, by reason. */
  readonly leftOut: Counts;
}

/** An entry as it is stored. */
export type JournalRecord = JournalEntry & {
  /** ISO 8601, UTC. */
  readonly time: string;
  /** Since the run, or its resumption, began. */
  readonly seconds: number;
};

/** Appends to a journal; each entry is on the disk before the next thing happens. */
export class Journal implements AsyncDisposable {
  readonly #handle: FileHandle;
  readonly #began = performance.now();

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** Opens a journal to append to; cuts a last line that was torn when its process ended. */
  static async open(path: string): Promise<Journal> {
    const handle = await open(path, "a+");
    const { bytes } = splitLines(path, await readFile(path));
    await handle.truncate(bytes);
    return new Journal(handle);
  }

  /** Seconds since it was opened. */
  get seconds(): number {
    return (performance.now() - this.#began) / 1000;
  }

  async append(entry: JournalEntry): Promise<void> {
    const seconds = Math.round(this.seconds * 1000) / 1000;
    try {
      await this.#handle.appendFile(
        `${JSON.stringify({ time: new Date().toISOString(), seconds, ...entry })}\n`,
      );
      await this.#handle.sync();
    } catch (error) {
      throw new RunError(`Could not write to the journal: ${(error as Error).message}`, { cause: error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}

/**
 * Reads a journal; a torn last line is left out.
 *
 * @throws {RunError} A line before the last is not JSON.
 */
export async function readJournal(path: string): Promise<JournalRecord[]> {
  return splitLines(path, await readFile(path)).records;
}

/** The records, and the length in bytes of what is whole. */
function splitLines(path: string, content: Uint8Array): { records: JournalRecord[]; bytes: number } {
  const decoder = new TextDecoder();
  const records: JournalRecord[] = [];
  let start = 0;
  for (let end = content.indexOf(10); end >= 0; end = content.indexOf(10, start)) {
    try {
      records.push(JSON.parse(decoder.decode(content.subarray(start, end))));
    } catch (error) {
      if (end + 1 === content.length) break;
      throw new RunError(
        `${path}:${records.length + 1}: Expected a JSON object: ${(error as Error).message}`,
        {
          cause: error,
        },
      );
    }
    start = end + 1;
  }
  return { records, bytes: start };
}

/** Seconds that a run took over all its sessions: each session counts to its last record. */
export function totalSeconds(records: readonly JournalRecord[]): number {
  let total = 0;
  let session = 0;
  for (const { type, seconds } of records) {
    if (type === "start" || type === "resume") {
      total += session;
      session = 0;
    }
    session = Math.max(session, seconds);
  }
  return total + session;
}

/** The report of an evaluation that the journal holds. */
export function evaluationIn(
  records: readonly JournalRecord[],
  at: EvaluationPoint,
): EvaluationReport | undefined {
  for (const record of records) if (record.type === "evaluation" && record.at === at) return record.report;
  return undefined;
}
