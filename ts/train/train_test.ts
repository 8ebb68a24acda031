import { expect } from "expect";
import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readCard } from "./checkpoint.ts";
import type { TrainConfig } from "./config.ts";
import { findDamage } from "./durable.ts";
import { type JournalRecord, readJournal } from "./journal.ts";
import type { ProgressEvent } from "./progress.ts";
import type { TrainResult } from "./records.ts";
import { InterruptedError } from "./run_error.ts";
import { finalWeights, opener, smallConfig, withFolder } from "./testing/small_run.ts";
import type { CallName } from "./testing/tabular_engine.ts";
import { train, type TrainOptions } from "./train.ts";

const CONFIG = smallConfig();

function run(
  runDirectory: string,
  options: Partial<TrainOptions> = {},
  config: TrainConfig = CONFIG,
): Promise<TrainResult> {
  return train(config, { runDirectory, openEngine: opener(), ...options });
}

/** The weights of an unbroken run, made once. */
let unbroken: Promise<string> | undefined;
function unbrokenWeights(): Promise<string> {
  return unbroken ??= withFolder(async (folder) => {
    await run(join(folder, "run"));
    return await finalWeights(join(folder, "run"));
  });
}

Deno.test("a run trains both stages, evaluates three times and leaves its evidence", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "run");
    const events: ProgressEvent[] = [];
    const result = await run(path, { onProgress: (event) => events.push(event) });
    expect(result).toMatchObject({
      steps: { stage1: 6, stage2: 6 },
      alreadyFinished: false,
      model: join(path, "final"),
    });
    expect(Object.keys(result.accuracy)).toEqual(["base", "distilled", "final"]);
    expect(result.evaluations.base?.examples).toBe(6);
    expect(result.seconds).toBeGreaterThan(0);
    expect((await readdir(path)).sort()).toEqual([
      "checkpoints",
      "config.json",
      "distilled",
      "evaluations",
      "final",
      "journal.jsonl",
      "ledger.jsonl",
      "provenance.json",
      "result.json",
    ]);
    expect((await readdir(join(path, "checkpoints"))).sort()).toEqual(["000008", "000010"]);
    expect(await findDamage(join(path, "final"))).toBeNull();
    expect(await readCard(join(path, "final"))).toMatchObject({
      protocol: "compact",
      stage: 2,
      step: 6,
      globalStep: 12,
    });
    expect(await readCard(join(path, "distilled"))).toMatchObject({ stage: 1, step: 6 });
    const provenance = JSON.parse(await readFile(join(path, "provenance.json"), "utf8"));
    expect(Object.keys(provenance)).toEqual(["code", "device", "model", "training data", "evaluation data"]);
    const judged = (await readFile(join(path, "evaluations", "base.jsonl"), "utf8")).trim().split("\n");
    expect(judged.length).toBe(6);
    const losses = stepsOf(await readJournal(join(path, "journal.jsonl")), 1).map(({ loss }) => loss);
    expect(losses.at(-1)).toBeLessThan(0.6 * losses[0]!);
    expect(events.filter(({ type }) => type === "step").length).toBe(12);
  });
});

function stepsOf(records: readonly JournalRecord[], stage: 1 | 2): (JournalRecord & { type: "step" })[] {
  return records.filter((record) => record.type === "step").filter((record) => record.stage === stage);
}

Deno.test("two runs of one configuration end with the same bytes, those of another seed do not", async () => {
  await withFolder(async (folder) => {
    await run(join(folder, "again"));
    expect(await finalWeights(join(folder, "again"))).toBe(await unbrokenWeights());
    await run(join(folder, "other"), {}, smallConfig({ seed: 8 }));
    expect(await finalWeights(join(folder, "other"))).not.toBe(await unbrokenWeights());
  });
});

