import { expect } from "expect";
import { generateTasks } from "../data/mod.ts";
import type { DoneEvent, GenerateOptions, GenerateRequest, TrainableEngine } from "../engine/mod.ts";
import type { Stage1StepRecord, Stage2StepRecord, StepRecord } from "./records.ts";
import { learningRateAt, type Stage } from "./stage.ts";
import { chooseStage1, prepareStage1 } from "./stage1.ts";
import { chooseStage2, prepareStage2 } from "./stage2.ts";
import { contextOf, smallConfig } from "./testing/small_run.ts";
import { TabularEngine } from "./testing/tabular_engine.ts";

const tasks = generateTasks({ seed: 0, split: "train", count: 12 });

async function stage1(engine: TrainableEngine, changes: Record<string, unknown> = {}): Promise<Stage> {
  const config = smallConfig({ stage1: changes });
  const context = contextOf(engine, config);
  return prepareStage1(context, config.stage1!, await chooseStage1(context, config.stage1!, tasks));
}

async function stage2(engine: TrainableEngine, changes: Record<string, unknown> = {}): Promise<Stage> {
  const config = smallConfig({ stage1: null, stage2: { maxNewTokens: 12, ...changes } });
  const context = contextOf(engine, config);
  return await prepareStage2(context, config.stage2!, await chooseStage2(context, config.stage2!, tasks, []));
}

async function run(stage: Stage, step: number): Promise<StepRecord> {
  return (await stage.run(step)).record;
}

