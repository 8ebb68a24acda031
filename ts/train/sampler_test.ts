import { expect } from "expect";
import { publishedForm } from "../cor/mod.ts";
import fc from "fast-check";
import { join } from "node:path";
import { generateTasks, place } from "../data/mod.ts";
import { type Engine, forestOf, type TrainableEngine } from "../engine/mod.ts";
import type { Stage2Config } from "./config.ts";
import { encodePrompts, type PromptExample } from "./examples.ts";
import { type JournalRecord, readJournal } from "./journal.ts";
import type { Stage2StepRecord } from "./records.ts";
import type { Rollout } from "./rollouts.ts";
import { sampleStep } from "./sampler.ts";
import { prepareStage2 } from "./stage2.ts";
import { contextOf, finalWeights, opener, smallConfig, withFolder } from "./testing/small_run.ts";
import { TabularEngine } from "./testing/tabular_engine.ts";
import { train } from "./train.ts";

const tasks = generateTasks({ seed: 0, split: "train", count: 3 });

function stageOf(changes: Record<string, unknown> = {}): Stage2Config {
  return smallConfig({ stage2: { sampler: "int8", maxNewTokens: 12, temperature: 0.7, ...changes } }).stage2!;
}

async function examplesOf(engine: Engine): Promise<PromptExample[]> {
  return await encodePrompts(engine, publishedForm("compact"), tasks.map((task) => place(task, "A")));
}

/** A model that knows more than that all tokens are as likely, so that rounding it matters. */
function uneven(): TabularEngine {
  const engine = TabularEngine.fresh();
  for (let index = 0; index < 128 * 128; index += 3) engine.nudge(index, (index % 7) / 4);
  return engine;
}

/** Overrides methods of an engine. */
function overridden<E extends Engine>(engine: E, methods: Partial<TrainableEngine>): E {
  return new Proxy(engine, {
    get(target, name) {
      const own = Reflect.get(methods, name);
      if (own !== undefined) return own;
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

async function rolloutsOf(engine: TrainableEngine, stage: Stage2Config): Promise<Rollout[]> {
  const { groups } = await sampleStep(engine, await examplesOf(engine), { stage, seed: 3, step: 1 }, {});
  return groups.flatMap(({ rollouts }) => rollouts);
}

Deno.test("the policy as its own sampler is sampled and nothing else: no copy, no weights, no gap", async () => {
  const engine = overridden(uneven(), {
    reference: () => Promise.reject(new Error("No copy is needed")),
    logprobs: () => Promise.reject(new Error("No pass is needed")),
  });
  const stage = stageOf({ sampler: "policy" });
  const { groups, gap } = await sampleStep(
    engine,
    await examplesOf(engine),
    { stage, seed: 3, step: 1 },
    {},
  );
  expect(gap).toBe(null);
  for (const { rollouts } of groups) {
    for (const rollout of rollouts) expect(rollout.importance).toBe(undefined);
  }
});

Deno.test("a copy's rollouts get the policy's own log-probabilities, and the weights that these make", async () => {
  const engine = uneven();
  await using copy = await engine.reference({ precision: "int8" });
  const cap = 1.02;
  const rollouts = await rolloutsOf(engine, stageOf({ importanceCap: cap }));
  expect(rollouts.length).toBe(9);
  let [truncated, below] = [0, 0];
  for (const { prompt, response, oldLogprobs, importance } of rollouts) {
    const { forest } = forestOf([Uint32Array.of(...prompt, ...response)]);
    const under = async (model: Engine): Promise<Float32Array> =>
      (await model.logprobs(forest, { temperature: 0.7 })).subarray(prompt.length);
    expect(oldLogprobs).toEqual(await under(engine));
    const drawn = await under(copy);
    for (const [t, weight] of importance!.entries()) {
      expect(weight).toBe(Math.min(Math.exp(oldLogprobs[t]! - drawn[t]!), cap));
      if (weight === cap) truncated++;
      else below++;
    }
  }
  expect(truncated).toBeGreaterThan(0);
  expect(below).toBeGreaterThan(0);
});

/** An engine whose sampler rounds otherwise than its passes, as where products depend on the batch's shape. */
function inexact(engine: TabularEngine, gap: number): TabularEngine {
  return overridden(engine, {
    info: { ...engine.info, exact: false },
    reference: () => Promise.reject(new Error("No copy is needed")),
    async *generate(requests, options) {
      for await (const event of engine.generate(requests, options)) {
        yield event.type === "done" ? { ...event, logprobs: event.logprobs.map((x) => x - gap) } : event;
      }
    },
  });
}

Deno.test("where the engine is not exact the policy's log-probabilities are the trainer's, and the gap is told", async () => {
  const engine = inexact(uneven(), 0.01);
  const stage = stageOf({ sampler: "policy", kl: { coefficient: 0 } });
  const examples = await examplesOf(engine);
  const { groups, gap } = await sampleStep(engine, examples, { stage, seed: 3, step: 1 }, {});
  expect(gap?.maxGap).toBeCloseTo(0.01, 4);
  for (const { prompt, response, oldLogprobs, importance } of groups.flatMap(({ rollouts }) => rollouts)) {
    const { forest } = forestOf([Uint32Array.of(...prompt, ...response)]);
    const own = await engine.logprobs(forest, { temperature: stage.temperature });
    expect(oldLogprobs).toEqual(own.subarray(prompt.length));
    for (const weight of importance!) expect(weight).toBeCloseTo(Math.exp(0.01), 4);
  }
  const config = smallConfig({
    stage1: null,
    stage2: { maxNewTokens: 12, prompts: 3, kl: { coefficient: 0 } },
  });
  await using prepared = await prepareStage2(contextOf(engine, config), config.stage2!, {
    records: tasks,
    leftOut: [],
  });
  const { record } = await prepared.run(1, {}) as { record: Stage2StepRecord };
  expect(record.sampler?.kind).toBe("policy");
});

Deno.test("neither the micro-batch nor the decode batch changes a rollout or its weights", async () => {
  const engine = uneven();
  const whole = await rolloutsOf(engine, stageOf());
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4000 }),
      fc.integer({ min: 1, max: 12 }),
      async (microBatchTokens, decodeBatch) => {
        expect(await rolloutsOf(engine, stageOf({ microBatchTokens, decodeBatch }))).toEqual(whole);
      },
    ),
    { numRuns: 8 },
  );
});

