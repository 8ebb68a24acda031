/**
 * The configuration of a training run: one for both stages.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import type { AdvantageStd, Normaliser } from "../algorithms/mod.ts";
import type { Chain, JudgeForm, JudgeKind, Protocol } from "../cor/mod.ts";
import type { Arithmetic, Device, LoraTarget, Precision } from "../engine/mod.ts";
import { ConfigError, describeIssues, describeJsonError } from "./config_error.ts";
import { configSchema } from "./config_schema.ts";

/** All that decides a run. Every field has a default, which `configJsonSchema` prints with its meaning. */
export interface TrainConfig {
  /** A model's name ("embedded", "smollm2-135m") or folder. */
  readonly model: string;
  readonly protocol: Protocol;
  /** What kind of judge is trained. */
  readonly judge: JudgeKind;
  /** What a `reasrm` writes before its verdict. */
  readonly chain: Chain;
  /** Every random draw is a function of it: an unsigned 32-bit integer. */
  readonly seed: number;
  /** 0 takes all cores. Results do not depend on it. */
  readonly threads: number;
  readonly precision: Precision;
  readonly device: Device;
  readonly arithmetic: Arithmetic;
  readonly data: DataConfig;
  /** null trains all weights. */
  readonly lora: LoraConfig | null;
  /** null leaves the stage out. */
  readonly stage1: Stage1Config | null;
  /** null leaves the stage out. */
  readonly stage2: Stage2Config | null;
  readonly evaluation: EvaluationConfig;
  readonly checkpoint: CheckpointConfig;
}

/** How the judge that is trained is asked; a `scalarrm` is not, so that its form stands for none. */
export function formOf({ protocol, judge, chain }: TrainConfig): JudgeForm {
  return { protocol, kind: judge === "genrm" ? "genrm" : "reasrm", chain };
}

/** Where the preference pairs are from. */
export type DataConfig = TasksDataConfig | Gsm8kDataConfig | JsonlDataConfig;

/** Generated verifiable tasks. */
export interface TasksDataConfig {
  readonly kind: "tasks";
  /** Names the generated sets: an unsigned 32-bit integer. */
  readonly seed: number;
  /** Pairs to train on. */
  readonly train: number;
  /** The split that is evaluated on. */
  readonly evaluateOn: "validation" | "test";
}

/** Verified pairs of GSM8K's graded model solutions. */
export interface Gsm8kDataConfig {
  readonly kind: "gsm8k";
  /** Path of `example_model_solutions.jsonl`. `$RMR1_DATA` at its start is the data folder of the environment. */
  readonly path: string;
  /** Seed of the split by problem. */
  readonly splitSeed: number;
  /** Share of the problems. */
  readonly validation: number;
  /** Share of the problems. */
  readonly test: number;
  /** The split that is evaluated on; the other one is left alone. */
  readonly evaluateOn: "validation" | "test";
}

/** Preference records of a file. */
export interface JsonlDataConfig {
  readonly kind: "jsonl";
  /** Path of the file. `$RMR1_DATA` at its start is the data folder of the environment. */
  readonly path: string;
  /** Records to evaluate on; null holds out a share of `path`. */
  readonly evaluationPath: string | null;
  /** Share of the groups of `path` that is held out where there is no `evaluationPath`. */
  readonly holdout: number;
  /** Seed of that split. */
  readonly splitSeed: number;
}

/** AdamW, with a learning rate that rises linearly and then follows a schedule. */
export interface OptimizerConfig {
  /** The highest. */
  readonly learningRate: number;
  /** Steps over which the learning rate rises from 0. */
  readonly warmupSteps: number;
  /** How it falls after that: not, in a line, or as half a cosine wave (Loshchilov and Hutter 2017, equation 5). */
  readonly schedule: "constant" | "linear" | "cosine";
  /** The share of the learning rate that it falls to at the stage's end; no matter where it is constant. */
  readonly finalShare: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Decoupled; of matrices only. */
  readonly weightDecay: number;
  /** Global norm to which gradients are clipped; 0 does not clip. */
  readonly maxGradNorm: number;
}

