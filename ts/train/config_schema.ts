/**
 * The schema of a configuration, with its defaults: those of the RM-R1 recipe (Chen et al. 2025, arXiv:2505.02387,
 * and its released scripts) where it has any.
 *
 * @module
 */
import * as z from "zod";
import { formFault, JUDGE_KINDS, PROTOCOLS } from "../cor/mod.ts";
import { ARITHMETICS, DEVICES, isDevice, LORA_TARGETS, PRECISIONS } from "../engine/mod.ts";
import type { TrainConfig } from "./config.ts";

const UINT32 = 2 ** 32 - 1;

const seed = z.int().min(0).max(UINT32);
const count = z.int().min(1);
const share = z.number().min(0).lt(1);
const evaluateOn = z.enum(["validation", "test"]).describe("The split that is evaluated on");
const path = z.string().min(1).describe("$RMR1_DATA at its start is the data folder of the environment");

const tasks = z.strictObject({
  kind: z.literal("tasks"),
  seed: seed.default(0).describe("Names the generated sets"),
  train: count.default(20_000).describe("Pairs to train on"),
  evaluateOn: evaluateOn.default("test"),
}).describe("Generated verifiable tasks");

const gsm8k = z.strictObject({
  kind: z.literal("gsm8k"),
  path: path.default("$RMR1_DATA/gsm8k/example_model_solutions.jsonl"),
  splitSeed: seed.default(0).describe("Seed of the split by problem"),
  validation: share.default(0.1).describe("Share of the problems"),
  test: share.default(0.1).describe("Share of the problems"),
  evaluateOn: evaluateOn.default("test"),
}).refine(({ validation, test }) => validation + test < 1, {
  message: "must leave problems to train on: validation and test are below 1 together",
}).refine((data) => data[data.evaluateOn] > 0, {
  message: "must have a share for the split that is evaluated on",
})
  .describe("Verified pairs of GSM8K's graded model solutions");

const jsonl = z.strictObject({
  kind: z.literal("jsonl"),
  path,
  evaluationPath: path.nullable().default(null).describe(
    "Records to evaluate on; null holds out a share of path",
  ),
  holdout: share.gt(0).default(0.1).describe("Share of the groups of path that is held out"),
  splitSeed: seed.default(0).describe("Seed of that split"),
}).describe("Preference records, one JSON object a line");

const data = z.discriminatedUnion("kind", [tasks, gsm8k, jsonl]);

const optimizer = (learningRate: number) =>
  z.strictObject({
    learningRate: z.number().positive().default(learningRate),
    warmupSteps: z.int().min(0).default(0).describe("Steps over which the learning rate rises from 0"),
    schedule: z.enum(["constant", "linear", "cosine"]).default("constant")
      .describe("How the learning rate falls after that"),
    finalShare: z.number().min(0).max(1).default(0)
      .describe("Share of the learning rate that it falls to at the stage's end"),
    beta1: share.default(0.9),
    beta2: share.default(0.999),
    epsilon: z.number().positive().default(1e-8),
    weightDecay: z.number().min(0).default(0.01).describe("Decoupled; of matrices only"),
    maxGradNorm: z.number().min(0).default(1).describe("Global norm to clip to; 0 does not clip"),
  }).prefault({});

const microBatch = {
  microBatchTokens: count.default(16_384)
    .describe(
      "Most tokens of a forward pass, shared prefixes counted once; a longer sequence has one of its own",
    ),
  recompute: z.boolean().default(false).describe("Keep less for backward and compute it again"),
};

const stage1 = z.strictObject({
  traces: path.nullable().default(null).describe(
    "File of traces of training records, as distill writes it; null makes them from the data",
  ),
  examples: count.nullable().default(null).describe("Pairs with a trace to train on; null takes all"),
  epochs: count.default(1),
  batchExamples: count.default(128).describe("Examples of an optimiser step"),
  maxTokens: count.default(12_288).describe(
    "Longest example, prompt and trace; a longer one is left out and counted",
  ),
  bradleyTerry: z.strictObject({
    margin: z.number().min(0).default(0).describe("By how much the better answer's score is to lead"),
    centring: z.number().min(0).default(0.01).describe("Weight of what keeps scores about 0"),
  }).prefault({}).describe('The loss of the judge "scalarrm"'),
  ...microBatch,
  optimizer: optimizer(5e-6),
}).describe("Distillation: negative log-likelihood of traces; for a scalarrm the Bradley-Terry loss");

