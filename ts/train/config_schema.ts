/**
 * The schema of a configuration, with its defaults: those of the RM-R1 recipe (Chen et al. 2025, arXiv:2505.02387,
 * and its released scripts) where it has any.
 *
 * @module
 */
import { z } from "zod";
import { PROTOCOLS } from "../cor/mod.ts";
import { ARITHMETICS, DEVICES, isDevice, PRECISIONS } from "../engine/mod.ts";
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
  ...microBatch,
  optimizer: optimizer(5e-6),
}).describe("Distillation: negative log-likelihood of traces");

const normaliser = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("token-mean") }).describe("All tokens of a step weigh the same (DAPO)"),
  z.strictObject({ kind: z.literal("sequence-mean") }).describe(
    "All rollouts of a step weigh the same (GRPO)",
  ),
  z.strictObject({ kind: z.literal("constant"), length: count }).describe("Divided by a constant (Dr. GRPO)"),
]);

const DISTRIBUTION = "the trainer's log-probabilities are those of the whole distribution";

const stage2 = z.strictObject({
  steps: count.default(100).describe("Batches of rollouts"),
  prompts: count.default(1024).describe("Prompts of a step"),
  rollouts: z.int().min(2, "must be at least 2: a group of one has no advantages").default(7)
    .describe("Rollouts of a prompt: the group"),
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
  clipLow: z.number().min(0).max(1).default(0.2),
  clipHigh: z.number().min(0).default(0.2),
  beta: z.number().min(0).default(0.001).describe(
    "β of the KL term (k3) in the loss; 0 needs no reference model",
  ),
  std: z.enum(["sample", "population", "none"]).default("sample")
    .describe("Standard deviation of a group's rewards: with n − 1, with n, or none (Dr. GRPO)"),
  normaliser: normaliser.prefault({ kind: "token-mean" }),
  equalGroups: z.enum(["keep", "skip"]).default("keep").describe(
    "Groups of equal rewards: in the loss or not",
  ),
  ...microBatch,
  optimizer: optimizer(1e-6),
}).refine(({ minibatches, prompts }) => minibatches <= prompts, {
  path: ["minibatches"],
  message: "must be at most prompts: a minibatch holds whole groups",
}).describe("Reinforcement with the verdict's reward: GRPO");

const evaluation = z.strictObject({
  examples: count.default(500).describe("Most held-out pairs; pairs of different problems are taken first"),
  batch: count.default(64).describe("Most judgements generated at once"),
  maxNewTokens: count.default(8192).describe("Most tokens of a judgement"),
  at: z.array(z.enum(["base", "distilled", "final"])).default(["base", "distilled", "final"])
    .describe("base: before training; distilled: after stage 1; final: at the end"),
}).describe("Greedy evaluation on held-out pairs");

const checkpoint = z.strictObject({
  every: count.default(10).describe("Steps between checkpoints"),
  keep: count.default(2).describe("Newest checkpoints that stay"),
});

/** The schema: strict objects, so that a misspelt key is refused. */
export const configSchema: z.ZodType<TrainConfig> = z.strictObject({
  $schema: z.string().optional().describe("For editors; not read"),
  model: z.string().min(1).default("embedded").describe("A model's name (embedded, smollm2-135m) or folder"),
  protocol: z.enum(PROTOCOLS).default("compact").describe("How the judge is asked"),
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
}).transform(({ $schema: _, ...config }) => config);

/** The schema of a configuration file as JSON Schema (draft 2020-12), for editors and for reading. */
export function configJsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(configSchema, { io: "input" });
}
