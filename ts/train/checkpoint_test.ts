import { expect } from "expect";
import { readdir, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FULL_CHAIN } from "../cor/mod.ts";
import { Checkpoints, loadState, type ModelCard, readCard, type Trained } from "./checkpoint.ts";
import { TabularEngine } from "./testing/tabular_engine.ts";
import { withFolder } from "./testing/small_run.ts";

function card(globalStep: number, stage: 1 | 2 = 1): ModelCard {
  const rest = {
    protocol: "compact",
    judge: "reasrm",
    chain: FULL_CHAIN,
    base: "base",
    seed: 0,
    config: "c",
    code: "v",
  } as const;
  return { format: 1, stage, step: globalStep, globalStep, ...rest };
}

function alone(engine: TabularEngine): Trained {
  return { engine, companions: new Map() };
}

const silent = (): Promise<void> => Promise.resolve();

Deno.test("ten steps after a load are those of the model that was saved, bit for bit", async () => {
  await withFolder(async (folder) => {
    const engine = TabularEngine.fresh();
    const steps = async (of: TabularEngine, count: number): Promise<void> => {
      const forest = {
        tokens: Uint32Array.of(65, 66, 67),
        lengths: Uint32Array.of(3),
        parents: Int32Array.of(-1),
      };
      for (let i = 0; i < count; i++) {
        using tape = await of.forward(forest);
        await tape.backward({ dLogprobs: Float32Array.of(0, -1, -1) });
        await of.step({
          learningRate: 0.1,
          beta1: 0.9,
          beta2: 0.99,
          epsilon: 1e-8,
          weightDecay: 0.01,
          maxGradNorm: 1,
        });
      }
    };
    await steps(engine, 5);
    const path = await new Checkpoints(folder, { keep: 1 }).save(alone(engine), card(5));
    await steps(engine, 10);
    const loaded = TabularEngine.fresh(2);
    await loaded.load(path);
    await steps(loaded, 10);
    expect(loaded.bytes).toEqual(engine.bytes);
  });
});

Deno.test("the newest stay, and those of later steps are never removed by an earlier one", async () => {
  await withFolder(async (folder) => {
    const checkpoints = new Checkpoints(folder, { keep: 2 });
    const engine = TabularEngine.fresh();
    for (const step of [2, 4, 6, 8]) await checkpoints.save(alone(engine), card(step));
    expect((await readdir(folder)).sort()).toEqual(["000006", "000008"]);
    await checkpoints.save(alone(engine), card(3));
    expect((await readdir(folder)).sort()).toEqual(["000003", "000006", "000008"]);
  });
});

Deno.test("a checkpoint that is not whole is named with its damage, and the one before is taken", async () => {
  await withFolder(async (folder) => {
    const checkpoints = new Checkpoints(folder, { keep: 4 });
    const engine = TabularEngine.fresh();
    for (const step of [1, 2, 3, 4]) await checkpoints.save(alone(engine), card(step));
    await truncate(join(folder, "000004", "optimizer.safetensors"), 100);
    await rm(join(folder, "000003", "model.safetensors"));
    await writeFile(join(folder, "000002", "rmr1.json"), "{");
    const told: string[] = [];
    const found = await checkpoints.latest(1, (message) => {
      told.push(message);
      return Promise.resolve();
    });
    expect(found?.card.step).toBe(1);
    expect(told.length).toBe(3);
    expect(told[0]).toMatch(
      /000004" is damaged and is passed over: its file "optimizer\.safetensors" has 100 bytes/,
    );
    expect(told[1]).toMatch(/000003" is damaged .* "model\.safetensors" is missing/);
    expect(told[2]).toMatch(/000002" is damaged .* "rmr1\.json" has 1 bytes/);
  });
});

Deno.test("a stage takes its own checkpoints alone", async () => {
  await withFolder(async (folder) => {
    const checkpoints = new Checkpoints(folder, { keep: 4 });
    const engine = TabularEngine.fresh();
    await checkpoints.save(alone(engine), card(3, 1));
    await checkpoints.save(alone(engine), card(5, 2));
    expect((await checkpoints.latest(1, silent))?.card.globalStep).toBe(3);
    expect((await checkpoints.latest(2, silent))?.card.globalStep).toBe(5);
    expect(await new Checkpoints(join(folder, "none"), { keep: 1 }).latest(1, silent)).toBeNull();
  });
});

Deno.test("a card of another format is refused", async () => {
  await withFolder(async (folder) => {
    await writeFile(join(folder, "rmr1.json"), '{"format": 2}');
    await expect(readCard(folder)).rejects.toThrow('has format "2", expected 1');
    await expect(readCard(join(folder, "none"))).rejects.toThrow("cannot be read");
  });
});

Deno.test("a checkpoint holds what is trained beside the model, and its damage is found", async () => {
  await withFolder(async (folder) => {
    const checkpoints = new Checkpoints(folder, { keep: 2 });
    const [policy, critic] = [TabularEngine.fresh(1), TabularEngine.fresh(2)];
    const path = await checkpoints.save(
      { engine: policy, companions: new Map([["critic", critic]]) },
      card(4),
    );
    const loaded = [TabularEngine.fresh(3), TabularEngine.fresh(4)] as const;
    await loadState(path, { engine: loaded[0], companions: new Map([["critic", loaded[1]]]) });
    expect(loaded.map(({ bytes }) => bytes)).toEqual([policy.bytes, critic.bytes]);
    await truncate(join(path, "critic", "model.safetensors"), 100);
    const damage: string[] = [];
    expect(await checkpoints.latest(1, (message) => Promise.resolve(void damage.push(message)))).toBeNull();
    expect(damage[0]).toContain('its file "critic/model.safetensors" has 100 bytes');
  });
});
