/** Training adapters on the embedded model: what changes, what stays, and what the files hold. */
import { expect } from "expect";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LORA_TARGETS, type LoraOptions } from "../engine.ts";
import { EngineError } from "../error.ts";
import { flatForest } from "../forest.ts";
import { openDoor } from "#doors";
import { CoreEngine } from "./core_engine.ts";

const BASE = fileURLToPath(new URL("../../../models/embedded-base", import.meta.url));
const FIXTURES = fileURLToPath(new URL("../../../tests/fixtures", import.meta.url));

const LORA: LoraOptions = { rank: 6, alpha: 12, dropout: 0.1, targets: LORA_TARGETS, seed: 3 };
const ADAM_W = { learningRate: 0.01, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1 };
const TEXTS = ["Anna has 57 pens. Later 25 of the pens are sold.", "Tom buys 12 apples and eats 5 of them."];

let missing = "";
try {
  await openDoor();
} catch (error) {
  if (!(error instanceof EngineError && error.kind === "library")) throw error;
  missing = error.message;
}

function test(name: string, fn: (folder: string) => Promise<void>): void {
  Deno.test({
    name: missing === "" ? name : `SKIPPED: ${name}: ${missing}`,
    ignore: missing !== "",
    sanitizeOps: true,
    sanitizeResources: true,
    async fn() {
      const folder = await mkdtemp(join(tmpdir(), "rmr1-lora-"));
      try {
        await fn(folder);
      } finally {
        await rm(folder, { recursive: true });
      }
    },
  });
}

function open(precision: "f32" | "bf16" = "f32"): Promise<CoreEngine> {
  return CoreEngine.open(BASE, { device: "cpu", precision });
}

async function texts(engine: CoreEngine): Promise<ReturnType<typeof flatForest>["forest"]> {
  return flatForest(await engine.encode(TEXTS)).forest;
}

/** One step on the texts; gives their negative log-likelihood a token before it. */
async function train(engine: CoreEngine, step: number): Promise<number> {
  const forest = await texts(engine);
  using tape = await engine.forward(forest, { dropout: { seed: 1, step, batch: 0 } });
  const known = tape.logprobs.filter((value) => !Number.isNaN(value));
  await tape.backward({
    dLogprobs: tape.logprobs.map((value) => Number.isNaN(value) ? 0 : -1 / known.length),
  });
  await engine.step(ADAM_W);
  return -known.reduce((sum, value) => sum + value, 0) / known.length;
}

function largestGap(a: Float32Array, b: Float32Array): number {
  return Math.max(...a.map((value, index) => Number.isNaN(value) ? 0 : Math.abs(value - b[index]!)));
}

for (const precision of ["f32", "bf16"] as const) {
  test(`at ${precision} adapters learn, and what lies below them stays as it is`, async (folder) => {
    await using engine = await open(precision);
    const forest = await texts(engine);
    const before = await engine.logprobs(forest);
    expect(engine.info.lora ?? null).toBe(null);
    await engine.addLora(LORA);
    const { seed: _, ...shape } = LORA;
    expect(engine.info.lora).toEqual(shape);
    expect(await engine.logprobs(forest)).toEqual(before);
    await using reference = await engine.reference();
    const losses: number[] = [];
    for (let step = 0; step < 8; step++) losses.push(await train(engine, step));
    expect(losses.at(-1)!).toBeLessThan(losses[0]! * 0.8);
    expect(await reference.logprobs(forest)).toEqual(before);
    expect(reference.info.frozen).toBe(true);
    expect(reference.info.lora).toBe(null);

    const after = await engine.logprobs(forest);
    await engine.save(join(folder, "merged"), { adapters: "merged" });
    await using merged = await CoreEngine.open(join(folder, "merged"), { device: "cpu" });
    if (precision === "f32") expect(largestGap(after, await merged.logprobs(forest))).toBeLessThan(1e-5);
    await using copy = await engine.reference({ precision: "bf16" });
    expect(largestGap(after, await copy.logprobs(forest))).toBeLessThan(largestGap(after, before) / 4);
  });
}