Deno.test("a run that dies at any call of the engine and is resumed ends with the same bytes", async () => {
  const calls: CallName[] = [];
  await withFolder((folder) =>
    run(join(folder, "run"), { openEngine: opener({ onCall: (name) => calls.push(name) }) })
  );
  const fatal = [...calls.keys()].filter((index) =>
    ["save", "load"].includes(calls[index]!) || index % 23 === 0
  );
  expect(fatal.length).toBeGreaterThan(10);
  for (const index of fatal) {
    await withFolder(async (folder) => {
      const path = join(folder, "run");
      let call = 0;
      const onCall = (): void => {
        if (call++ === index) throw new Error("The power failed");
      };
      await expect(run(path, { openEngine: opener({ onCall }) })).rejects.toThrow("The power failed");
      const begun = await readdir(path).then((names) => names.includes("config.json"), () => false);
      await run(path, { resume: begun });
      expect(await finalWeights(path)).toBe(await unbrokenWeights());
    });
  }
});

Deno.test("an interrupted run says how to go on, and ends with the same bytes and no example lost", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "run");
    await run(join(folder, "whole"));
    for (const stopAt of ["stage 1 step 3", "stage 2 step 1", "stage 2 step 5"]) {
      const controller = new AbortController();
      const onProgress = (event: ProgressEvent): void => {
        if (event.type === "working" && `stage ${event.stage} step ${event.step}` === stopAt) {
          controller.abort();
        }
      };
      const resume = stopAt !== "stage 1 step 3";
      const error = await run(path, { signal: controller.signal, onProgress, resume }).catch((reason) =>
        reason
      );
      expect(error).toBeInstanceOf(InterruptedError);
      const done = Number(stopAt.at(-1)) - 1;
      expect(error.message).toContain(
        `Stopped in ${stopAt.slice(0, 7)} ${
          done === 0 ? "before its first step" : `after step ${done} of 6, which is saved`
        }; `,
      );
      expect(error.message).toContain(`go on with: deno task train --resume ${path}`);
    }
    await run(path, { resume: true });
    expect(await finalWeights(path)).toBe(await unbrokenWeights());
    const idsOf = async (name: string): Promise<string> => {
      const steps = new Map<string, readonly string[]>();
      for (const record of await readJournal(join(folder, name, "journal.jsonl"))) {
        if (record.type === "step") steps.set(`${record.stage}/${record.step}`, record.ids);
      }
      return JSON.stringify([...steps]);
    };
    expect(await idsOf("run")).toBe(await idsOf("whole"));
  });
});

Deno.test("what a signal stops in a step that has updated the weights is finished first", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "run");
    const controller = new AbortController();
    let trained = 0;
    const onProgress = (event: ProgressEvent): void => {
      if (event.type !== "working" || event.stage !== 2 || event.work.phase !== "training") return;
      if (++trained === 2) controller.abort();
    };
    await expect(run(path, { signal: controller.signal, onProgress })).rejects.toThrow(InterruptedError);
    await run(path, { resume: true });
    expect(await finalWeights(path)).toBe(await unbrokenWeights());
  });
});

Deno.test("a run that goes on on another device says so, and threads are no other device", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "run");
    const warnings: string[] = [];
    const on = (backend: string, stopAt: number): Promise<TrainResult> => {
      const controller = new AbortController();
      return run(path, {
        resume: stopAt > 2,
        signal: controller.signal,
        openEngine: opener({ backend }),
        onProgress: (event) => {
          if (event.type === "warning") warnings.push(event.message);
          if (event.type === "working" && event.step === stopAt) controller.abort();
        },
      });
    };
    await expect(on("cpu (2 threads, avx2)", 2)).rejects.toThrow(InterruptedError);
    await expect(on("cpu (1 thread, avx2)", 3)).rejects.toThrow(InterruptedError);
    expect(warnings).toEqual([]);
    await on("cuda:0", Infinity);
    expect(warnings).toEqual(['The run was begun on "cpu (avx2)", this is "cuda:0": bits may differ']);
  });
});

Deno.test("a finished run gives its result again and trains nothing", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "run");
    const first = await run(path);
    const openEngine = (): Promise<never> => Promise.reject(new Error("No engine is needed"));
    const again = await train(CONFIG, { runDirectory: path, resume: true, openEngine });
    expect(again).toEqual({ ...first, alreadyFinished: true });
    expect(again.steps).toEqual({ stage1: 6, stage2: 6 });
  });
});

