/**
 * What the two stages have in common.
 *
 * @module
 */
import type { StepOptions, TrainableEngine } from "../engine/mod.ts";
import type { OptimizerConfig, TrainConfig } from "./config.ts";
import type { StageCounts } from "./journal.ts";
import type { LedgerEntry } from "./ledger.ts";
import type { StepRecord } from "./records.ts";

/** What a stage works with. */
export interface StageContext {
  readonly engine: TrainableEngine;
  readonly config: TrainConfig;
  /** Opens the model that the stage begins with once more, for a critic of its own. */
  readonly openAgain: () => Promise<TrainableEngine>;
}

/** Work that is under way within a step. */
export interface StepProgress {
  readonly phase: "sampling" | "scoring" | "training";
  readonly done: number;
  readonly of: number;
}

/** Options of {@link Stage.run}. */
export interface StepRunOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: StepProgress) => void;
}

/** What a step leaves. */
export interface StepResult {
  readonly record: StepRecord;
  /** Its examples that were cut short or could not be read. */
  readonly ledger: readonly LedgerEntry[];
}

/** A stage that is ready to train. */
export interface Stage extends AsyncDisposable {
  readonly number: 1 | 2;
  readonly steps: number;
  readonly counts: StageCounts;
  /** Models that are trained beside the policy and belong to its checkpoints, by name. */
  readonly companions: ReadonlyMap<string, TrainableEngine>;
  /**
   * Does one step, the first being 1: a function of the weights, the optimizer's state, the configuration and the
   * step alone. It throws the signal's reason with weights and optimizer as they were before the step; once the
   * step has updated them, it ends before it heeds the signal.
   */
  run(step: number, options?: StepRunOptions): Promise<StepResult>;
}

/**
 * The learning rate of a step, the first being 1, of so many: a linear rise, then the schedule. The last step is not
 * yet at the schedule's end, so that it still trains.
 */
export function learningRateAt(optimizer: OptimizerConfig, step: number, steps: number): number {
  const { learningRate, warmupSteps, schedule, finalShare } = optimizer;
  if (step < warmupSteps) return learningRate * step / warmupSteps;
  if (schedule === "constant") return learningRate;
  const top = Math.max(warmupSteps, 1);
  const done = Math.min(1, (step - top) / (steps - top + 1));
  const height = schedule === "linear" ? 1 - done : (1 + Math.cos(Math.PI * done)) / 2;
  return learningRate * (finalShare + (1 - finalShare) * height);
}

/** The optimizer's options at a step of so many. */
export function stepOptions(optimizer: OptimizerConfig, step: number, steps: number): StepOptions {
  const { beta1, beta2, epsilon, weightDecay, maxGradNorm } = optimizer;
  const learningRate = learningRateAt(optimizer, step, steps);
  return { learningRate, beta1, beta2, epsilon, weightDecay, maxGradNorm };
}
