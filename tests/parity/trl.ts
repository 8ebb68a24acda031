/**
 * Step by step beside TRL's trainers: the same model, rollouts and hyper-parameters give the same gradients of each
 * tensor, over optimiser steps that each side takes by itself. Run by `deno task test:peers`.
 * docs/equivalence.md says what differs by default.
 */
import { expect } from "expect";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { place } from "../../ts/data/mod.ts";
import { generateTasks } from "../../ts/data/tasks/mod.ts";
import {
  forestOf,
  gather,
  NativeEngine,
  type StepOptions,
  type TrainableEngine,
} from "../../ts/engine/mod.ts";
import { parseConfig, type Stage2Config } from "../../ts/train/config.ts";
import { encodeAnswers } from "../../ts/judge/mod.ts";
import { updateCritic } from "../../ts/train/critic.ts";
import { updatePolicy } from "../../ts/train/policy_update.ts";
import { rate } from "../../ts/train/rating.ts";
import type { RolloutGroup } from "../../ts/train/rollouts.ts";
import { prepareScalarStage } from "../../ts/train/scalar_stage.ts";
import { trlWithPpo } from "../../benchmarks/peers/environment.ts";
import { inTemporary, python } from "./python.ts";

const PARITY = fileURLToPath(new URL(".", import.meta.url));
const BASE = fileURLToPath(new URL("../../models/embedded-base", import.meta.url));
const STEPS = 5;
/** Largest distance of a tensor's gradients over their norm. */
const TOLERANCE = 1e-3;
const OPTIMIZER: StepOptions = {
  learningRate: 1e-3,
  beta1: 0.9,
  beta2: 0.98,
  epsilon: 1e-8,
  weightDecay: 0.01,
  maxGradNorm: 0,
};

/** Numbers below `limit` that a seed decides. */
function* draws(seed: number): Generator<(limit: number) => number, never> {
  let state = seed;
  while (true) {
    yield (limit) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor(state / 2 ** 32 * limit);
    };
  }
}

interface Completion {
  readonly tokens: number[];
  readonly reward: number;
}

interface Prompt {
  readonly prompt: number[];
  readonly completions: readonly Completion[];
}

/** Prompts with completions of unequal lengths and rewards that differ. */
function promptsOf(seed: number, count: number, completions: number): Prompt[] {
  const draw = draws(seed).next().value;
  const tokens = (length: number): number[] => Array.from({ length }, () => 1 + draw(600));
  return Array.from({ length: count }, () => ({
    prompt: tokens(6 + draw(20)),
    completions: Array.from({ length: completions }, (_, index) => ({
      tokens: tokens(2 + draw(24)),
      reward: index === 0 ? 1 : draw(2) === 0 ? 1 : -1,
    })),
  }));
}

/** The prompts as groups of rollouts, with log-probabilities of the policy as it is. */
async function groupsOf(engine: TrainableEngine, prompts: readonly Prompt[]): Promise<RolloutGroup[]> {
  const [record] = generateTasks({ seed: 0, split: "train", count: 1 });
  const pair = place(record!, "A");
  const groups: RolloutGroup[] = [];
  for (const { prompt, completions } of prompts) {
    const own = Uint32Array.from(prompt);
    const { forest, maps } = forestOf(completions.map(({ tokens }) => Uint32Array.of(...prompt, ...tokens)));
    const logprobs = await engine.logprobs(forest);
    const rollouts = completions.map(({ tokens, reward }, index) => ({
      prompt: own,
      response: Uint32Array.from(tokens),
      oldLogprobs: gather(maps[index]!.subarray(prompt.length), logprobs),
      text: "",
      finish: "eos" as const,
      verdict: { kind: "A" } as const,
      reward,
    }));
    groups.push({ example: { pair, prompt: own, opensThinking: false }, rollouts });
  }
  return groups;
}

