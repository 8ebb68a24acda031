/**
 * A step of GRPO by the trainer's functions, with a reward that is not constant, as the peer's has.
 *
 * @module
 */
import { groupAdvantages } from "../../ts/algorithms/mod.ts";
import { place } from "../../ts/data/mod.ts";
import { generateTasks } from "../../ts/data/tasks/mod.ts";
import type { Engine, TrainableEngine } from "../../ts/engine/mod.ts";
import { configSchema } from "../../ts/train/config_schema.ts";
import type { Stage2Config } from "../../ts/train/config.ts";
import { updatePolicy } from "../../ts/train/policy_update.ts";
import { sampleGroups } from "../../ts/train/rollouts.ts";
import { stepOptions } from "../../ts/train/stage.ts";
import type { GrpoStepJob } from "../protocol.ts";

/** The settings that the peer is given too. */
function settings({ inputs, rollouts, newTokens, recompute }: GrpoStepJob): Stage2Config {
  const prompts = inputs[0]!.length;
  const { stage2 } = configSchema.parse({
    stage1: null,
    stage2: {
      prompts,
      rollouts,
      maxNewTokens: newTokens,
      decodeBatch: prompts * rollouts,
      temperature: 1,
      beta: 0.001,
      recompute,
      optimizer: { learningRate: 1e-6, weightDecay: 0 },
    },
  });
  return stage2!;
}

/** Number of different characters modulo 7: cheap, and different within most groups. */
function reward(text: string): number {
  return new Set(text).size % 7 / 7;
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
  const groups = await sampleGroups(engine, examples, { ...stage, seed: 0, step, ignoreEos: true });
  const rated = groups.flatMap(({ rollouts }) => {
    const advantages = groupAdvantages(rollouts.map(({ text }) => reward(text)), stage);
    return rollouts.map((rollout, index) => ({ ...rollout, advantage: advantages[index]! }));
  });
  for (const { response } of rated) {
    if (response.length !== job.newTokens) {
      throw new RangeError(`A rollout has "${response.length}" tokens, expected ${job.newTokens}`);
    }
  }
  await updatePolicy(engine, rated, {
    stage,
    optimizer: stepOptions(stage.optimizer, step),
    reference,
    onPolicy: true,
  });
  return rated.length * job.newTokens;
}
