/**
 * The journal of a run: one JSON object a line, only ever appended to.
 *
 * A run that is resumed does again what came after its checkpoint, and writes it again, to the same values. The last
 * record of a step is the one that counts; the earlier ones stay as evidence.
 *
 * @module
 */
import type { Counts, EvaluationReport, StepRecord } from "./records.ts";
import type { EvaluationPoint } from "./config.ts";
import { Lines, readLines } from "./lines.ts";

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
  | { readonly type: "evaluation"; readonly at: "step" } & StepEvaluation
  | { readonly type: "chosen" } & Choice
  | { readonly type: "checkpoint"; readonly path: string }
  | { readonly type: "warning"; readonly message: string }
  | { readonly type: "interrupted"; readonly stage: 1 | 2 | null; readonly step: number }
  | { readonly type: "finish" };

/** An evaluation on validation pairs after a step. */
export interface StepEvaluation {
  readonly stage: 1 | 2;
  readonly step: number;
  readonly report: EvaluationReport;
}

/** The weights that a stage ends with, where they are not those of its last step. */
export interface Choice {
  readonly stage: 1 | 2;
  readonly step: number;
  /** On the validation pairs. */
  readonly accuracy: number;
  /** The last step that was done. */
  readonly last: number;
}

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
  readonly #lines: Lines;
  readonly #began = performance.now();

  private constructor(lines: Lines) {
    this.#lines = lines;
  }

  /** Opens a journal to append to. */
  static async open(path: string): Promise<Journal> {
    return new Journal(await Lines.open(path));
  }

  /** Seconds since it was opened. */
  get seconds(): number {
    return (performance.now() - this.#began) / 1000;
  }

  async append(entry: JournalEntry): Promise<void> {
    const seconds = Math.round(this.seconds * 1000) / 1000;
    await this.#lines.append([{ time: new Date().toISOString(), seconds, ...entry }]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lines[Symbol.asyncDispose]();
  }
}

/**
 * Reads a journal; a torn last line is left out.
 *
 * @throws {RunError} A line before the last is not JSON.
 */
export async function readJournal(path: string): Promise<JournalRecord[]> {
  return await readLines<JournalRecord>(path);
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

/** The steps of a stage up to one of them: the last record of each, in their order. */
export function stepsIn(
  records: readonly JournalRecord[],
  { stage, upTo }: { readonly stage: 1 | 2; readonly upTo: number },
): StepRecord[] {
  const found = new Map<number, StepRecord>();
  for (const record of records) {
    if (record.type === "step" && record.stage === stage && record.step <= upTo) {
      found.set(record.step, record);
    }
  }
  return [...found.values()].sort((x, y) => x.step - y.step);
}

/** The evaluations of a stage after its steps, up to one of them: the last report of each step, in their order. */
export function stepEvaluationsIn(
  records: readonly JournalRecord[],
  { stage, upTo }: { readonly stage: 1 | 2; readonly upTo: number },
): StepEvaluation[] {
  const found = new Map<number, StepEvaluation>();
  for (const record of records) {
    if (record.type !== "evaluation" || record.at !== "step") continue;
    if (record.stage === stage && record.step <= upTo) found.set(record.step, record);
  }
  return [...found.values()].sort((x, y) => x.step - y.step);
}