/** The engine, which stores its gradients before each step as `FOLDER/PREFIX1.safetensors`, `PREFIX2.safetensors`, … */
function recorded(engine: NativeEngine, folder: string, prefix = ""): TrainableEngine {
  let steps = 0;
  return new Proxy(engine as TrainableEngine, {
    get(target, name) {
      if (name === "step") {
        return async (options: StepOptions) => {
          await engine.saveGradients(join(folder, `${prefix}${++steps}.safetensors`));
          return await engine.step(options);
        };
      }
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** A model that is not the one that is trained: its weights after some steps of another loss. */
async function moved(engine: NativeEngine): Promise<void> {
  const forest = forestOf([Uint32Array.from({ length: 40 }, (_, index) => 5 + index * 7)]).forest;
  for (let step = 0; step < 3; step++) {
    using tape = await engine.forward(forest);
    await tape.backward({ dLogprobs: tape.logprobs.map((value) => Number.isNaN(value) ? 0 : -1 / 39) });
    await engine.step({ ...OPTIMIZER, learningRate: 3e-4 });
  }
}

interface Compared {
  readonly steps: readonly { readonly norm: number; readonly tensor: string; readonly distance: number }[];
  readonly weights: number;
}

async function theirs(
  script: string,
  folder: string,
  job: object,
  args: readonly string[] = [],
): Promise<Compared> {
  const file = join(folder, "job.json");
  await writeFile(file, JSON.stringify({ steps: STEPS, optimizer: OPTIMIZER, ...job, folder }));
  const { code, stdout, stderr } = await python([join(PARITY, script), file, ...args]);
  expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as Compared;
}

function expectEqual(name: string, { steps, weights }: Compared, count = STEPS): void {
  const worst = steps.map(({ tensor, distance }) => `${tensor} ${distance.toExponential(1)}`);
  process.stderr.write(`${name}: ${worst.join(", ")}; weights ${weights.toExponential(1)}\n`);
  expect(steps.length).toBe(count);
  for (const { norm, distance } of steps) {
    expect(norm).toBeGreaterThan(1e-3);
    expect(distance).toBeLessThan(TOLERANCE);
  }
  expect(weights).toBeLessThan(10 * TOLERANCE);
}

interface GrpoCase {
  /** Of ours. */
  readonly stage: Record<string, unknown>;
  /** TRL's names for the same. */
  readonly options: Record<string, unknown>;
}

const LENGTH = 32;
const COMMON = {
  beta: 0.04,
  num_iterations: 2,
  max_completion_length: LENGTH,
  use_bias_correction_kl: false,
};

const GRPO: Readonly<Record<string, GrpoCase>> = {
  "sequence mean": {
    stage: { normaliser: { kind: "sequence-mean" } },
    options: { ...COMMON, loss_type: "grpo" },
  },
  "constant, without a standard deviation (Dr. GRPO)": {
    stage: { normaliser: { kind: "constant", length: LENGTH }, std: "none" },
    options: { ...COMMON, loss_type: "dr_grpo", scale_rewards: "none" },
  },
  "token mean, higher upper bound, two-sided clipping (DAPO)": {
    stage: { normaliser: { kind: "token-mean" }, clipLow: 0.05, clipHigh: 0.07, dualClip: 1.1 },
    options: { ...COMMON, loss_type: "dapo", epsilon: 0.05, epsilon_high: 0.07, delta: 1.1 },
  },
  "ratio of the sequence (GSPO)": {
    stage: { normaliser: { kind: "sequence-mean" }, ratio: "sequence", clipLow: 0.01, clipHigh: 0.01 },
    options: { ...COMMON, loss_type: "grpo", importance_sampling_level: "sequence", epsilon: 0.01 },
  },
};

for (const [name, { stage: changes, options }] of Object.entries(GRPO)) {
  Deno.test(`five steps of GRPO are TRL's: ${name}`, async () => {
    await inTemporary(async (folder) => {
      const { stage2 } = parseConfig({
        stage1: null,
        stage2: { rollouts: 4, kl: { coefficient: COMMON.beta }, microBatchTokens: 100, ...changes },
      });
      const stage: Stage2Config = stage2!;
      await using engine = await NativeEngine.open(BASE);
      for (const name of ["start", "reference", "gradients", "final"]) await mkdir(join(folder, name));
      await engine.save(join(folder, "start"));
      await using other = await NativeEngine.open(BASE);
      await moved(other);
      await other.save(join(folder, "reference"));
      await using reference = await other.reference();
      const policy = recorded(engine, join(folder, "gradients"));
      const generations: Prompt[][] = [];
      let [clipped, offPolicy] = [0, 0];
      for (let step = 0; step < STEPS; step += 2) {
        const prompts = promptsOf(step + 1, 2, 4);
        generations.push(prompts);
        const groups = await groupsOf(engine, prompts);
        const rated = await rate(groups, { stage, reference, critic: null }, {});
        const rollouts = rated.flatMap((group) => group.rollouts);
        for (let epoch = 0; epoch < 2 && step + epoch < STEPS; epoch++) {
          const { totals } = await updatePolicy(policy, rollouts, {
            stage,
            optimizer: OPTIMIZER,
            onPolicy: epoch === 0,
          });
          if (epoch > 0) offPolicy = Math.max(offPolicy, totals.ratioGap);
          clipped += totals.clippedLow + totals.clippedHigh + totals.clippedDual;
        }
      }
      expect(offPolicy).toBeGreaterThan(0.05);
      expect(clipped).toBeGreaterThan(0);
      await engine.save(join(folder, "final"));
      expectEqual(name, await theirs("trl_grpo.py", folder, { generations, options, microBatch: 4 }));
    });
  });
}

interface PpoCase {
  /** Of ours. */
  readonly stage: Record<string, unknown>;
  /** TRL's names for the same. */
  readonly options: Record<string, unknown>;
  /** Of every completion, where they are equal. */
  readonly length?: number;
  /** Whether the critic is trained. */
  readonly trained: boolean;
}

const PPO: Readonly<Record<string, PpoCase>> = {
  // TRL values a token behind the end of each shorter response, which only λ = 1 and a critic at rest leave without
  // effect: docs/equivalence.md.
  "unequal lengths, a critic at rest": {
    stage: { gae: { gamma: 1, lambda: 1 } },
    options: { lam: 1.0, vf_coef: 0.0 },
    trained: false,
  },
  "equal lengths, a critic that learns": {
    stage: { gae: { gamma: 0.99, lambda: 0.95 } },
    options: { gamma: 0.99, lam: 0.95, vf_coef: 1.0 },
    length: 12,
    trained: true,
  },
};

for (const [name, { stage: changes, options, length, trained }] of Object.entries(PPO)) {
  Deno.test(`six steps of PPO are TRL's: ${name}`, async () => {
    await inTemporary(async (folder) => {
      const kl = { coefficient: 0.05, estimator: "k1", place: "reward" };
      const clip = 0.02;
      const { stage2 } = parseConfig({
        stage1: null,
        stage2: {
          algorithm: "ppo",
          critic: { clip },
          rollouts: 2,
          kl,
          microBatchTokens: 60,
          clipLow: 0.1,
          clipHigh: 0.1,
          ...changes,
        },
      });
      const stage: Stage2Config = stage2!;
      const optimizer = { ...OPTIMIZER, weightDecay: 0 };
      for (const name of ["start", "reference", "critic", "gradients", "final"]) {
        await mkdir(join(folder, name));
      }
      await using engine = await NativeEngine.open(BASE);
      await engine.save(join(folder, "start"));
      await using other = await NativeEngine.open(BASE);
      await moved(other);
      await other.save(join(folder, "reference"));
      await using reference = await other.reference();
      await makeCritic(join(folder, "critic"));
      await using critic = await NativeEngine.open(join(folder, "critic"));
      const gradients = join(folder, "gradients");
      const [policy, learner] = [recorded(engine, gradients), recorded(critic, gradients, "critic-")];
      const generations: Prompt[][] = [];
      let [clipped, valuesClipped] = [0, 0];
      for (let batch = 0; batch < 3; batch++) {
        const prompts = promptsOf(batch + 1, 4, 2).map((prompt) =>
          length === undefined ? prompt : ofLength(prompt, length)
        );
        generations.push(prompts);
        const rated = await rate(await groupsOf(engine, prompts), { stage, reference, critic }, {});
        const rollouts = rated.flatMap((group) => group.rollouts);
        for (let epoch = 0; epoch < 2; epoch++) {
          if (trained) {
            const { totals } = await updateCritic(learner, rollouts, { stage, clip, optimizer });
            valuesClipped += totals.clipped;
          }
          const { totals } = await updatePolicy(policy, rollouts, {
            stage,
            optimizer,
            onPolicy: epoch === 0,
          });
          clipped += totals.clippedLow + totals.clippedHigh;
        }
      }
      expect(clipped).toBeGreaterThan(0);
      if (trained) expect(valuesClipped).toBeGreaterThan(0);
      await engine.save(join(folder, "final"));
      const shared = {
        kl_coef: kl.coefficient,
        kl_estimator: kl.estimator,
        cliprange: 0.1,
        cliprange_value: clip,
        num_ppo_epochs: 2,
      };
      const job = { generations, optimizer, options: { gamma: 1.0, ...shared, ...options } };
      expectEqual(name, await theirs("trl_ppo.py", folder, job, [trlWithPpo()]), 6);
    });
  });
}

Deno.test("five steps of a ScalarRM are TRL's, with a margin and centring", async () => {
  await inTemporary(async (folder) => {
    const [centring, margin] = [0.01, 0.5];
    const config = parseConfig({
      judge: "scalarrm",
      stage1: {
        epochs: STEPS,
        batchExamples: 8,
        microBatchTokens: 300,
        bradleyTerry: { centring, margin },
        optimizer: OPTIMIZER,
      },
      stage2: null,
    });
    for (const name of ["start", "gradients", "final"]) await mkdir(join(folder, name));
    await makeCritic(join(folder, "start"));
    await using engine = await NativeEngine.open(join(folder, "start"));
    const records = generateTasks({ seed: 5, split: "train", count: 8 });
    const context = {
      engine: recorded(engine, join(folder, "gradients")),
      config,
      openAgain: () => Promise.reject(new Error("No other model is needed")),
    };
    await using stage = await prepareScalarStage(context, config.stage1!, { records, leftOut: [] });
    expect(stage.steps).toBe(STEPS);
    for (let step = 1; step <= STEPS; step++) await stage.run(step);
    await engine.save(join(folder, "final"));
    const pairs = await Promise.all(records.map(async ({ conversation, chosen, rejected }) => {
      const [better, worse] = await encodeAnswers(engine, [
        { conversation, response: chosen },
        { conversation, response: rejected },
      ]);
      return { chosen_ids: [...better!], rejected_ids: [...worse!], margin };
    }));
    const job = { pairs, options: { center_rewards_coefficient: centring } };
    expectEqual("Bradley–Terry", await theirs("trl_reward.py", folder, job));
  });
});

/** A prompt whose completions are cut, or filled up, to a length. */
function ofLength({ prompt, completions }: Prompt, length: number): Prompt {
  return {
    prompt,
    completions: completions.map(({ tokens, reward }, index) => ({
      tokens: Array.from({ length }, (_, t) => tokens[t] ?? 1 + (t * 37 + index) % 600),
      reward,
    })),
  };
}

/** Saves a critic whose values are not zeros. */
async function makeCritic(folder: string): Promise<void> {
  await using critic = await NativeEngine.open(BASE);
  await critic.addScoreHead();
  const { forest } = forestOf([Uint32Array.from({ length: 20 }, (_, index) => 3 + index * 11)]);
  for (let step = 0; step < 4; step++) {
    using tape = await critic.forward(forest, {
      select: new Uint8Array(20),
      scores: Uint32Array.from({ length: 20 }, (_, index) => index),
    });
    await tape.backward({ dScores: tape.scores.map((score, index) => (score - Math.sin(index)) / 20) });
    await critic.step({ ...OPTIMIZER, learningRate: 0.01 });
  }
  await critic.save(folder);
}