Deno.test("the copy is gone before the policy's own passes, and also where sampling fails", async () => {
  const calls: string[] = [];
  const engine = uneven();
  const watched = (failing: boolean): TabularEngine =>
    overridden(engine, {
      reference: async (options) => {
        calls.push(`open ${options?.precision}`);
        const copy = await engine.reference(options);
        return overridden(copy, {
          ...(failing && {
            generate: () => {
              throw new Error("Out of memory");
            },
          }),
          [Symbol.asyncDispose]: () => {
            calls.push("close");
            return Promise.resolve();
          },
        });
      },
      logprobs: (forest, options) => {
        calls.push("logprobs");
        return engine.logprobs(forest, options);
      },
    });
  await rolloutsOf(watched(false), stageOf({ microBatchTokens: 1 }));
  expect(calls.slice(0, 3)).toEqual(["open int8", "close", "logprobs"]);
  expect(calls.filter((call) => call === "logprobs").length).toBeGreaterThan(1);
  calls.length = 0;
  await expect(rolloutsOf(watched(true), stageOf())).rejects.toThrow("Out of memory");
  expect(calls).toEqual(["open int8", "close"]);
});

Deno.test("a signal is heeded between the policy's passes, and the weights stay", async () => {
  const engine = uneven();
  const before = engine.bytes;
  const controller = new AbortController();
  let passes = 0;
  const phases: string[] = [];
  const stopping = overridden(engine, {
    logprobs: (forest, options) => {
      if (++passes === 2) controller.abort(new Error("Stopped by the user"));
      return engine.logprobs(forest, options);
    },
  });
  const config = smallConfig({
    stage1: null,
    stage2: { sampler: "int8", maxNewTokens: 12, microBatchTokens: 1, prompts: 3, kl: { coefficient: 0 } },
  });
  const context = contextOf(stopping, config);
  await using stage = await prepareStage2(context, config.stage2!, { records: tasks, leftOut: [] });
  const stopped = stage.run(1, {
    signal: controller.signal,
    onProgress: ({ phase, done, of }) => phases.push(`${phase} ${done}/${of}`),
  });
  await expect(stopped).rejects.toThrow("Stopped by the user");
  expect(passes).toBe(2);
  expect(phases.slice(-3)).toEqual(["sampling 9/9", "scoring 1/9", "scoring 2/9"]);
  expect(engine.bytes).toEqual(before);
});

