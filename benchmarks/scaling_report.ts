/**
 * The report of the scaling study.
 *
 * @module
 */
import * as z from "zod";
import type { Machine, Rest } from "./machine.ts";
import type { Sample } from "./protocol.ts";
import { type Point, STUDIES, type Study } from "./scaling_points.ts";
import { assertSameMachine, machineSchema, restSchema, summarySchema } from "./schemas.ts";
import { summarise, type Summary } from "./statistics.ts";

/** What a point came to. */
export type PointOutcome =
  | {
    readonly status: "measured";
    readonly seconds: Summary;
    /** Tokens of all sequences, each counted whole whatever the layout; of a GRPO step the sampled ones. */
    readonly tokensPerSecond: Summary;
    readonly peakBytes: number;
    /** Share of the time in which TypeScript did not wait for the core. */
    readonly overheadShare: number;
  }
  | { readonly status: "not available" | "failed"; readonly reason: string };

/** A measured point. */
export interface PointReport extends Point {
  readonly outcome: PointOutcome;
}

/** A study's points, and when and how they were measured. */
export interface StudyReport {
  readonly study: Study;
  readonly precision: "f32" | "bf16";
  readonly repetitions: number;
  readonly code: string;
  /** ISO 8601, UTC. */
  readonly measuredAt: string;
  /** Of the machine just before. */
  readonly rest: Rest;
  readonly points: readonly PointReport[];
}

/** What {@link scalingReportSchema} describes. */
export interface ScalingReport {
  readonly kind: "scaling";
  readonly machine: Machine;
  readonly command: string;
  readonly studies: readonly StudyReport[];
}

/**
 * Sums up the samples of a point.
 *
 * @throws {RangeError} A sample lacks the time of its overhead, or there is none.
 */
export function outcomeOf(samples: readonly Sample[]): PointOutcome {
  const total = samples.reduce((sum, { seconds }) => sum + seconds, 0);
  const overhead = samples.reduce((sum, { overheadSeconds = NaN }) => sum + overheadSeconds, 0);
  if (Number.isNaN(overhead)) throw new RangeError("A sample has no time of its overhead");
  return {
    status: "measured",
    seconds: summarise(samples.map(({ seconds }) => seconds)),
    tokensPerSecond: summarise(samples.map(({ tokens, seconds }) => tokens / seconds)),
    peakBytes: Math.max(...samples.map(({ peakBytes }) => peakBytes)),
    overheadShare: overhead / total,
  };
}

const outcome: z.ZodType<PointOutcome> = z.discriminatedUnion("status", [
  z.strictObject({
    status: z.literal("measured"),
    seconds: summarySchema,
    tokensPerSecond: summarySchema,
    peakBytes: z.int().positive(),
    overheadShare: z.number().min(0),
  }),
  z.strictObject({ status: z.literal("not available"), reason: z.string() }),
  z.strictObject({ status: z.literal("failed"), reason: z.string() }),
]);

const count = z.int().positive();

/** The schema of the report's file. */
export const scalingReportSchema: z.ZodType<ScalingReport> = z.strictObject({
  kind: z.literal("scaling"),
  machine: machineSchema,
  command: z.string(),
  studies: z.array(z.strictObject({
    study: z.enum(STUDIES),
    precision: z.enum(["f32", "bf16"]),
    repetitions: count,
    code: z.string(),
    measuredAt: z.iso.datetime(),
    rest: restSchema,
    points: z.array(z.strictObject({
      study: z.enum(STUDIES),
      work: z.enum(["update", "sft_step", "grpo_step"]),
      shape: z.string(),
      threads: count,
      layout: z.enum(["forest", "flat"]),
      recompute: z.boolean(),
      prompts: count,
      promptTokens: count,
      rollouts: count,
      newTokens: count,
      outcome,
    })).min(1),
  })),
});

/**
 * A stored report with studies measured again in their places.
 *
 * @throws {RangeError} The stored one is of another machine.
 */
export function mergeStudies(stored: ScalingReport, fresh: ScalingReport): ScalingReport {
  assertSameMachine(stored.machine, fresh.machine);
  const studies = new Map([...stored.studies, ...fresh.studies].map((study) => [study.study, study]));
  return { ...fresh, studies: STUDIES.flatMap((study) => studies.get(study) ?? []) };
}
