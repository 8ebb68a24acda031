/**
 * The report of the trained variants.
 *
 * @module
 */
import * as z from "zod";
import { type Machine } from "../machine.ts";
import { assertSameMachine, machineSchema } from "../schemas.ts";
import { VARIANTS } from "./variants.ts";

/** Accuracy on held-out pairs, what cannot be read counted as wrong. */
export interface Accuracy {
  readonly value: number;
  readonly examples: number;
}

/** A variant trained from a seed. */
export interface TrainedRun {
  readonly variant: string;
  readonly seed: number;
  readonly code: string;
  /** ISO 8601, UTC. */
  readonly measuredAt: string;
  /** Before training, after stage 1, after stage 2; null where it was not evaluated. */
  readonly accuracy: {
    readonly base: Accuracy | null;
    readonly distilled: Accuracy | null;
    readonly final: Accuracy | null;
  };
  /** Of the last evaluation. */
  readonly parseRate: number;
  /** Training steps' time, without evaluations; 0 for a stage left out. */
  readonly seconds: { readonly stage1: number; readonly stage2: number; readonly whole: number };
}

/** What {@link trainingReportSchema} describes. */
export interface TrainingReport {
  readonly kind: "training";
  readonly machine: Machine;
  readonly command: string;
  readonly runs: readonly TrainedRun[];
}

const accuracy = z.strictObject({ value: z.number().min(0).max(1), examples: z.int().positive() }).nullable();
const seconds = z.number().min(0);

/** The schema of the report's file. */
export const trainingReportSchema: z.ZodType<TrainingReport> = z.strictObject({
  kind: z.literal("training"),
  machine: machineSchema,
  command: z.string(),
  runs: z.array(z.strictObject({
    variant: z.enum(VARIANTS.map(({ id }) => id)),
    seed: z.int().min(0),
    code: z.string(),
    measuredAt: z.iso.datetime(),
    accuracy: z.strictObject({ base: accuracy, distilled: accuracy, final: accuracy }),
    parseRate: z.number().min(0).max(1),
    seconds: z.strictObject({ stage1: seconds, stage2: seconds, whole: seconds }),
  })),
});

/**
 * A stored report with runs trained again in their places, in the order of variants and seeds.
 *
 * @throws {RangeError} The stored one is of another machine.
 */
export function mergeRuns(stored: TrainingReport, fresh: TrainingReport): TrainingReport {
  assertSameMachine(stored.machine, fresh.machine);
  const runs = new Map([...stored.runs, ...fresh.runs].map((run) => [`${run.variant} ${run.seed}`, run]));
  const sorted = VARIANTS.flatMap(({ id }) =>
    [...runs.values()].filter(({ variant }) => variant === id).sort((x, y) => x.seed - y.seed)
  );
  return { ...fresh, runs: sorted };
}

/** The accuracy of what a run ends with. */
export function lastAccuracy({ accuracy: { base, distilled, final } }: TrainedRun): number {
  return (final ?? distilled ?? base)?.value ?? NaN;
}
