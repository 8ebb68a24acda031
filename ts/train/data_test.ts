import { expect } from "expect";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseConfig } from "./config.ts";
import { hashRecords, loadData, type LoadOptions, type RunData } from "./data.ts";
import { withFolder } from "./testing/small_run.ts";

function load(data: Record<string, unknown>, options: Partial<LoadOptions> = {}): Promise<RunData> {
  return loadData(parseConfig({ data }).data, { seed: 1, evaluationExamples: 10, ...options });
}

function lines(count: number, change: (index: number) => Record<string, unknown> = () => ({})): string {
  return Array.from(
    { length: count },
    (_, index) =>
      JSON.stringify({
        id: `${index}`,
        prompt: `${index}?`,
        chosen: "yes",
        rejected: "no",
        ...change(index),
      }),
  ).join("\n");
}

Deno.test("tasks come as many as asked for, and no prompt is on both sides", async () => {
  const { train, evaluation } = await load({ kind: "tasks", train: 50 });
  expect([train.length, evaluation.length]).toEqual([50, 10]);
  const prompts = new Set(train.map(({ conversation }) => JSON.stringify(conversation)));
  expect(evaluation.some(({ conversation }) => prompts.has(JSON.stringify(conversation)))).toBe(false);
});

Deno.test("the order is the seed's, and the set is the same for all seeds", async () => {
  const [one, again, other] = [
    await load({ kind: "tasks", train: 50 }),
    await load({ kind: "tasks", train: 50 }),
    await load({ kind: "tasks", train: 50 }, { seed: 2 }),
  ];
  expect(hashRecords(again.train)).toBe(hashRecords(one.train));
  expect(hashRecords(other.train)).not.toBe(hashRecords(one.train));
  const ids = (data: RunData): string[] => data.train.map(({ id }) => id).sort();
  expect(ids(other)).toEqual(ids(one));
});

Deno.test("a share of the groups is held out, whole", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "pairs.jsonl");
    await writeFile(path, lines(90, (index) => ({ group: `g${index % 30}` })));
    const { train, evaluation } = await load({ kind: "jsonl", path, holdout: 0.3 }, {
      evaluationExamples: 1000,
    });
    expect(train.length + evaluation.length).toBe(90);
    expect(evaluation.length % 3).toBe(0);
    const held = new Set(evaluation.map(({ group }) => group));
    expect(train.some(({ group }) => held.has(group))).toBe(false);
    const distinct = evaluation.slice(0, held.size).map(({ group }) => group);
    expect(new Set(distinct).size).toBe(held.size);
  });
});

Deno.test("a training record whose prompt is held out is left out and counted", async () => {
  await withFolder(async (folder) => {
    const [path, evaluationPath] = [join(folder, "train.jsonl"), join(folder, "held.jsonl")];
    await writeFile(path, lines(8));
    await writeFile(evaluationPath, lines(3, (index) => ({ id: `held${index}` })));
    const { train, leftOut } = await load({ kind: "jsonl", path, evaluationPath });
    expect(train.length).toBe(5);
    expect(leftOut).toMatchObject({ "prompt-held-out": 3 });
  });
});

Deno.test("pairs of identical answers are counted", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "pairs.jsonl");
    await writeFile(path, lines(40, (index) => index < 4 ? { rejected: "yes" } : {}));
    expect((await load({ kind: "jsonl", path })).leftOut).toMatchObject({ "identical-answers": 4 });
  });
});

Deno.test("missing, cut and empty files are refused by name", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "pairs.jsonl");
    await expect(load({ kind: "jsonl", path })).rejects.toThrow(`${path}: File not found`);
    await writeFile(path, lines(4).slice(0, -10));
    await expect(load({ kind: "jsonl", path })).rejects.toThrow(`${path}:4`);
    await writeFile(path, "");
    await expect(load({ kind: "jsonl", path })).rejects.toThrow(path);
    await writeFile(path, lines(1));
    await expect(load({ kind: "jsonl", path, holdout: 0.999999 })).rejects.toThrow(
      "Expected records to train on",
    );
  });
});

Deno.test("the data folder of the environment stands in for its variable", async () => {
  await withFolder(async (folder) => {
    const before = Deno.env.get("RMR1_DATA");
    Deno.env.set("RMR1_DATA", folder);
    try {
      await expect(load({ kind: "gsm8k" })).rejects.toThrow(
        `${folder}/gsm8k/example_model_solutions.jsonl: File not found, named "$RMR1_DATA/gsm8k/`,
      );
      await writeFile(join(folder, "pairs.jsonl"), lines(30));
      expect((await load({ kind: "jsonl", path: "$RMR1_DATA/pairs.jsonl" })).train.length).toBeGreaterThan(
        10,
      );
    } finally {
      if (before === undefined) Deno.env.delete("RMR1_DATA");
      else Deno.env.set("RMR1_DATA", before);
    }
  });
});
