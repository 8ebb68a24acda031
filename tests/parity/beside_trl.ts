/**
 * What the comparisons with TRL's trainers have in common: rollouts, recorded gradients, and TRL's side.
 *
 * @module
 */
import { expect } from "expect";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { place } from "../../ts/data/mod.ts";
import { generateTasks } from "../../ts/data/tasks/mod.ts";
import {
  CoreEngine,
  type DoneEvent,
  forestOf,
  type StepOptions,
  type TrainableEngine,
} from "../../ts/engine/mod.ts";
import type { Stage2Config } from "../../ts/train/config.ts";
import type { RolloutGroup } from "../../ts/train/rollouts.ts";
import { python } from "./python.ts";

const PARITY = fileURLToPath(new URL(".", import.meta.url));
/** A trained model, whose token 0 ends a sequence. */
export const BASE = fileURLToPath(new URL("../../models/embedded-base", import.meta.url));
/** Optimiser steps that are compared. */
export const STEPS = 5;
/** Most tokens of a rollout. */
export const LENGTH = 40;
/** Largest distance of a tensor's gradients over their norm. */
const TOLERANCE = 1e-3;
/** Of both sides, where a comparison has no other. */
export const OPTIMIZER: StepOptions = {
  learningRate: 5e-5,
  beta1: 0.9,
  beta2: 0.98,
  epsilon: 1e-8,
  // So much that five small steps show what it is applied to.
  weightDecay: 1,
  maxGradNorm: 0,
};

/** Draws numbers below a limit, as a seed decides. */
function drawer(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * limit);
  };
}

/** Rollouts of a prompt, as TRL is given them. */
export interface Prompt {
  readonly prompt: number[];
  readonly completions: readonly { readonly tokens: number[]; readonly reward: number }[];
}

/** A group, as TRL is given it. */
export function asGiven({ example, rollouts }: RolloutGroup): Prompt {
  return {
    prompt: [...example.prompt],
    completions: rollouts.map(({ response, reward }) => ({ tokens: [...response], reward })),
  };
}

/** Groups of rollouts that the policy samples, of unequal lengths, with rewards that differ in each. */
export async function sample(
  engine: TrainableEngine,
  { temperature }: Stage2Config,
  { seed, prompts, rollouts, reward = 1 }: {
    readonly seed: number;
    readonly prompts: number;
    readonly rollouts: number;
    /** Of the better ones; its negative of the others. */
    readonly reward?: number;
  },
): Promise<RolloutGroup[]> {
  const draw = drawer(seed);
  const { vocabSize } = engine.info;
  const asked = Array.from(
    { length: prompts },
    () => Uint32Array.from({ length: 6 + draw(20) }, () => draw(vocabSize)),
  );
  const requests = asked.flatMap((prompt, index) =>
    Array.from({ length: rollouts }, (_, rollout) => ({
      prompt,
      temperature,
      // The last of a prompt is cut soon, the others may end by themselves.
      maxTokens: rollout === rollouts - 1 ? 2 + draw(6) : LENGTH - draw(8),
      key: { seed, step: 0, prompt: index, rollout },
    }))
  );
  const done: DoneEvent[] = [];
  for await (const event of engine.generate(requests)) if (event.type === "done") done[event.request] = event;
  const [record] = generateTasks({ seed: 0, split: "train", count: 1 });
  const pair = place(record!, "A");
  return asked.map((prompt, index) => ({
    example: { pair, prompt, opensThinking: false },
    rollouts: Array.from({ length: rollouts }, (_, rollout) => {
      const { tokens, logprobs, finish } = done[index * rollouts + rollout]!;
      return {
        prompt,
        response: tokens,
        oldLogprobs: logprobs,
        text: "",
        finish,
        verdict: { kind: "A" },
        reward: (1 - 2 * (rollout < 2 ? rollout : draw(2))) * reward,
      };
    }),
  }));
}

/** The engine, which stores its gradients before each step as `FOLDER/PREFIX1.safetensors`, `PREFIX2.safetensors`, … */
export function recorded(engine: CoreEngine, folder: string, prefix = ""): TrainableEngine {
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
export async function moved(engine: CoreEngine): Promise<void> {
  const { vocabSize } = engine.info;
  const { forest } = forestOf([Uint32Array.from({ length: 40 }, (_, index) => (5 + index * 7) % vocabSize)]);
  for (let step = 0; step < 3; step++) {
    using tape = await engine.forward(forest);
    await tape.backward({ dLogprobs: tape.logprobs.map((value) => Number.isNaN(value) ? 0 : -1 / 39) });
    await engine.step({ ...OPTIMIZER, learningRate: 1e-4 });
  }
}

/** What a script of TRL's side found. */
export interface Compared {
  readonly steps: readonly { readonly norm: number; readonly tensor: string; readonly distance: number }[];
  readonly weights: number;
}

/** Takes TRL's steps by a script, which compares each with ours. */
export async function theirs(
  script: string,
  folder: string,
  job: object,
  args: readonly string[] = [],
): Promise<Compared> {
  const file = join(folder, "job.json");
  await writeFile(file, JSON.stringify({ steps: STEPS, ...job, folder }));
  const { code, stdout, stderr } = await python([join(PARITY, script), file, ...args]);
  expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as Compared;
}

/** Holds each step's farthest tensor to the tolerance, and the weights after the last; writes them to standard error. */
export function expectEqual(name: string, { steps, weights }: Compared, count = STEPS): void {
  const worst = steps.map(({ norm, tensor, distance }) =>
    `${tensor} ${distance.toExponential(1)} of ${norm.toPrecision(2)}`
  );
  process.stderr.write(`${name}: ${worst.join(", ")}; weights ${weights.toExponential(1)}\n`);
  expect(steps.length).toBe(count);
  for (const [index, { norm, tensor, distance }] of steps.entries()) {
    expect(norm).toBeGreaterThan(1e-3);
    if (distance < TOLERANCE) continue;
    const where = `${name}, step ${index + 1}`;
    throw new Error(
      `${where}: the gradient of "${tensor}" is "${distance}" of its norm from TRL's, expected below ${TOLERANCE}`,
    );
  }
  expect(weights).toBeLessThan(10 * TOLERANCE);
}

/** Saves a critic whose values are not zeros. */
export async function makeCritic(folder: string): Promise<void> {
  await using critic = await CoreEngine.open(BASE);
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
