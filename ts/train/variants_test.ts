import { expect } from "expect";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { readCard } from "./checkpoint.ts";
import type { TrainConfig } from "./config.ts";
import { readJournal } from "./journal.ts";
import type { LedgerEntry } from "./ledger.ts";
import { readLines } from "./lines.ts";
import type { Stage2StepRecord } from "./records.ts";
import { finalWeights, opener, smallConfig, withFolder } from "./testing/small_run.ts";
import type { CallName } from "./testing/tabular_engine.ts";
import { train } from "./train.ts";

const CRITIC = { optimizer: { learningRate: 0.05, weightDecay: 0 } };
const FEW = { stage1: { epochs: 2 }, evaluation: { at: ["final"], examples: 4 } };

/** Configurations that have what a plain run has not. */
const VARIANTS: Readonly<Record<string, TrainConfig>> = {
  "PPO with a critic of its own": smallConfig({
    ...FEW,
    stage2: {
      algorithm: "ppo",
      steps: 4,
      rollouts: 1,
      epochs: 2,
      maxNewTokens: 80,
      critic: { ...CRITIC, warmupSteps: 1 },
    },
  }),
  "PPO with a shared trunk": smallConfig({
    ...FEW,
    stage2: {
      algorithm: "ppo",
      steps: 3,
      rollouts: 2,
      maxNewTokens: 80,
      gae: { gamma: 1, lambda: 0.95 },
      kl: { coefficient: 0.05, place: "reward" },
      critic: { trunk: "shared" },
    },
  }),
  "GSPO with DAPO's means": smallConfig({
    ...FEW,
    stage2: {
      steps: 3,
      maxNewTokens: 80,
      ratio: "sequence",
      clipHigh: 0.28,
      dualClip: 3,
      epochs: 2,
      kl: { coefficient: 0.01, estimator: "k2" },
      equalGroups: "resample",
      overlong: { kind: "penalty", buffer: 40 },
    },
  }),
  "a ScalarRM by Bradley–Terry": smallConfig({
    judge: "scalarrm",
    stage1: { epochs: 3, bradleyTerry: { margin: 0.5 } },
    stage2: null,
    evaluation: { at: ["final"], examples: 4 },
  }),
  "evaluation during training, and the best weights": smallConfig({
    ...FEW,
    stage2: { steps: 6, maxNewTokens: 40 },
    evaluation: {
      at: ["final"],
      examples: 4,
      maxNewTokens: 40,
      during: { every: 2, examples: 4, patience: 2 },
    },
  }),
};

for (const [name, config] of Object.entries(VARIANTS)) {
  Deno.test(`${name}: a run that dies and is resumed ends with the bytes of one that did not`, async () => {
    await withFolder(async (folder) => {
      const whole = join(folder, "whole");
      const calls: CallName[] = [];
      await train(config, {
        runDirectory: whole,
        openEngine: opener({ onCall: (call) => calls.push(call) }),
      });
      const weights = await finalWeights(whole);
      const stride = Math.ceil(calls.length / 8);
      const fatal = [...calls.keys()].filter((index) => calls[index] === "save" || index % stride === 0);
      expect(fatal.length).toBeGreaterThan(5);
      for (const index of fatal) {
        const path = join(folder, `${index}`);
        let call = 0;
        const onCall = (): void => {
          if (call++ === index) throw new Error("The power failed");
        };
        await expect(train(config, { runDirectory: path, openEngine: opener({ onCall }) })).rejects.toThrow(
          "The power failed",
        );
        const resume = await readFile(join(path, "config.json")).then(() => true, () => false);
        await train(config, { runDirectory: path, resume, openEngine: opener() });
        expect(await finalWeights(path)).toBe(weights);
      }
    });
  });
}

Deno.test("a ScalarRM learns which answers are better, and its folder says what it is", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "run");
    const config = smallConfig({
      judge: "scalarrm",
      stage1: { epochs: 12, optimizer: { learningRate: 0.3 } },
      stage2: null,
      evaluation: { at: ["base", "final"] },
    });
    const { accuracy } = await train(config, { runDirectory: path, openEngine: opener() });
    const steps = (await readJournal(join(path, "journal.jsonl"))).filter((record) => record.type === "step");
    const preferences = steps.map((step) => step.stage === 1 ? step.preference! : null);
    expect(preferences[0]).toMatchObject({ accuracy: 0, meanLead: 0 });
    expect(preferences.at(-1)).toMatchObject({ accuracy: 1 });
    expect(accuracy.base).toBe(0);
    expect(await readCard(join(path, "final"))).toMatchObject({ judge: "scalarrm", stage: 1 });
  });
});

async function stepsOf(path: string): Promise<Stage2StepRecord[]> {
  const records = await readJournal(join(path, "journal.jsonl"));
  return records.filter((record) => record.type === "step").filter((record) => record.stage === 2);
}

Deno.test("a critic learns what is to come, first alone and then beside the policy", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "run");
    const config = smallConfig({
      ...FEW,
      stage2: {
        algorithm: "ppo",
        steps: 8,
        rollouts: 4,
        epochs: 4,
        maxNewTokens: 30,
        critic: { ...CRITIC, clip: null, warmupSteps: 6 },
      },
    });
    await train(config, { runDirectory: path, openEngine: opener() });
    const steps = await stepsOf(path);
    expect(steps.map(({ updates }) => updates)).toEqual([0, 0, 0, 0, 0, 0, 8, 8]);
    const losses = steps.map(({ critic }) => critic!.loss);
    expect(losses.at(-1)).toBeLessThan(0.5 * losses[0]!);
    expect(steps.slice(6).every(({ onPolicyRatioGap }) => onPolicyRatioGap === 0)).toBe(true);
  });
});

Deno.test("further prompts are sampled in the place of groups that teach nothing, as often as is allowed", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "run");
    const config = smallConfig({
      stage1: null,
      stage2: { steps: 2, maxNewTokens: 6, equalGroups: "resample", resampleRounds: 2 },
      evaluation: { at: [] },
    });
    await train(config, { runDirectory: path, openEngine: opener() });
    for (const { groups, skippedGroups, updates, ids } of await stepsOf(path)) {
      expect({ groups, skippedGroups, updates }).toEqual({ groups: 6, skippedGroups: 6, updates: 0 });
      expect(new Set(ids).size).toBeGreaterThan(2);
    }
  });
});

Deno.test("rollouts that are cut short are in the ledger, and out of the loss where they are masked", async () => {
  await withFolder(async (folder) => {
    const tokensOf = async (kind: string): Promise<{ lossTokens: number; ledger: LedgerEntry[] }> => {
      const path = join(folder, kind);
      const config = smallConfig({
        stage1: null,
        stage2: { steps: 1, maxNewTokens: 100, overlong: { kind } },
        evaluation: { at: [] },
      });
      await train(config, { runDirectory: path, openEngine: opener() });
      const [step] = await stepsOf(path);
      return { lossTokens: step!.lossTokens, ledger: await readLines(join(path, "ledger.jsonl")) };
    };
    const [count, mask] = [await tokensOf("count"), await tokensOf("mask")];
    const cut = count.ledger.filter(({ what }) => what === "truncated");
    expect(cut.length).toBeGreaterThan(0);
    expect(cut[0]).toMatchObject({ stage: 2, step: 1, reason: "length" });
    expect(count.ledger.filter(({ what }) => what === "unparsable").length).toBe(6);
    expect(mask.ledger).toEqual(count.ledger);
    expect(count.lossTokens - mask.lossTokens).toBe(100 * cut.length);
  });
});