const normaliser = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("token-mean") }).describe("All tokens of a step weigh the same (DAPO)"),
  z.strictObject({ kind: z.literal("sequence-mean") }).describe(
    "All rollouts of a step weigh the same (GRPO)",
  ),
  z.strictObject({ kind: z.literal("constant"), length: count }).describe("Divided by a constant (Dr. GRPO)"),
]);

const DISTRIBUTION = "the trainer's log-probabilities are those of the whole distribution";

const kl = z.strictObject({
  coefficient: z.number().min(0).default(0.001).describe("β; 0 needs no reference model"),
  estimator: z.enum(["k1", "k2", "k3"]).nullable().default(null)
    .describe("null is k3 in the loss and k1 in the reward"),
  place: z.enum(["loss", "reward"]).default("loss").describe("In the loss, or taken off each token's reward"),
}).refine(({ estimator, place }) => place !== "loss" || estimator !== "k1", {
  path: ["estimator"],
  message:
    "must be k2 or k3 in the loss: the gradient of k1 there is 0 in expectation, whatever the distance",
}).refine(({ estimator, place }) => place !== "reward" || estimator === null || estimator === "k1", {
  path: ["estimator"],
  message: "must be k1 in the reward: its expectation is the distance, and those of k2 and k3 lead elsewhere",
}).transform(({ coefficient, estimator, place }) => ({
  coefficient,
  place,
  estimator: estimator ?? (place === "loss" ? "k3" as const : "k1" as const),
})).describe("Penalty for the distance from the reference");

const overlong = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("count") }).describe("As they are"),
  z.strictObject({ kind: z.literal("mask") }).describe("Not in the loss"),
  z.strictObject({
    kind: z.literal("penalty"),
    buffer: count.describe("Tokens before maxNewTokens over which the penalty grows"),
    weight: z.number().positive().default(1).describe("The penalty at maxNewTokens"),
  }).describe("A penalty that grows over the last tokens (DAPO)"),
]).describe("Rollouts that were cut at maxNewTokens");

const critic = z.strictObject({
  trunk: z.enum(["own", "shared"]).default("own").describe("A model of its own, or the policy's"),
  clip: z.number().positive().nullable().default(0.2)
    .describe("How far a value may move from its old one before the loss clips it; null does not clip"),
  coefficient: z.number().positive().default(0.5).describe("Of the value loss beside the policy's"),
  warmupSteps: z.int().min(0).default(0).describe("Steps at the start in which the critic alone is trained"),
  optimizer: optimizer(1e-5),
}).refine(({ trunk, warmupSteps }) => trunk === "own" || warmupSteps === 0, {
  path: ["warmupSteps"],
  message: "must be 0 with a shared trunk: training the critic alone would change the policy",
}).describe("The critic: a score head on a model");