Deno.test("the weights are in the gradient: where all are cut, it is in proportion to the cap", async () => {
  const normAt = async (importanceCap: number): Promise<number> => {
    // Verdicts that differ within a group, so that there is something to learn.
    const engine = uneven();
    const judging = overridden(engine, {
      reference: async (options) => {
        const copy = await engine.reference(options);
        return overridden(copy, {
          async *generate(requests, generateOptions) {
            for await (const event of copy.generate(requests, generateOptions)) {
              if (event.type !== "done") continue;
              const side = requests[event.request]!.key!.rollout === 0 ? "A" : "B";
              yield { ...event, text: `<answer>[[${side}]]</answer>` };
            }
          },
        });
      },
    });
    const config = smallConfig({
      stage1: null,
      stage2: { sampler: "int8", importanceCap, maxNewTokens: 12, minibatches: 1, kl: { coefficient: 0 } },
    });
    const context = contextOf(judging, config);
    await using stage = await prepareStage2(context, config.stage2!, { records: tasks, leftOut: [] });
    const { record: { gradNorm, sampler } } = await stage.run(1) as { record: Stage2StepRecord };
    expect(sampler).toMatchObject({ truncatedFraction: 1, meanWeight: importanceCap });
    return gradNorm;
  };
  const [once, thrice] = [await normAt(2 ** -4), await normAt(3 * 2 ** -4)];
  expect(once).toBeGreaterThan(0);
  expect(thrice / once).toBeCloseTo(3, 5);
});

/** What a step's records must agree on: all but how long it took. */
function stepsOf(records: readonly JournalRecord[]): Map<number, object> {
  const steps = new Map<number, object>();
  for (const record of records) {
    if (record.type !== "step") continue;
    const { time: _, seconds: _seconds, wallSeconds: _wall, tokensPerSecond: _speed, ...rest } = record;
    steps.set(record.step, rest);
  }
  return steps;
}

Deno.test("a run that dies with its copy open, or later in the step, goes on to the unbroken one's bytes", async () => {
  const config = smallConfig({
    stage1: null,
    stage2: { sampler: "int8", steps: 4, maxNewTokens: 40 },
    evaluation: { at: [] },
  });
  const open = opener();
  await withFolder(async (folder) => {
    const whole = join(folder, "whole");
    await train(config, { runDirectory: whole, openEngine: open });
    const expected = stepsOf(await readJournal(join(whole, "journal.jsonl")));
    expect([...expected.keys()]).toEqual([1, 2, 3, 4]);
    for (const dying of ["reference", "generate", "logprobs", "forward", "step"] as const) {
      const path = join(folder, dying);
      let steps = 0;
      const die = (name: string): void => {
        if (name === dying && steps === 3) throw new Error(`The power failed at ${name}`);
      };
      const openEngine = async (model: string): Promise<TrainableEngine> => {
        const engine = await open(model);
        return overridden(engine, {
          reference: async (options) => {
            if (options?.precision === "int8") steps++;
            die("reference");
            const copy = await engine.reference(options);
            return overridden(copy, {
              async *generate(requests, generateOptions) {
                for await (const event of copy.generate(requests, generateOptions)) {
                  yield event;
                  die("generate");
                }
              },
            });
          },
          logprobs: (forest, options) => {
            die("logprobs");
            return engine.logprobs(forest, options);
          },
          forward: (forest, options) => {
            die("forward");
            return engine.forward(forest, options);
          },
          step: (options) => {
            die("step");
            return engine.step(options);
          },
        });
      };
      await expect(train(config, { runDirectory: path, openEngine })).rejects.toThrow(
        `The power failed at ${dying}`,
      );
      await train(config, { runDirectory: path, resume: true, openEngine: open });
      expect(await finalWeights(path)).toBe(await finalWeights(whole));
      expect(stepsOf(await readJournal(join(path, "journal.jsonl")))).toEqual(expected);
    }
  });
});