Deno.test("a folder that holds a run, or anything, is refused and left alone", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "run");
    await run(path);
    const before = await readFile(join(path, "journal.jsonl"), "utf8");
    await expect(run(path)).rejects.toThrow(`Folder "${path}" already holds a run`);
    expect(await readFile(join(path, "journal.jsonl"), "utf8")).toBe(before);
    await mkdir(join(folder, "notes"));
    await writeFile(join(folder, "notes", "todo.txt"), "mine");
    await expect(run(join(folder, "notes"))).rejects.toThrow('it holds "todo.txt"');
    await expect(run(join(folder, "none"), { resume: true })).rejects.toThrow("holds no run to resume");
  });
});

Deno.test("another configuration is refused by the names of its keys, except those that change nothing", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "run");
    await run(path, {}, smallConfig({ stage2: null }));
    const other = smallConfig({ stage2: null, seed: 3, stage1: { epochs: 5 } });
    await expect(run(path, { resume: true }, other)).rejects.toThrow(
      /"seed" was 7, now 3; "stage1\.epochs" was 4, now 5/,
    );
    const free = smallConfig({ stage2: null, threads: 1, checkpoint: { every: 1, keep: 5 } });
    expect((await run(path, { resume: true }, free)).alreadyFinished).toBe(true);
  });
});

Deno.test("data or a model that changed since the run began are refused", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "run");
    const data = join(folder, "pairs.jsonl");
    const line = (index: number, answer: string): string =>
      JSON.stringify({ id: `${index}`, prompt: `${index}+1?`, chosen: answer, rejected: "no" });
    const lines = Array.from({ length: 30 }, (_, index) => line(index, "yes"));
    await writeFile(data, lines.join("\n"));
    const config = smallConfig({
      data: { kind: "jsonl", path: data, holdout: 0.3 },
      stage1: null,
      stage2: { steps: 1, maxNewTokens: 4 },
    });
    const fail = opener({
      onCall: (name) => {
        if (name === "step") throw new Error("The power failed");
      },
    });
    await expect(run(path, { openEngine: fail }, config)).rejects.toThrow("The power failed");
    await writeFile(data, lines.toSpliced(4, 1, line(4, "sure")).join("\n"));
    await expect(run(path, { resume: true }, config)).rejects.toThrow(
      /The (training|evaluation) data of run .* changed/,
    );
  });
});

Deno.test("a damaged newest checkpoint is named and the one before is taken", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "run");
    let steps = 0;
    const onCall = (name: CallName): void => {
      if (name === "step" && ++steps === 6) throw new Error("The power failed");
    };
    await expect(run(path, { openEngine: opener({ onCall }) })).rejects.toThrow("The power failed");
    const weights = join(path, "checkpoints", "000004", "model.safetensors");
    const bytes = await readFile(weights);
    bytes[bytes.length - 1]! ^= 1;
    await writeFile(weights, bytes);
    const warnings: string[] = [];
    await run(path, {
      resume: true,
      onProgress: (event) => event.type === "warning" && warnings.push(event.message),
    });
    expect(warnings.join()).toMatch(
      /000004" is damaged and is passed over: its file "model\.safetensors" has the SHA-256/,
    );
    expect(await finalWeights(path)).toBe(await unbrokenWeights());
  });
});

Deno.test("a damaged model after stage 1 is named and made again, to the same end", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "run");
    const onCall = (name: CallName): void => {
      if (name === "reference") throw new Error("The power failed");
    };
    await expect(run(path, { openEngine: opener({ onCall }) })).rejects.toThrow("The power failed");
    await writeFile(join(path, "distilled", "model.safetensors"), "torn");
    const warnings: string[] = [];
    await run(path, {
      resume: true,
      onProgress: (event) => event.type === "warning" && warnings.push(event.message),
    });
    expect(warnings.join()).toContain('distilled" is damaged and is made again');
    expect(await finalWeights(path)).toBe(await unbrokenWeights());
  });
});

Deno.test("a save that fails leaves the checkpoint before it, and the run goes on from there", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "run");
    let saves = 0;
    const onCall = (name: CallName): void => {
      if (name === "save" && ++saves === 2) throw new Error("No space left on device");
    };
    await expect(run(path, { openEngine: opener({ onCall }) })).rejects.toThrow(
      /Could not save ".*000004", what was saved before is untouched: No space left on device/,
    );
    expect(await readdir(join(path, "checkpoints"))).toEqual(["000002"]);
    expect(await findDamage(join(path, "checkpoints", "000002"))).toBeNull();
    await run(path, { resume: true });
    expect(await finalWeights(path)).toBe(await unbrokenWeights());
  });
});