const stage2 = z.strictObject({
  algorithm: z.enum(["grpo", "ppo"]).default("grpo").describe(
    "Advantages from a group of rollouts, or a critic",
  ),
  steps: count.default(100).describe("Batches of rollouts"),
  prompts: count.default(1024).describe("Prompts of a step"),
  rollouts: count.default(7).describe("Rollouts of a prompt: the group"),
  records: z.enum(["unseen", "all"]).default("unseen")
    .describe("The training pairs that stage 1 did not use, or all of them"),
  maxPromptTokens: count.default(4096).describe("A longer prompt is left out and counted"),
  maxNewTokens: count.default(8192).describe("Most tokens of a rollout"),
  temperature: z.number().positive().default(1),
  topP: z.number().refine((value) => value === 1, `must be 1: ${DISTRIBUTION}`).default(1),
  topK: z.number().refine((value) => value === 0, `must be 0: ${DISTRIBUTION}`).default(0),
  sampler: z.enum(["policy", "int8"]).default("policy").describe(
    "Who samples: the policy itself, or a copy of it in 8-bit integers, corrected by importance sampling",
  ),
  importanceCap: z.number().positive().default(2)
    .describe("Largest importance weight of a token; where the policy samples there are none"),
  decodeBatch: count.default(64).describe("Most rollouts generated at once, rounded to whole groups"),
  minibatches: count.default(1).describe("Optimiser steps of a pass over a step's rollouts"),
  epochs: count.default(1).describe("Passes over a step's rollouts"),
  ratio: z.enum(["token", "sequence"]).default("token")
    .describe("Whether a ratio is of a token, or of a whole rollout (GSPO)"),
  clipLow: z.number().min(0).max(1).default(0.2),
  clipHigh: z.number().min(0).default(0.2).describe("0.28 with DAPO's clip-higher"),
  dualClip: z.number().gt(1).nullable().default(null)
    .describe("Where A < 0 the term is at most so many times |A|; null does not bound it"),
  kl: kl.prefault({}),
  std: z.enum(["sample", "population", "none"]).default("sample")
    .describe("Standard deviation of a group's rewards: with n − 1, with n, or none (Dr. GRPO)"),
  normaliser: normaliser.prefault({ kind: "token-mean" }),
  equalGroups: z.enum(["keep", "skip", "resample"]).default("keep").describe(
    "Groups of equal rewards: in the loss, not in it, or replaced by groups of further prompts (DAPO)",
  ),
  resampleRounds: count.default(3).describe("Most times that a step samples further prompts"),
  overlong: overlong.prefault({ kind: "count" }),
  gae: z.strictObject({
    gamma: z.number().min(0).max(1).default(1),
    lambda: z.number().min(0).max(1).default(1),
  }).prefault({}).describe("Generalised advantage estimation, of PPO"),
  whiten: z.boolean().default(true).describe("Whether PPO's advantages of a step are whitened"),
  critic: critic.nullable().default(null).describe("PPO needs one"),
  ...microBatch,
  optimizer: optimizer(1e-6),
}).refine(({ algorithm, critic }) => algorithm !== "ppo" || critic !== null, {
  path: ["critic"],
  message: 'must be set with the algorithm "ppo", which has its advantages from a critic: {"trunk": "own"}',
}).refine(({ algorithm, critic }) => algorithm === "ppo" || critic === null, {
  path: ["critic"],
  message: 'must be null with the algorithm "grpo", which has its advantages from groups',
}).refine(({ algorithm, rollouts }) => algorithm === "ppo" || rollouts >= 2, {
  path: ["rollouts"],
  message: "must be at least 2: a group of one has no advantages",
}).refine(({ algorithm, equalGroups }) => algorithm === "grpo" || equalGroups === "keep", {
  path: ["equalGroups"],
  message: 'must be "keep" with the algorithm "ppo": its advantages are not of groups',
}).refine(({ overlong, maxNewTokens }) => overlong.kind !== "penalty" || overlong.buffer <= maxNewTokens, {
  path: ["overlong", "buffer"],
  message: "must be at most maxNewTokens",
}).refine(({ minibatches, prompts }) => minibatches <= prompts, {
  path: ["minibatches"],
  message: "must be at most prompts: a minibatch holds whole groups",
}).describe("Reinforcement with the verdict's reward");

const evaluation = z.strictObject({
  examples: count.default(500).describe("Most held-out pairs; pairs of different problems are taken first"),
  batch: count.default(64).describe("Most judgements generated at once"),
  maxNewTokens: count.default(8192).describe("Most tokens of a judgement"),
  at: z.array(z.enum(["base", "distilled", "final"])).default(["base", "distilled", "final"])
    .describe("base: before training; distilled: after stage 1; final: at the end"),
  during: z.strictObject({
    every: count.default(10).describe("Steps between evaluations"),
    examples: count.default(200).describe("Most validation pairs"),
    keepBest: z.boolean().default(true).describe(
      "The stage's model is the one with the highest accuracy there",
    ),
    patience: count.nullable().default(null).describe(
      "Evaluations without a higher accuracy that end the stage",
    ),
  }).nullable().default(null).describe("Evaluation on validation pairs while a stage trains"),
}).describe("Greedy evaluation on held-out pairs");

