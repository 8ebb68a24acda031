/**
 * A step of GRPO by the trainer's functions, with a reward that is not constant, as the peer's has.
 *
 * @module
 */
import { place } from "../../ts/data/mod.ts";
import { generateTasks } from "../../ts/data/tasks/mod.ts";
import type { Engine, TrainableEngine } from "../../ts/engine/mod.ts";
import { configSchema } from "../../ts/train/config_schema.ts";
import type { Stage2Config } from "../../ts/train/config.ts";
import { updatePolicy } from "../../ts/train/policy_update.ts";
import { rate } from "../../ts/train/rating.ts";
import { sampleStep } from "../../ts/train/sampler.ts";
import { stepOptions } from "../../ts/train/stage.ts";
import type { GrpoStepJob } from "../protocol.ts";

/** The settings that the peer is given too, and that no rollout ends early. */
function settings(
  { inputs, rollouts, newTokens, recompute, microBatchTokens }: GrpoStepJob,
): Stage2Config & { readonly ignoreEos: true } {
  const prompts = inputs[0]!.length;
  const { stage2 } = configSchema.parse({
    stage1: null,
    stage2: {
      prompts,
      rollouts,
      maxNewTokens: newTokens,
      decodeBatch: prompts * rollouts,
      temperature: 1,
      kl: { coefficient: 0.001 },
      recompute,
      microBatchTokens,
      optimizer: { learningRate: 1e-6, weightDecay: 0 },
    },
  });
  return { ...stage2!, ignoreEos: true };
}

/** Number of different tokens modulo 7: cheap, and different within most groups. */
function reward(response: Uint32Array): number {
  return new Set(response).size % 7 / 7;
}

/** Samples, rates and updates. Gives the tokens that were sampled. */
export async function grpoStep(
  engine: TrainableEngine,
  reference: Engine,
  job: GrpoStepJob,
  { input, step }: { readonly input: readonly (readonly number[])[]; readonly step: number },
): Promise<number> {
  const stage = settings(job);
  const [record] = generateTasks({ seed: 0, split: "train", count: 1 });
  const pair = place(record!, "A");
  const examples = input.map((ids) => ({ pair, prompt: Uint32Array.from(ids), opensThinking: false }));
  const { groups } = await sampleStep(engine, examples, { stage, seed: 0, step }, {});
  const rewarded = groups.map(({ example, rollouts }) => ({
    example,
    rollouts: rollouts.map((rollout) => ({ ...rollout, reward: reward(rollout.response) })),
  }));
  const rated = (await rate(rewarded, { stage, reference, critic: null }, {})).flatMap(({ rollouts }) =>
    rollouts
  );
  for (const { response } of rated) {
    if (response.length !== job.newTokens) {
      throw new RangeError(`A rollout has "${response.length}" tokens, expected ${job.newTokens}`);
    }
  }
  await updatePolicy(engine, rated, {
    stage,
    optimizer: stepOptions(stage.optimizer, step, stage.steps),
    onPolicy: engine.info.exact,
  });
  return rated.length * job.newTokens;
}