test("the sampler is the trainer with adapters on", async () => {
  await using engine = await open();
  await engine.addLora(LORA);
  for (let step = 0; step < 3; step++) await train(engine, step);
  const [prompt] = await engine.encode([TEXTS[0]!]);
  for (const size of [1, 3, 16]) {
    const requests = Array.from({ length: size }, (_, rollout) => ({
      prompt: prompt!,
      maxTokens: 5 + rollout,
      ignoreEos: true,
      key: { seed: 1, step: 2, prompt: 3, rollout },
    }));
    for await (const event of engine.generate(requests)) {
      if (event.type !== "done") continue;
      const { forest } = flatForest([Uint32Array.from([...prompt!, ...event.tokens])]);
      const again = await engine.logprobs(forest);
      expect(again.slice(prompt!.length)).toEqual(event.logprobs);
    }
  }
});

test("a run that goes on from its files has the bits of one that never stopped", async (folder) => {
  const written = async (engine: CoreEngine, name: string): Promise<Uint8Array[]> => {
    const place = join(folder, name);
    await mkdir(place, { recursive: true });
    await engine.save(place, { optimizer: true });
    const files = ["adapter_model.safetensors", "optimizer.safetensors", "adapter_config.json"];
    return await Promise.all(files.map((file) => readFile(join(place, file))));
  };
  await using whole = await open();
  await whole.addScoreHead();
  await whole.addLora(LORA);
  for (let step = 0; step < 3; step++) await train(whole, step);
  const half = await written(whole, "half");
  await train(whole, 3);
  const end = await written(whole, "end");

  await using resumed = await open();
  await resumed.load(join(folder, "half"));
  expect(resumed.info.lora).toEqual(whole.info.lora);
  expect(resumed.info.hasScoreHead).toBe(true);
  expect(await written(resumed, "again")).toEqual(half);
  await train(resumed, 3);
  expect(await written(resumed, "resumed")).toEqual(end);

  const config = JSON.parse(String(end[2]));
  expect(config).toMatchObject({ base_model_name_or_path: BASE, r: 6, lora_alpha: 12, task_type: "SEQ_CLS" });
});

test("adapters that PEFT wrote go onto the model that they were made for", async () => {
  await using engine = await CoreEngine.open(join(FIXTURES, "tiny-models", "llama_biases_llama3_f32"));
  await engine.load(join(FIXTURES, "adapters", "causal"));
  expect(engine.info.lora).toEqual({
    rank: 3,
    alpha: 7,
    dropout: 0.1,
    targets: ["q_proj", "k_proj", "gate_proj", "down_proj"],
  });
});

test("what cannot be adapted is refused by name", async (folder) => {
  await using engine = await open();
  const refused = (change: Partial<Record<keyof LoraOptions, unknown>>): Promise<void> =>
    engine.addLora({ ...LORA, ...change } as LoraOptions);
  await expect(refused({ rank: 0 })).rejects.toThrow('rank is "0", expected at least 1');
  await expect(refused({ alpha: 0 })).rejects.toThrow('alpha is "0"');
  await expect(refused({ dropout: 1 })).rejects.toThrow('dropout is "1", expected at least 0 and below 1');
  await expect(refused({ targets: ["lm_head"] })).rejects.toThrow('Target "lm_head" is no linear layer');
  await expect(refused({ targets: ["q_proj", "q_proj"] })).rejects.toThrow('"q_proj" is named twice');
  await expect(engine.save(folder, { adapters: "separate" })).rejects.toThrow("no adapters");
  await engine.addLora(LORA);
  await expect(engine.addLora(LORA)).rejects.toThrow('adapters of rank "6" already');
  await engine.save(folder);
  await expect(CoreEngine.open(folder)).rejects.toThrow("load them onto it");
  await expect(engine.load(BASE)).rejects.toThrow("Holds no adapters");
});
