/**
 * A run in one line.
 *
 * @module
 */
import { type History, historyOf, type RunState } from "./history.ts";
import { type Point, POINTS, type RunRecords, type Share, type StageNumber } from "./records.ts";

/** Steps of a stage. */
export interface StepCount {
  readonly done: number;
  /** null where that is not known before the stage begins. */
  readonly planned: number | null;
}

/** A run in one line. */
export interface RunSummary {
  readonly name: string;
  readonly state: RunState;
  readonly model: string;
  readonly judge: string;
  /** Of each stage; null for one that the configuration leaves out. */
  readonly steps: { readonly stage1: StepCount | null; readonly stage2: StepCount | null };
  /** On held-out pairs; null where it was not evaluated. */
  readonly accuracy: { readonly [point in Point]: Share | null };
  /** Over all sessions. */
  readonly seconds: number;
  /** When the journal was last written to: ISO 8601, UTC; null where it is empty. */
  readonly lastActivity: string | null;
}

/** Sums a run up as it stands at a time. */
export function summarise(run: RunRecords, now: Date): RunSummary {
  const history = historyOf(run, now);
  const { config } = run;
  return {
    name: run.name,
    state: history.state,
    model: typeof config["model"] === "string" ? config["model"] : "unknown",
    judge: typeof config["judge"] === "string" ? config["judge"] : "reasrm",
    steps: { stage1: stepsOf(history, 1, config["stage1"]), stage2: stepsOf(history, 2, config["stage2"]) },
    accuracy: Object.fromEntries(
      POINTS.map((point) => [point, history.evaluations[point]?.accuracy ?? null]),
    ) as RunSummary["accuracy"],
    seconds: history.seconds,
    lastActivity: history.lastActivity,
  };
}

function stepsOf({ stages }: History, number: StageNumber, config: unknown): StepCount | null {
  if (config === null) return null;
  const stage = stages.find((each) => each.stage === number);
  const planned = stage?.planned ?? (config as { readonly steps?: unknown } | undefined)?.steps;
  return { done: stage?.steps.at(-1)?.step ?? 0, planned: typeof planned === "number" ? planned : null };
}
