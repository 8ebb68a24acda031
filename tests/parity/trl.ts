/**
 * Step by step beside TRL's trainers: the same model, rollouts and hyper-parameters give the same gradients of each
 * tensor, over optimiser steps that each side takes by itself. Run by `deno task test:peers`.
 * docs/equivalence.md says what differs by default.
 */
import { expect } from "expect";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { trlWithPpo } from "../../benchmarks/peers/environment.ts";
import { generalizedAdvantages, whiten } from "../../ts/algorithms/mod.ts";
import { generateTasks } from "../../ts/data/tasks/mod.ts";
import { CoreEngine, type Engine } from "../../ts/engine/mod.ts";
import { encodeAnswers } from "../../ts/judge/mod.ts";
import { parseConfig, type Stage2Config } from "../../ts/train/config.ts";
import { updateCritic, type ValuedSequence, valuesOf } from "../../ts/train/critic.ts";
import { updatePolicy } from "../../ts/train/policy_update.ts";
import { rate, type RatedRollout } from "../../ts/train/rating.ts";
import { prepareScalarStage } from "../../ts/train/scalar_stage.ts";
import { withoutMasked } from "../../ts/train/stage2.ts";
import {
  asGiven,
  BASE,
  expectEqual,
  LENGTH,
  makeCritic,
  moved,
  OPTIMIZER,
  type Prompt,
  recorded,
  sample,
  STEPS,
  theirs,
} from "./beside_trl.ts";
import { inTemporary } from "./python.ts";

const QWEN2 = fileURLToPath(new URL("../fixtures/tiny-models/qwen2_bf16", import.meta.url));
/** Below the norm of some steps' gradients. */
const MAX_GRAD_NORM = 0.5;

interface GrpoCase {
  /** Of ours. */
  readonly stage: Record<string, unknown>;
  /** TRL's names for the same. */
  readonly options: Record<string, unknown>;
  /** Default {@link BASE}. */
  readonly model?: string;
  /** Global norm to which gradients are clipped, below the largest of the steps; default 0, which does not clip. */
  readonly maxGradNorm?: number;
  /** Rollouts of a micro-batch of TRL's. Default 4, half of a step's. */
  readonly microBatch?: number;
}

const COMMON = {
  beta: 0.04,
  num_iterations: 2,
  max_completion_length: LENGTH,
  use_bias_correction_kl: false,
};

const GRPO: Readonly<Record<string, GrpoCase>> = {
  "sequence mean, clipped gradients": {
    stage: { normaliser: { kind: "sequence-mean" } },
    options: { ...COMMON, loss_type: "grpo" },
    maxGradNorm: MAX_GRAD_NORM,
  },
  "constant, without a standard deviation (Dr. GRPO), temperature 0.7": {
    stage: { normaliser: { kind: "constant", length: LENGTH }, std: "none", temperature: 0.7 },
    options: { ...COMMON, loss_type: "dr_grpo", scale_rewards: "none", temperature: 0.7 },
  },
  "token mean, higher upper bound, two-sided clipping, cut rollouts masked (DAPO)": {
    stage: {
      normaliser: { kind: "token-mean" },
      clipLow: 0.05,
      clipHigh: 0.07,
      dualClip: 1.1,
      overlong: { kind: "mask" },
    },
    options: {
      ...COMMON,
      loss_type: "dapo",
      epsilon: 0.05,
      epsilon_high: 0.07,
      delta: 1.1,
      mask_truncated_completions: true,
    },
  },
  "token mean of one micro-batch (BNPO), a Qwen2 with biases": {
    stage: { normaliser: { kind: "token-mean" }, clipLow: 0.05, clipHigh: 0.05 },
    options: { ...COMMON, loss_type: "bnpo", epsilon: 0.05 },
    model: QWEN2,
    microBatch: 8,
  },
  "ratio of the sequence (GSPO)": {
    stage: { normaliser: { kind: "sequence-mean" }, ratio: "sequence", clipLow: 0.01, clipHigh: 0.01 },
    options: { ...COMMON, loss_type: "grpo", importance_sampling_level: "sequence", epsilon: 0.01 },
  },
};