Deno.test("bad data or a bad model leave no run behind", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "run");
    const missing = smallConfig({
      data: { kind: "jsonl", path: join(folder, "none.jsonl") },
    });
    await expect(run(path, {}, missing)).rejects.toThrow("none.jsonl");
    await expect(run(path, { openEngine: () => Promise.reject(new Error("Truncated file")) })).rejects
      .toThrow("Truncated");
    const tooLong = smallConfig({ stage1: { maxTokens: 10 } });
    await expect(run(path, {}, tooLong)).rejects.toThrow(
      "Stage 1 has no examples: of 24 records all are left out: 24 too-long",
    );
    const allUsed = smallConfig({ stage1: { examples: null }, stage2: { records: "unseen" } });
    await expect(run(path, {}, allUsed)).rejects.toThrow(
      'lower "stage1.examples" or set "stage2.records" to "all"',
    );
    expect(await readdir(folder)).toEqual([]);
  });
});

Deno.test("a run that the device has no memory for is refused before anything is done", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "run");
    const memory = { free: 1000, state: 100, reference: 100, pass: 100, token: 1, recomputedToken: 1 };
    await expect(run(path, { openEngine: opener({ memory, backend: "cuda:0 (test)" }) })).rejects.toThrow(
      "are free on cuda:0 (test)",
    );
    await expect(readdir(path)).rejects.toThrow("ENOENT");
  });
});

Deno.test("a run of stage 1 alone ends with its model, evaluated once", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "run");
    const result = await run(path, {}, smallConfig({ stage2: null }));
    expect(result.steps).toEqual({ stage1: 6, stage2: null });
    expect(result.evaluations.final).toEqual(result.evaluations.distilled);
    expect(await readFile(join(path, "final", "model.safetensors"))).toEqual(
      await readFile(join(path, "distilled", "model.safetensors")),
    );
  });
});

Deno.test("a run of stage 2 alone starts from the base model", async () => {
  await withFolder(async (folder) => {
    const result = await run(
      join(folder, "run"),
      {},
      smallConfig({ stage1: null, evaluation: { at: ["final"] } }),
    );
    expect(result.steps).toEqual({ stage1: null, stage2: 6 });
    expect(result.accuracy).toMatchObject({ base: null, distilled: null });
    expect(result.evaluations.final?.examples).toBe(6);
  });
});

Deno.test("a copied run goes on as well as the one it was copied from", async () => {
  await withFolder(async (folder) => {
    let steps = 0;
    const onCall = (name: CallName): void => {
      if (name === "step" && ++steps === 10) throw new Error("The power failed");
    };
    await expect(run(join(folder, "run"), { openEngine: opener({ onCall }) })).rejects.toThrow(
      "The power failed",
    );
    await cp(join(folder, "run"), join(folder, "copy"), { recursive: true });
    await run(join(folder, "copy"), { resume: true });
    expect(await finalWeights(join(folder, "copy"))).toBe(await unbrokenWeights());
  });
});

Deno.test("reinforcement raises the reward of the pairs it trains on", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "run");
    const config = smallConfig({
      data: { train: 2 },
      stage1: { examples: 2, epochs: 12, batchExamples: 2 },
      stage2: {
        steps: 30,
        prompts: 2,
        rollouts: 16,
        temperature: 0.7,
        minibatches: 1,
        kl: { coefficient: 0 },
        optimizer: { learningRate: 0.1 },
      },
      evaluation: { at: [] },
    });
    await run(path, {}, config);
    const rewards = stepsOf(await readJournal(join(path, "journal.jsonl")), 2).map((record) =>
      record.stage === 2 ? record.reward : NaN
    );
    const mean = (values: readonly number[]): number =>
      values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(mean(rewards.slice(-6))).toBeGreaterThan(mean(rewards.slice(0, 6)) + 0.2);
  });
});
