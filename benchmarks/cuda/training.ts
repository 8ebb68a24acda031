/**
 * A training run on a GPU as the results tell it: its curves and its evaluations, and none of its data.
 *
 * @module
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { formatEvaluation } from "../../ts/train/mod.ts";
import { type JournalRecord, readJournal } from "../../ts/train/journal.ts";

/** Name of the journal in a folder of results. */
const JOURNAL = "smollm2-journal.jsonl";

/** A step of either stage. */
export interface CurvePoint {
  readonly stage: 1 | 2;
  readonly step: number;
  readonly loss: number;
  /** Of stage 2 alone. */
  readonly reward: number | null;
  readonly tokensPerSecond: number;
  readonly wallSeconds: number;
}

/** What is kept of a run. */
export interface TrainingRun {
  /** As the engine names its device. */
  readonly backend: string;
  readonly code: string;
  /** When it began, ISO 8601, UTC. */
  readonly at: string;
  readonly steps: readonly CurvePoint[];
  /** Before training and after each stage. */
  readonly evaluations: readonly string[];
}

/** Of {@link TrainingRun}. */
export const trainingSchema: z.ZodType<TrainingRun> = z.strictObject({
  backend: z.string(),
  code: z.string(),
  at: z.iso.datetime(),
  steps: z.array(z.strictObject({
    stage: z.union([z.literal(1), z.literal(2)]),
    step: z.int().positive(),
    loss: z.number(),
    reward: z.number().nullable(),
    tokensPerSecond: z.number(),
    wallSeconds: z.number(),
  })),
  evaluations: z.array(z.string()),
});

/** What a journal tells of its run; of a step that was done twice the last. */
export function trainingOf(journal: readonly JournalRecord[]): TrainingRun {
  const start = journal.find(({ type }) => type === "start");
  if (start?.type !== "start") {
    throw new SyntaxError("A journal has no start, expected one as its first line");
  }
  const steps = new Map<string, CurvePoint>();
  const evaluations = new Map<string, string>();
  for (const record of journal) {
    if (record.type === "evaluation") evaluations.set(record.at, formatEvaluation(record.at, record.report));
    if (record.type !== "step") continue;
    const { stage, step, loss, tokensPerSecond, wallSeconds } = record;
    const reward = record.stage === 2 ? record.reward : null;
    steps.set(`${stage} ${step}`, { stage, step, loss, reward, tokensPerSecond, wallSeconds });
  }
  const { backend, code, time } = start;
  return { backend, code, at: time, steps: [...steps.values()], evaluations: [...evaluations.values()] };
}

/** Reads the run of a folder of results; null where there is none. */
export async function readTraining(folder: string): Promise<TrainingRun | null> {
  const path = join(folder, JOURNAL);
  const found = await stat(path).then(() => true, () => false);
  return found ? trainingOf(await readJournal(path)) : null;
}