/** An engine whose rollouts are changed on their way. */
function tampered(
  engine: TabularEngine,
  change: (event: DoneEvent, request: GenerateRequest) => DoneEvent | null,
) {
  return new Proxy(engine, {
    get(target, name) {
      if (name === "generate") {
        return async function* (requests: readonly GenerateRequest[], options?: GenerateOptions) {
          for await (const event of target.generate(requests, options)) {
            const changed = change(event, requests[event.request]!);
            if (changed !== null) yield changed;
          }
        };
      }
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** Answers with verdicts: the right one where `right` says so. The tokens stay as sampled. */
function answering(right: (request: GenerateRequest) => boolean): TabularEngine {
  const engine = TabularEngine.fresh();
  return tampered(engine, (event, request) => {
    const prompt = String.fromCharCode(...request.prompt as Uint32Array);
    const task = tasks.find(({ chosen }) => prompt.includes(chosen))!;
    const gold = prompt.indexOf(task.chosen) < prompt.indexOf(task.rejected) ? "A" : "B";
    const side = right(request) ? gold : gold === "A" ? "B" : "A";
    return { ...event, text: `<answer>[[${side}]]</answer>` };
  });
}

Deno.test("the learning rate rises over the warmup and then stays", () => {
  const optimizer = { ...smallConfig().stage1!.optimizer, learningRate: 1, warmupSteps: 4 };
  expect([1, 2, 3, 4, 5, 99].map((step) => learningRateAt(optimizer, step, 99))).toEqual([
    0.25,
    0.5,
    0.75,
    1,
    1,
    1,
  ]);
  expect(learningRateAt({ ...optimizer, warmupSteps: 0 }, 1, 9)).toBe(1);
});

Deno.test("a schedule falls from the warmup's top to its share, evenly or as a cosine, and the last step still trains", () => {
  const optimizer = { ...smallConfig().stage1!.optimizer, learningRate: 1, warmupSteps: 2, finalShare: 0.2 };
  const rates = (schedule: "linear" | "cosine"): number[] =>
    Array.from({ length: 6 }, (_, step) => learningRateAt({ ...optimizer, schedule }, step + 1, 6));
  const linear = rates("linear");
  for (const [index, rate] of [0.5, 1, 0.84, 0.68, 0.52, 0.36].entries()) {
    expect(linear[index]).toBeCloseTo(rate, 12);
  }
  const cosine = rates("cosine");
  for (const [index, done] of [0, 0.2, 0.4, 0.6, 0.8].entries()) {
    expect(cosine[index + 1]).toBeCloseTo(0.2 + 0.8 * (1 + Math.cos(Math.PI * done)) / 2, 12);
  }
});

Deno.test("stage 1 trains on every example of every epoch, the last batch included", async () => {
  await using stage = await stage1(TabularEngine.fresh(), { examples: 5, epochs: 2, batchExamples: 4 });
  expect(stage.steps).toBe(3);
  const ids: string[] = [];
  for (let step = 1; step <= stage.steps; step++) ids.push(...(await run(stage, step)).ids);
  const counts = new Map<string, number>();
  for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1);
  expect([...counts.values()]).toEqual([2, 2, 2, 2, 2]);
});

Deno.test("the micro-batch changes neither the loss nor the norm of the gradient", async () => {
  const first = async (microBatchTokens: number): Promise<Stage1StepRecord> => {
    await using stage = await stage1(TabularEngine.fresh(), { microBatchTokens });
    return await run(stage, 1) as Stage1StepRecord;
  };
  const [whole, parts] = [await first(100_000), await first(1)];
  expect(parts.loss).toBeCloseTo(whole.loss, 6);
  expect(Math.abs(parts.gradNorm / whole.gradNorm - 1)).toBeLessThan(1e-5);
  expect(parts.lossTokens).toBe(whole.lossTokens);
});

Deno.test("a step of stage 2 is on policy, and reports what became of each rollout", async () => {
  await using stage = await stage2(TabularEngine.fresh());
  const record = await run(stage, 1) as Stage2StepRecord;
  expect(record).toMatchObject({ groups: 2, updates: 2, onPolicyRatioGap: 0, reward: -1, parseRate: 0 });
  const total = (counts: Readonly<Record<string, number>>): number =>
    Object.values(counts).reduce((sum, count) => sum + count, 0);
  expect(total(record.outcomes)).toBe(6);
  expect(total(record.finishes)).toBe(6);
  expect(Object.keys(record.outcomes).every((outcome) => outcome.startsWith("unparsable: "))).toBe(true);
  expect(record.entropy).toBeGreaterThan(4);
});

Deno.test("the rollouts of a group differ, and steps draw anew", async () => {
  await using stage = await stage2(TabularEngine.fresh(), { rollouts: 8, maxNewTokens: 6 });
  expect((await run(stage, 1) as Stage2StepRecord).distinct).toBe(1);
  const keys = new Set<string>();
  const engine = tampered(TabularEngine.fresh(), (event, { key }) => {
    keys.add(JSON.stringify(key));
    return event;
  });
  await using keyed = await stage2(engine, { rollouts: 8, maxNewTokens: 6 });
  await run(keyed, 1);
  await run(keyed, 2);
  expect(keys.size).toBe(2 * 2 * 8);
});

Deno.test("a sampler that disagrees with the trainer in one bit stops the run before the weights change", async () => {
  const engine = TabularEngine.fresh();
  const before = engine.bytes;
  const liar = tampered(engine, (event) => {
    const logprobs = event.logprobs.slice();
    const bits = new Int32Array(logprobs.buffer);
    if (event.request === 1) bits[2]! ^= 1;
    return { ...event, logprobs };
  });
  await using stage = await stage2(liar);
  await expect(run(stage, 1)).rejects.toThrow("Sampler and trainer disagree on token 2 of a rollout");
  expect(engine.bytes).toEqual(before);
});

Deno.test("a sampler in 8-bit integers is corrected for, and its gap is reported", async () => {
  const engine = TabularEngine.fresh(1, {});
  const sampled: number[] = [];
  const openedAt: (string | undefined)[] = [];
  const watched = new Proxy(engine, {
    get(target, name) {
      if (name === "reference") {
        return async (options: { precision?: "f32" | "bf16" | "int8" }) => {
          openedAt.push(options.precision);
          const copy = await target.reference(options) as TabularEngine;
          return tampered(copy, (event) => {
            sampled.push(...event.logprobs);
            return event;
          });
        };
      }
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  await using stage = await stage2(watched, { sampler: "int8", importanceCap: 1.01, kl: { coefficient: 0 } });
  const record = await run(stage, 1) as Stage2StepRecord;
  expect(openedAt).toEqual(["int8"]);
  expect(record).toMatchObject({ onPolicyRatioGap: 0, sampler: { kind: "int8" } });
  const { meanGap, maxGap, meanKl, meanWeight, truncatedFraction } = record.sampler!;
  expect(sampled.length).toBe(Math.round(6 * record.meanTokens));
  expect(meanGap).toBeGreaterThan(0.001);
  expect(maxGap).toBeGreaterThan(meanGap);
  expect(maxGap).toBeLessThan(0.1);
  expect(meanKl).toBeGreaterThan(0);
  expect(meanWeight).toBeLessThan(1.01);
  expect(truncatedFraction).toBeGreaterThan(0);
  await using plain = await stage2(TabularEngine.fresh());
  expect((await run(plain, 1) as Stage2StepRecord).sampler).toBe(null);
});

Deno.test("an engine that leaves a rollout out is an error, never a reward", async () => {
  const engine = tampered(TabularEngine.fresh(), (event) => event.request === 0 ? null : event);
  await using stage = await stage2(engine);
  await expect(run(stage, 1)).rejects.toThrow("gave no end of 1 of 3 rollouts");
});

Deno.test("verdicts earn +1 and −1, and a group of both has a gradient", async () => {
  await using stage = await stage2(answering(({ key }) => key!.rollout === 0), {
    kl: { coefficient: 0 },
    minibatches: 1,
  });
  const record = await run(stage, 1) as Stage2StepRecord;
  expect(record).toMatchObject({ outcomes: { correct: 2, wrong: 4 }, equalGroups: 0, parseRate: 1 });
  expect(record.reward).toBeCloseTo(-1 / 3, 12);
  expect(record.gradNorm).toBeGreaterThan(0);
});

Deno.test("groups of equal rewards give no gradient when kept, and no update when skipped", async () => {
  const right = answering(() => true);
  await using keep = await stage2(right, { kl: { coefficient: 0 }, equalGroups: "keep" });
  expect(await run(keep, 1)).toMatchObject({
    reward: 1,
    equalGroups: 2,
    skippedGroups: 0,
    updates: 2,
    gradNorm: 0,
  });
  await using skip = await stage2(right, { kl: { coefficient: 0 }, equalGroups: "skip" });
  const before = right.bytes;
  expect(await run(skip, 1)).toMatchObject({ equalGroups: 2, skippedGroups: 2, updates: 0, lossTokens: 0 });
  expect(right.bytes).toEqual(before);
});

Deno.test("a skipped group is out of the normaliser, a kept one is in it", async () => {
  const engine = (): TabularEngine => answering(({ key }) => key!.prompt === 1 || key!.rollout === 0);
  const normOf = async (equalGroups: string): Promise<Stage2StepRecord> => {
    await using stage = await stage2(engine(), { kl: { coefficient: 0 }, equalGroups, minibatches: 1 });
    return await run(stage, 1) as Stage2StepRecord;
  };
  const [keep, skip] = [await normOf("keep"), await normOf("skip")];
  expect(skip.gradNorm / keep.gradNorm).toBeCloseTo(keep.lossTokens / skip.lossTokens, 4);
});

Deno.test("micro-batches and the decode batch change nothing of a step of reinforcement", async () => {
  const first = async (changes: Record<string, unknown>): Promise<Stage2StepRecord> => {
    await using stage = await stage2(answering(({ key }) => key!.rollout === 0), {
      minibatches: 1,
      ...changes,
    });
    return await run(stage, 1) as Stage2StepRecord;
  };
  const [whole, parts] = [
    await first({ decodeBatch: 64 }),
    await first({ decodeBatch: 1, microBatchTokens: 1 }),
  ];
  expect(Math.abs(parts.gradNorm / whole.gradNorm - 1)).toBeLessThan(1e-5);
  expect(parts.loss).toBeCloseTo(whole.loss, 6);
  expect(parts.policy.meanKl).toBeCloseTo(whole.policy.meanKl, 6);
});

Deno.test("the KL term holds the policy to the weights before stage 2, not to the last step's", async () => {
  await using stage = await stage2(answering(({ key }) => key!.rollout === 0), { minibatches: 1, epochs: 1 });
  expect((await run(stage, 1) as Stage2StepRecord).policy.meanKl).toBe(0);
  expect((await run(stage, 2) as Stage2StepRecord).policy.meanKl).toBeGreaterThan(0);
});

Deno.test("prompts that are too long are left out and counted", async () => {
  const config = smallConfig({ stage1: null, stage2: { maxPromptTokens: 10 } });
  const context = { engine: TabularEngine.fresh(), config };
  await expect(chooseStage2(context, config.stage2!, tasks, [])).rejects.toThrow("12 prompt-too-long");
});

Deno.test("unseen records are those that stage 1 did not use", async () => {
  const config = smallConfig({ stage2: { records: "unseen", steps: 12 } });
  const context = { engine: TabularEngine.fresh(), config };
  const { records: used } = await chooseStage1(context, config.stage1!, tasks);
  const { records } = await chooseStage2(context, config.stage2!, tasks, used);
  expect(new Set([...used, ...records]).size).toBe(12);
  expect(records.length).toBe(6);
});