/** Memory limits of forward and backward. They do not change the gradient beyond rounding. */
export interface MicroBatchConfig {
  /** Most tokens of a forward pass, shared prefixes counted once; a longer sequence has a pass of its own. */
  readonly microBatchTokens: number;
  /** Keep less for backward and compute it again. */
  readonly recompute: boolean;
}

/** The loss of a `scalarrm`. */
export interface BradleyTerryConfig {
  /** By how much the better answer's score is to lead. */
  readonly margin: number;
  /** Weight of the squared sum of a pair's scores, which keeps them about 0. */
  readonly centring: number;
}

/** Distillation: negative log-likelihood of traces; for a `scalarrm` the Bradley–Terry loss of pairs. */
export interface Stage1Config extends MicroBatchConfig {
  /** File of traces of training records, as `distill` writes it; null makes them from the data. */
  readonly traces: string | null;
  /** Pairs with a trace to train on; null takes all. */
  readonly examples: number | null;
  readonly epochs: number;
  /** Examples of an optimiser step. */
  readonly batchExamples: number;
  /** Longest example, prompt and trace; a longer one is left out and counted. */
  readonly maxTokens: number;
  /** Of a `scalarrm` alone. */
  readonly bradleyTerry: BradleyTerryConfig;
  readonly optimizer: OptimizerConfig;
}

/** Where a KL penalty against the reference counts, and how it is estimated (Schulman 2020). */
export interface KlConfig {
  /** β; 0 needs no reference model. */
  readonly coefficient: number;
  /** k1 = log π/π_ref, k2 = k1²/2, k3 = π_ref/π − 1 + k1. In the reward it is k1, in the loss k2 or k3. */
  readonly estimator: "k1" | "k2" | "k3";
  readonly place: "loss" | "reward";
}

/**
 * Rollouts that were cut at `maxNewTokens` (DAPO, Yu et al. 2025, arXiv:2503.14476, section 3.4): `count` them as they
 * are, `mask` them out of the loss, or add a `penalty` that grows over the last `buffer` tokens to `weight`.
 */
export type OverlongConfig =
  | { readonly kind: "count" }
  | { readonly kind: "mask" }
  | { readonly kind: "penalty"; readonly buffer: number; readonly weight: number };

/** The critic of PPO: a score head on a model. */
export interface CriticConfig {
  /** A model of its own, or the policy's. */
  readonly trunk: "own" | "shared";
  /** How far a value may move from its old one before the loss clips it; null does not clip. */
  readonly clip: number | null;
  /** Of the value loss, where it is added to the policy's. A model of its own has its own optimizer instead. */
  readonly coefficient: number;
  /** Steps at the start in which the critic alone is trained. */
  readonly warmupSteps: number;
  /** Of a model of its own. */
  readonly optimizer: OptimizerConfig;
}