const checkpoint = z.strictObject({
  every: count.default(10).describe("Steps between checkpoints"),
  keep: count.default(2).describe("Newest checkpoints that stay"),
});

const lora = z.strictObject({
  rank: count.default(16),
  alpha: z.number().positive().default(32).describe("The adapters' product is scaled by alpha / rank"),
  dropout: share.default(0).describe("Of the adapters' input, in stage 1"),
  targets: z.array(z.enum(LORA_TARGETS)).min(1).default([...LORA_TARGETS])
    .describe("Layers with adapters"),
}).describe("Small matrices beside frozen weights");

/** The schema: strict objects, so that a misspelt key is refused. */
export const configSchema: z.ZodType<TrainConfig> = z.strictObject({
  $schema: z.string().optional().describe("For editors; not read"),
  model: z.string().min(1).default("embedded").describe("A model's name (embedded, smollm2-135m) or folder"),
  protocol: z.enum(PROTOCOLS).default("compact").describe("How the judge is asked"),
  judge: z.enum(JUDGE_KINDS).default("reasrm").describe(
    "reasrm writes a chain of rubrics, genrm its verdict alone, scalarrm rates each answer by a score head",
  ),
  chain: z.strictObject({
    rubrics: z.boolean().default(true).describe("Whether criteria are written before the evaluation"),
    taskTypes: z.boolean().default(true).describe(
      "Whether a task is typed, and a Reasoning one solved first",
    ),
  }).prefault({}).describe("What a reasrm writes: parts to leave out for ablations"),
  seed: seed.default(0).describe("Every random draw is a function of it"),
  threads: z.int().min(0).default(0).describe("0 takes all cores; results do not depend on it"),
  precision: z.enum(PRECISIONS).default("f32").describe(
    "What matrix products read; sums, gradients and the optimizer's weights are f32",
  ),
  device: z.string().refine(isDevice, `must be ${DEVICES}`).default("auto")
    .describe("Where it computes; auto takes the first CUDA device or else the CPU"),
  arithmetic: z.enum(ARITHMETICS).default("exact").describe(
    "How a CUDA device multiplies: in one order whatever the batch, or by the vendor's library",
  ),
  data: data.prefault({ kind: "tasks" }),
  lora: lora.nullable().default(null).describe("null trains all weights"),
  stage1: stage1.nullable().prefault({}).describe("null leaves the stage out"),
  stage2: stage2.nullable().prefault({}).describe("null leaves the stage out"),
  evaluation: evaluation.prefault({}),
  checkpoint: checkpoint.prefault({}),
}).refine((config) => config.stage1 !== null || config.stage2 !== null, {
  message: "must have at least one of stage1 and stage2",
}).refine((config) => config.protocol !== "reasoning" || config.stage1 === null, {
  path: ["stage1"],
  message:
    'must be null with the protocol "reasoning": its models already reason, and traces hold no thinking',
}).superRefine(({ judge, chain, protocol, stage1, stage2 }, context) => {
  const refuse = (path: string, message: string): void =>
    context.addIssue({ code: "custom", path: [path], message });
  if (judge !== "scalarrm") {
    const fault = formFault({ protocol, kind: judge, chain });
    if (fault !== null) refuse("protocol", `must be another one: ${fault}`);
    return;
  }
  if (stage2 !== null) {
    refuse("stage2", 'must be null with the judge "scalarrm", which writes nothing to reward');
  }
  if (stage1?.traces !== undefined && stage1.traces !== null) {
    refuse("stage1", 'must have no traces with the judge "scalarrm", which learns from pairs alone');
  }
}).transform(({ $schema: _, ...config }) => config);

/** The schema of a configuration file as JSON Schema (draft 2020-12), for editors and for reading. */
export function configJsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(configSchema, { io: "input" });
}
