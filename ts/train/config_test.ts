import { expect } from "expect";
import fc from "fast-check";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseConfig, readConfig } from "./config.ts";
import { ConfigError } from "./config_error.ts";
import { configJsonSchema } from "./config_schema.ts";

function problemsOf(value: unknown): readonly string[] {
  try {
    parseConfig(value, "run.json");
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

Deno.test("the configurations of the repository are valid", async () => {
  const folder = new URL("../../configs/", import.meta.url);
  const names = (await readdir(folder)).filter((name) => name.endsWith(".json"));
  expect(names).toContain("default.json");
  expect(names).toContain("smollm2-gsm8k.json");
  for (const name of names) await readConfig(fileURLToPath(new URL(name, folder)));
});

Deno.test("an empty configuration has the recipe's defaults", () => {
  const config = parseConfig({});
  expect(config.stage1).toMatchObject({ batchExamples: 128, epochs: 1, maxTokens: 12_288 });
  expect(config.stage1?.optimizer.learningRate).toBe(5e-6);
  expect(config.stage2).toMatchObject({
    rollouts: 7,
    temperature: 1,
    clipLow: 0.2,
    clipHigh: 0.2,
    kl: { coefficient: 0.001, estimator: "k3", place: "loss" },
  });
  expect(config.stage2?.optimizer.learningRate).toBe(1e-6);
});

Deno.test("8-bit integers are never the default, never trained, and sample only where they are asked for", () => {
  expect(parseConfig({})).toMatchObject({
    precision: "f32",
    stage2: { sampler: "policy", importanceCap: 2 },
  });
  expect(parseConfig({ stage2: { sampler: "int8" } }).stage2).toMatchObject({ sampler: "int8" });
  expect(problemsOf({ precision: "int8" })[0]).toMatch(/^"precision": .*found "int8"$/);
  expect(problemsOf({ stage2: { sampler: "bf16" } })[0]).toMatch(/^"stage2\.sampler": .*found "bf16"$/);
  expect(problemsOf({ stage2: { importanceCap: 0 } })[0]).toMatch(/^"stage2\.importanceCap": .*found "0"$/);
});

Deno.test("a filled-in configuration reads as itself", () => {
  const config = parseConfig({ stage1: null, stage2: { kl: { place: "reward" } }, data: { kind: "gsm8k" } });
  expect(parseConfig(JSON.parse(JSON.stringify(config)))).toEqual(config);
});

Deno.test("a misspelt key is refused by its path, with a suggestion", () => {
  expect(problemsOf({ stage2: { rolouts: 4 } })).toEqual([
    'unknown key "stage2.rolouts", did you mean "stage2.rollouts"?',
  ]);
  expect(problemsOf({ stage1: { optimizer: { learningrate: 1 } } })).toEqual([
    'unknown key "stage1.optimizer.learningrate", did you mean "stage1.optimizer.learningRate"?',
  ]);
  expect(problemsOf({ data: { kind: "jsonl", path: "x", hodlout: 0.1 } })).toEqual([
    'unknown key "data.hodlout", did you mean "data.holdout"?',
  ]);
});

Deno.test("a key in the wrong place is told where it belongs", () => {
  expect(problemsOf({ clipHigh: 0.28 })).toEqual(['unknown key "clipHigh", did you mean "stage2.clipHigh"?']);
});

Deno.test("a key like none is answered with those that there are", () => {
  const [problem] = problemsOf({ checkpoint: { xyzzy: 1 } });
  expect(problem).toBe('unknown key "checkpoint.xyzzy", expected one of "every", "keep"');
});

Deno.test("any one missing letter of any key is found again", () => {
  const properties = configJsonSchema().properties as Record<string, { properties?: object }>;
  const keys = Object.keys(properties).filter((key) => key.length > 4 && !/^stage|^\$/.test(key));
  fc.assert(fc.property(fc.constantFrom(...keys), fc.nat(), (key, position) => {
    const index = position % key.length;
    const misspelt = key.slice(0, index) + key.slice(index + 1);
    expect(problemsOf({ [misspelt]: 1 })[0]).toContain(`did you mean "${key}"?`);
  }));
});

Deno.test("every problem is told at once, each with file, key and value", () => {
  expect(() => parseConfig({ seed: -1, stage2: { rollouts: 1 } }, "run.json")).toThrow(
    /run\.json: "seed": .*found "-1"\nrun\.json: "stage2\.rollouts": must be at least 2.*found "1"/,
  );
});

Deno.test("what belongs together is checked together", () => {
  expect(problemsOf({ stage2: { topP: 0.9 } })[0]).toMatch(/^"stage2\.topP": must be 1: .*found "0\.9"$/);
  expect(problemsOf({ stage2: { topK: 50 } })[0]).toMatch(/^"stage2\.topK": must be 0: .*found "50"$/);
  expect(problemsOf({ stage1: null, stage2: null })).toEqual(["must have at least one of stage1 and stage2"]);
  expect(problemsOf({ protocol: "reasoning" })[0]).toContain('"stage1": must be null');
  expect(problemsOf({ protocol: "reasoning", stage1: null })).toEqual([]);
  expect(problemsOf({ stage2: { prompts: 2, minibatches: 3 } })[0]).toContain(
    '"stage2.minibatches": must be at most',
  );
  expect(problemsOf({ data: { kind: "gsm8k", validation: 0.5, test: 0.5 } })[0]).toContain(
    "problems to train on",
  );
});

Deno.test("what an algorithm cannot do is refused with the reason", () => {
  const problemOf = (stage2: object): string | undefined => problemsOf({ stage2 })[0];
  expect(problemOf({ rollouts: 1 })).toContain('"stage2.rollouts": must be at least 2: a group of one');
  expect(problemOf({ algorithm: "ppo" })).toContain('"stage2.critic": must be set with the algorithm "ppo"');
  expect(problemOf({ critic: {} })).toContain('"stage2.critic": must be null with the algorithm "grpo"');
  expect(problemOf({ algorithm: "ppo", critic: {}, rollouts: 1 })).toBeUndefined();
  expect(problemOf({ algorithm: "ppo", critic: {}, equalGroups: "skip" })).toContain(
    '"stage2.equalGroups": must be',
  );
  expect(problemOf({ algorithm: "ppo", critic: { trunk: "shared", warmupSteps: 2 } })).toContain(
    '"stage2.critic.warmupSteps": must be 0 with a shared trunk',
  );
  expect(problemOf({ kl: { estimator: "k1" } })).toContain(
    '"stage2.kl.estimator": must be k2 or k3 in the loss: the gradient of k1 there is 0 in expectation',
  );
  expect(problemOf({ kl: { estimator: "k3", place: "reward" } })).toContain(
    '"stage2.kl.estimator": must be k1',
  );
  expect(problemOf({ dualClip: 1 })).toContain('"stage2.dualClip"');
  expect(problemOf({ maxNewTokens: 100, overlong: { kind: "penalty", buffer: 200 } })).toContain(
    '"stage2.overlong.buffer": must be at most maxNewTokens',
  );
  expect(problemsOf({ lora: { targets: ["q_proj", "qkv"] } })[0]).toMatch(
    /^"lora\.targets\.1": .*"q_proj".*"qkv"$/,
  );
  expect(problemsOf({ lora: { dropout: 1 } })[0]).toContain('"lora.dropout"');
});

Deno.test("an unknown kind of data is refused", () => {
  expect(problemsOf({ data: { kind: "parquet" } })[0]).toContain('"data.kind"');
});

Deno.test("a file that is cut in half, or missing, is named", async () => {
  const directory = await mkdtemp(join(tmpdir(), "rmr1-config-"));
  try {
    const path = join(directory, "cut.json");
    await writeFile(path, '{\n  "seed": 1,\n  "sta');
    await expect(readConfig(path)).rejects.toThrow(`${path}: `);
    await expect(readConfig(path)).rejects.toThrow("not JSON");
    await expect(readConfig(join(directory, "none.json"))).rejects.toThrow("none.json: cannot be read");
  } finally {
    await rm(directory, { recursive: true });
  }
});

Deno.test("the JSON Schema describes the keys and refuses others", () => {
  const schema = configJsonSchema();
  expect(schema).toMatchObject({ type: "object", additionalProperties: false });
  expect(schema.required).toBeUndefined();
  expect(schema.properties).toMatchObject({ model: { default: "embedded" } });
});