/** Reinforcement with the verdict's reward. */
export interface Stage2Config extends MicroBatchConfig {
  /** Advantages from a group of rollouts, or from a critic. */
  readonly algorithm: "grpo" | "ppo";
  /** Batches of rollouts. */
  readonly steps: number;
  /** Prompts of a step. */
  readonly prompts: number;
  /** Rollouts of a prompt: the group. */
  readonly rollouts: number;
  /** `unseen`: the training pairs that stage 1 did not use; `all`: all of them. */
  readonly records: "unseen" | "all";
  /** A longer prompt is left out and counted. */
  readonly maxPromptTokens: number;
  /** Most tokens of a rollout. */
  readonly maxNewTokens: number;
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  /**
   * Who samples: the policy, bit for bit where the engine is exact; or `int8`, a copy of it in 8-bit integers, which is
   * faster and whose draws are corrected for by truncated importance sampling.
   */
  readonly sampler: "policy" | "int8";
  /** Largest weight of a token where the sampler is not the policy. */
  readonly importanceCap: number;
  /** Most rollouts generated at once, rounded to whole groups. */
  readonly decodeBatch: number;
  /** Optimiser steps of a pass over a step's rollouts. */
  readonly minibatches: number;
  /** Passes over a step's rollouts. */
  readonly epochs: number;
  /** Whether a ratio is of a token, or of a whole rollout (GSPO). */
  readonly ratio: "token" | "sequence";
  readonly clipLow: number;
  readonly clipHigh: number;
  /** Where A < 0 the term is at most so many times |A| (Ye et al. 2020); null does not bound it. */
  readonly dualClip: number | null;
  readonly kl: KlConfig;
  readonly std: AdvantageStd;
  readonly normaliser: Normaliser;
  /**
   * Groups of equal rewards: `keep` them in the loss and its normaliser, `skip` them, or `resample`: skip them and
   * sample further prompts in their place (DAPO's dynamic sampling).
   */
  readonly equalGroups: "keep" | "skip" | "resample";
  /** Most times that a step samples further prompts. */
  readonly resampleRounds: number;
  readonly overlong: OverlongConfig;
  /** γ and λ of generalised advantage estimation. */
  readonly gae: { readonly gamma: number; readonly lambda: number };
  /** Whether the advantages of a step's tokens are given mean 0 and standard deviation 1; of PPO alone. */
  readonly whiten: boolean;
  /** PPO needs one. */
  readonly critic: CriticConfig | null;
  readonly optimizer: OptimizerConfig;
}

/** Small matrices beside frozen weights (Hu et al. 2021, arXiv:2106.09685). Each stage begins with new ones. */
export interface LoraConfig {
  readonly rank: number;
  /** The product of the two is scaled by alpha / rank. */
  readonly alpha: number;
  /** Share of their input that is dropped in stage 1; rollouts are sampled and learnt without. */
  readonly dropout: number;
  /** The layers that have them. */
  readonly targets: readonly LoraTarget[];
}

/** Points of a run at which it can be evaluated. */
export type EvaluationPoint = "base" | "distilled" | "final";

/** Greedy evaluation on held-out pairs. */
export interface EvaluationConfig {
  /** Most held-out pairs. Pairs of different problems are taken first. */
  readonly examples: number;
  /** Most judgements generated at once. */
  readonly batch: number;
  /** Most tokens of a judgement. */
  readonly maxNewTokens: number;
  /** `base` before training, `distilled` after stage 1, `final` at the end. */
  readonly at: readonly EvaluationPoint[];
  /** Evaluation while a stage trains; null does without. */
  readonly during: SelectionConfig | null;
}

/** Greedy evaluation while a stage trains, on validation pairs, which are neither trained on nor in the others. */
export interface SelectionConfig {
  /** Steps between evaluations; the stage's last step has one in any case. */
  readonly every: number;
  /** Most validation pairs. */
  readonly examples: number;
  /** The stage's model is the one of the evaluation with the highest accuracy, the earliest of equals. */
  readonly keepBest: boolean;
  /** Evaluations without a higher accuracy after which the stage ends; null goes on to its last step. */
  readonly patience: number | null;
}

/** When checkpoints are written, and how many stay. */
export interface CheckpointConfig {
  /** Steps between checkpoints. */
  readonly every: number;
  /** Newest checkpoints that stay. */
  readonly keep: number;
}

/**
 * Checks a configuration and fills in the defaults.
 *
 * @param source names it in messages, such as its file
 * @throws {ConfigError} All that is wrong with it, each by the path of its key.
 */
export function parseConfig(value: unknown, source = "configuration"): TrainConfig {
  const result = configSchema.safeParse(value);
  if (!result.success) throw new ConfigError(source, describeIssues(result.error.issues, value));
  return result.data;
}

/**
 * Reads a configuration from a JSON file.
 *
 * @throws {ConfigError} The file cannot be read, is not JSON, or {@link parseConfig} refuses it.
 */
export async function readConfig(path: string): Promise<TrainConfig> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw new ConfigError(path, [`cannot be read: ${(error as Error).message}`], { cause: error });
  }
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (error) {
    throw new ConfigError(path, [describeJsonError(text, error as Error)], { cause: error });
  }
  return parseConfig(value, path);
}
