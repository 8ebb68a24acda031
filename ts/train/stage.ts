/**
 * What the two stages have in common.
 *
 * @module
 */
import type { StepOptions, TrainableEngine } from "../engine/mod.ts";
import type { OptimizerConfig, TrainConfig } from "./config.ts";
import type { StageCounts } from "./journal.ts";
import type { StepRecord } from "./records.ts";

/** What a stage works with. */
export interface StageContext {
  readonly engine: TrainableEngine;
  readonly config: TrainConfig;
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

/** A stage that is ready to train. */
export interface Stage extends AsyncDisposable {
  readonly number: 1 | 2;
  readonly steps: number;
  readonly counts: StageCounts;
  /**
   * Does one step, the first being 1: a function of the weights, the optimizer's state, the configuration and the
   * step alone. It throws the signal's reason with weights and optimizer as they were before the step; once the
   * step has updated them, it ends before it heeds the signal.
   */
  run(step: number, options?: StepRunOptions): Promise<StepRecord>;
}

/** The learning rate of a step, the first being 1: a linear rise, then constant. */
export function learningRateAt({ learningRate, warmupSteps }: OptimizerConfig, step: number): number {
  return step < warmupSteps ? learningRate * step / warmupSteps : learningRate;
}

/** The optimizer's options at a step. */
export function stepOptions(optimizer: OptimizerConfig, step: number): StepOptions {
  const { beta1, beta2, epsilon, weightDecay, maxGradNorm } = optimizer;
  return { learningRate: learningRateAt(optimizer, step), beta1, beta2, epsilon, weightDecay, maxGradNorm };
}