for (const [name, { stage: changes, options, model = BASE, ...how }] of Object.entries(GRPO)) {
  const { maxGradNorm = 0, microBatch = 4 } = how;
  Deno.test(`five steps of GRPO are TRL's: ${name}`, async () => {
    await inTemporary(async (folder) => {
      const { stage2 } = parseConfig({
        stage1: null,
        stage2: { rollouts: 4, kl: { coefficient: COMMON.beta }, microBatchTokens: 100, ...changes },
      });
      const stage: Stage2Config = stage2!;
      const optimizer = { ...OPTIMIZER, maxGradNorm };
      // So large that what is added to their standard deviation, 1e-6 here and 1e-4 there, is nothing.
      const reward = stage.std === "none" ? 1 : 100;
      await using engine = await CoreEngine.open(model);
      for (const name of ["start", "reference", "gradients", "final"]) await mkdir(join(folder, name));
      await engine.save(join(folder, "start"));
      await using other = await CoreEngine.open(model);
      await moved(other);
      await other.save(join(folder, "reference"));
      await using reference = await other.reference();
      const policy = recorded(engine, join(folder, "gradients"));
      const generations: Prompt[][] = [];
      let [clipped, dual, masked, offPolicy, gradients, kl] = [0, 0, 0, 0, 0, 0];
      for (let step = 0; step < STEPS; step += 2) {
        const groups = await sample(engine, stage, { seed: step + 31, prompts: 2, rollouts: 4, reward });
        generations.push(groups.map(asGiven));
        const rated = withoutMasked(await rate(groups, { stage, reference, critic: null }, {}), stage);
        const rollouts = rated.flatMap((group) => group.rollouts);
        masked += 8 - rollouts.length;
        for (let epoch = 0; epoch < 2 && step + epoch < STEPS; epoch++) {
          const { totals, gradNorm } = await updatePolicy(policy, rollouts, {
            stage,
            optimizer,
            onPolicy: epoch === 0,
          });
          gradients = Math.max(gradients, gradNorm);
          kl = Math.max(kl, totals.kl / totals.tokens);
          if (epoch > 0) offPolicy = Math.max(offPolicy, totals.ratioGap);
          clipped += totals.clippedLow + totals.clippedHigh;
          dual += totals.clippedDual;
        }
      }
      expect(offPolicy).toBeGreaterThan(0.05);
      expect(clipped).toBeGreaterThan(0);
      expect(dual > 0).toBe(stage.dualClip !== null);
      expect(masked > 0).toBe(stage.overlong.kind === "mask");
      expect(gradients).toBeGreaterThan(maxGradNorm);
      // Where the reference is too far, its term is all there is to the gradient.
      expect(kl).toBeGreaterThan(1e-4);
      expect(kl).toBeLessThan(1);
      await engine.save(join(folder, "final"));
      const job = { generations, optimizer, options, microBatch, tokenizer: BASE };
      expectEqual(name, await theirs("trl_grpo.py", folder, job));
    });
  });
}

interface PpoCase {
  /** Of ours. */
  readonly stage: Record<string, unknown>;
  /** TRL's names for the same. */
  readonly options: Record<string, unknown>;
  /** Whether the state behind the end of each shorter response is valued, as TRL does. */
  readonly behind: boolean;
  /** Whether the critic is trained. */
  readonly trained: boolean;
}

const PPO: Readonly<Record<string, PpoCase>> = {
  // TRL values the state behind the end of each shorter response, which only λ = 1 and a critic at rest leave without
  // effect: docs/equivalence.md.
  "as rated here, a critic at rest": {
    stage: { gae: { gamma: 1, lambda: 1 }, temperature: 0.8 },
    options: { lam: 1.0, vf_coef: 0.0, temperature: 0.8 },
    behind: false,
    trained: false,
  },
  "the state behind the end valued, a critic that learns": {
    stage: { gae: { gamma: 0.99, lambda: 0.95 } },
    options: { gamma: 0.99, lam: 0.95, vf_coef: 1.0 },
    behind: true,
    trained: true,
  },
};

