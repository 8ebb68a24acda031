import { expect } from "expect";
import { generateTasks, place } from "../data/mod.ts";
import type { Stage2Config } from "./config.ts";
import { rate, type RatedRollout } from "./rating.ts";
import type { Rollout, RolloutGroup } from "./rollouts.ts";
import { smallConfig } from "./testing/small_run.ts";
import { TabularEngine } from "./testing/tabular_engine.ts";

const [record] = generateTasks({ seed: 0, split: "train", count: 1 });
const example = { pair: place(record!, "A"), prompt: Uint32Array.of(40, 41), opensThinking: false };
const stageOf = (changes: Record<string, unknown>): Stage2Config =>
  smallConfig({ stage1: null, stage2: changes }).stage2!;
const KL = { coefficient: 0.1, place: "reward" };

function rollout(reward: number, response: readonly number[], oldLogprobs: readonly number[]): Rollout {
  return {
    prompt: example.prompt,
    response: Uint32Array.from(response),
    oldLogprobs: Float32Array.from(oldLogprobs),
    text: "",
    finish: "stop",
    verdict: { kind: "unparsable", reason: "no-answer" },
    reward,
  };
}

const groupOf = (rewards: readonly number[]): RolloutGroup => ({
  example,
  rollouts: rewards.map((reward, index) => rollout(reward, [50 + index, 60], [-2 - index, -4])),
});

async function rated(group: RolloutGroup, stage: Stage2Config): Promise<readonly RatedRollout[]> {
  const engine = TabularEngine.fresh();
  const reference = stage.kl.coefficient > 0 ? await engine.reference() : null;
  const critic = stage.critic === null ? null : TabularEngine.fresh();
  await critic?.addScoreHead();
  return (await rate([group], { stage, reference, critic }, {}))[0]!.rollouts;
}

Deno.test("what is masked has no part in whitening", async () => {
  const stage = stageOf({ algorithm: "ppo", critic: {}, overlong: { kind: "mask" }, kl: { coefficient: 0 } });
  const { rollouts, ...group } = groupOf([1, -1, 1, -1]);
  const cut = {
    ...group,
    rollouts: rollouts.map((each, index) => index < 2 ? each : { ...each, finish: "length" as const }),
  };
  const whole = await rated({ ...group, rollouts: rollouts.slice(0, 2) }, stage);
  const masked = await rated(cut, stage);
  for (const [index, { advantages }] of whole.entries()) {
    expect(advantages).toEqual(masked[index]!.advantages);
    expect(Math.abs(advantages[0]!)).toBeGreaterThan(0.1);
  }
});

Deno.test("the divergence in the reward is taken off after the group is normalised, token by token", async () => {
  const rewards = [1, -1, -1, 1];
  const plain = await rated(groupOf(rewards), stageOf({ kl: { coefficient: 0 } }));
  for (const { advantages } of plain) expect(advantages[0]).toBe(advantages[1]);
  const held = await rated(groupOf(rewards), stageOf({ kl: KL }));
  for (const [index, { advantages, oldLogprobs, referenceLogprobs }] of held.entries()) {
    const k1 = oldLogprobs.map((old, t) => old - referenceLogprobs![t]!);
    expect(advantages[1]).toBeCloseTo(plain[index]!.advantages[1]! - 0.1 * k1[1]!, 5);
    expect(advantages[0]).toBeCloseTo(plain[index]!.advantages[0]! - 0.1 * (k1[0]! + k1[1]!), 5);
  }
});

Deno.test("a group of equal verdicts has the divergence as its only signal, in its own size", async () => {
  const equal = groupOf([-1, -1, -1, -1]);
  const small = await rated(equal, stageOf({ kl: { ...KL, coefficient: 1e-3 } }));
  const large = await rated(equal, stageOf({ kl: { ...KL, coefficient: 1e-1 } }));
  for (const [index, { advantages }] of small.entries()) {
    for (const [t, advantage] of advantages.entries()) {
      expect(Math.abs(advantage)).toBeLessThan(0.01);
      expect(large[index]!.advantages[t]).toBeCloseTo(100 * advantage, 9);
    }
  }
  for (const { advantages } of await rated(equal, stageOf({ kl: { coefficient: 0 } }))) {
    expect([...advantages]).toEqual([0, 0]);
  }
});

Deno.test("a reward that is no number is refused by its rollout and record", async () => {
  await expect(rated(groupOf([1, NaN]), stageOf({ kl: { coefficient: 0 } }))).rejects.toThrow(
    `The reward of rollout 1 of record "${record!.id}" is "NaN"`,
  );
  const broken = { example, rollouts: [rollout(1, [50], [NaN]), rollout(-1, [51], [-1])] };
  await expect(rated(broken, stageOf({ kl: KL }))).rejects.toThrow(
    `The reward of token 0 of rollout 0 of record "${record!.id}" is not finite: old log-probability "NaN"`,
  );
});
