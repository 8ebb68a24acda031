/**
 * The rows of the comparison on a GPU: the work, how it is compared, and what is aimed at.
 *
 * @module
 */
import type { Arithmetic } from "../../ts/engine/mod.ts";
import type { Drawn } from "../inputs.ts";
import type { GrpoStepJob, RolloutJob, SftStepJob } from "../protocol.ts";
import type { Goal, Metric } from "../statistics.ts";

type CudaJob = SftStepJob | GrpoStepJob | RolloutJob;

/** A job without what only a run knows. */
export type CudaWork = CudaJob extends infer Each
  ? Each extends CudaJob ? Omit<Each, "inputs" | "threads" | "model" | "device" | "arithmetic"> : never
  : never;

/** A row of the table. */
export interface CudaRow {
  readonly id: string;
  /** As the table names it. */
  readonly work: string;
  readonly peer: "PyTorch" | "TRL" | "transformers";
  /** File of this folder that does it. */
  readonly script: string;
  /** Of the random weights. */
  readonly shape: string;
  readonly arithmetic: Arithmetic;
  readonly job: CudaWork;
  /** Sequences of a repetition. */
  readonly inputs: Drawn;
  readonly metrics: readonly Metric[];
  /** The share of the device's roof that ours is to reach: of its rate for training, of its bandwidth for sampling. */
  readonly roof: { readonly kind: "arithmetic" | "bandwidth"; readonly goal: Goal | null } | null;
}

/** How large the work is: `full` as it is measured, `tiny` to try the programs without a GPU. */
export type Size = "full" | "tiny";

const ARITHMETICS: readonly Arithmetic[] = ["fast", "exact"];

interface Step {
  readonly shape: string;
  readonly microBatchTokens: number;
  readonly goal: number;
}

function train(size: Size, arithmetic: Arithmetic, { shape, microBatchTokens, goal }: Step): CudaRow {
  const [count, tokens] = size === "full" ? [16, 4096] : [4, 32];
  return {
    id: `train-${shape}-${arithmetic}`,
    work: `training step, ${shape}, ${count} × ${tokens} tokens, ${arithmetic}`,
    peer: "PyTorch",
    script: "train_step.py",
    shape: size === "full" ? shape : "tiny",
    arithmetic,
    job: {
      kind: "sft_step",
      precision: "bf16",
      recompute: false,
      microBatchTokens: size === "full" ? microBatchTokens : 64,
    },
    inputs: { kind: "ids", count, tokens },
    metrics: [{ kind: "rate", goal: { atLeast: 1 } }, { kind: "memory", goal: null }],
    roof: { kind: "arithmetic", goal: arithmetic === "fast" ? { atLeast: goal } : null },
  };
}

function rollout(size: Size, arithmetic: Arithmetic): CudaRow {
  const [count, tokens, newTokens] = size === "full" ? [256, 768, 512] : [4, 24, 16];
  return {
    id: `rollout-0.5B-${arithmetic}`,
    work: `rollout, 0.5B, ${count} × ${newTokens} tokens behind ${tokens}, ${arithmetic}`,
    peer: "transformers",
    script: "rollout.py",
    shape: size === "full" ? "0.5B" : "tiny",
    arithmetic,
    job: { kind: "rollout", precision: "bf16", newTokens },
    inputs: { kind: "ids", count, tokens },
    metrics: [{ kind: "rate", goal: { atLeast: 5 } }, { kind: "memory", goal: null }],
    roof: { kind: "bandwidth", goal: { atLeast: 0.5 } },
  };
}

function grpo(size: Size, arithmetic: Arithmetic): CudaRow {
  const [count, tokens] = size === "full" ? [64, 512] : [2, 24];
  const [rollouts, newTokens] = size === "full" ? [8, 512] : [4, 16];
  return {
    id: `grpo-0.5B-${arithmetic}`,
    work:
      `GRPO step, 0.5B, ${count} × ${rollouts} × ${newTokens} tokens, prompts of ${tokens}, ${arithmetic}`,
    peer: "TRL",
    script: "grpo_step.py",
    shape: size === "full" ? "0.5B" : "tiny",
    arithmetic,
    job: {
      kind: "grpo_step",
      precision: "bf16",
      rollouts,
      newTokens,
      recompute: false,
      microBatchTokens: size === "full" ? 16_384 : 160,
    },
    inputs: { kind: "text", count, tokens },
    metrics: [{ kind: "step", goal: { atLeast: 4 } }, { kind: "memory", goal: { atMost: 0.5 } }],
    roof: null,
  };
}

/** All rows, in the order of the table. */
export function cudaRows(size: Size): readonly CudaRow[] {
  // With the vocabulary's logits, PyTorch takes about 60 GB for a micro-batch of either.
  const small: Step = { shape: "0.5B", microBatchTokens: 16_384, goal: 0.3 };
  const large: Step = { shape: "1.5B", microBatchTokens: 8192, goal: 0.4 };
  return [
    ...ARITHMETICS.map((each) => train(size, each, small)),
    ...ARITHMETICS.map((each) => train(size, each, large)),
    ...ARITHMETICS.map((each) => rollout(size, each)),
    ...ARITHMETICS.map((each) => grpo(size, each)),
  ];
}