for (const [name, { stage: changes, options, behind, trained }] of Object.entries(PPO)) {
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
      // TRL's one optimizer would let a critic decay that learns nothing.
      const optimizer = trained ? OPTIMIZER : { ...OPTIMIZER, weightDecay: 0 };
      for (const name of ["start", "reference", "critic", "gradients", "final"]) {
        await mkdir(join(folder, name));
      }
      await using engine = await CoreEngine.open(BASE);
      await engine.save(join(folder, "start"));
      await using other = await CoreEngine.open(BASE);
      await moved(other);
      await other.save(join(folder, "reference"));
      await using reference = await other.reference();
      await makeCritic(join(folder, "critic"));
      await using critic = await CoreEngine.open(join(folder, "critic"));
      const gradients = join(folder, "gradients");
      const [policy, learner] = [recorded(engine, gradients), recorded(critic, gradients, "critic-")];
      const generations: Prompt[][] = [];
      let [clipped, valuesClipped] = [0, 0];
      for (let batch = 0; batch < 3; batch++) {
        const groups = await sample(engine, stage, { seed: batch + 1, prompts: 4, rollouts: 2 });
        generations.push(groups.map(asGiven));
        const rated = (await rate(groups, { stage, reference, critic }, {})).flatMap(({ rollouts }) =>
          rollouts
        );
        const { rollouts, valued } = behind
          ? await valueBehind(rated, critic, stage)
          : { rollouts: rated, valued: rated };
        for (let epoch = 0; epoch < 2; epoch++) {
          if (trained) {
            const { totals } = await updateCritic(learner, valued, { stage, clip, optimizer });
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
      const job = {
        generations,
        optimizer,
        options: { gamma: 1.0, temperature: 1.0, ...shared, ...options },
      };
      expectEqual(name, await theirs("trl_ppo.py", folder, job, [trlWithPpo()]), 6);
    });
  });
}

Deno.test("five steps of a ScalarRM are TRL's, with a margin and centring", async () => {
  await inTemporary(async (folder) => {
    const [centring, margin] = [0.01, 0.5];
    const optimizer = { ...OPTIMIZER, maxGradNorm: MAX_GRAD_NORM };
    const config = parseConfig({
      judge: "scalarrm",
      stage1: {
        epochs: STEPS,
        batchExamples: 8,
        microBatchTokens: 300,
        bradleyTerry: { centring, margin },
        optimizer,
      },
      stage2: null,
    });
    for (const name of ["start", "gradients", "final"]) await mkdir(join(folder, name));
    await makeCritic(join(folder, "start"));
    await using engine = await CoreEngine.open(join(folder, "start"));
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
    const job = { pairs, optimizer, options: { center_rewards_coefficient: centring } };
    const compared = await theirs("trl_reward.py", folder, job);
    expect(Math.max(...compared.steps.map(({ norm }) => norm))).toBeGreaterThan(MAX_GRAD_NORM);
    expectEqual("Bradley–Terry", compared);
  });
});

/**
 * Rates rollouts as TRL does: a response that is shorter than the longest has one state more, behind its last token,
 * which is valued, has the reward, and counts in the value loss.
 */
async function valueBehind(
  rated: readonly RatedRollout[],
  critic: Engine,
  stage: Stage2Config,
): Promise<{ readonly rollouts: RatedRollout[]; readonly valued: ValuedSequence[] }> {
  const longest = Math.max(...rated.map(({ response }) => response.length));
  const longer = rated.map(({ prompt, response }) => ({
    prompt,
    response: response.length === longest ? response : Uint32Array.of(...response, 0),
  }));
  const values = await valuesOf(critic, longer, stage);
  const estimates = rated.map(({ oldLogprobs, referenceLogprobs, reward }, index) => {
    const sequence = longer[index]!;
    const rewards = new Float64Array(sequence.response.length);
    for (const [t, old] of oldLogprobs.entries()) {
      rewards[t] = -stage.kl.coefficient * (old - referenceLogprobs![t]!);
    }
    rewards[rewards.length - 1]! += reward;
    return generalizedAdvantages({ rewards, values: values.get(sequence)! }, stage.gae);
  });
  const advantages = whiten(
    estimates.map(({ advantages }, index) => advantages.subarray(0, rated[index]!.response.length)),
  );
  return {
    rollouts: rated.map((rollout, index) => ({ ...rollout, advantages: advantages[index]! })),
    valued: longer.map((sequence, index) => ({
      ...sequence,
      oldValues: values.get(sequence)!,
      returns: estimates[index]!.returns,
    })),
  };
}
