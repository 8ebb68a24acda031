import { expect } from "expect";
import fc from "fast-check";
import type { TrainingMemory } from "../engine/mod.ts";
import type { TrainConfig } from "./config.ts";
import { assertFits } from "./memory.ts";
import { RunError } from "./run_error.ts";
import { smallConfig } from "./testing/small_run.ts";

const GIB = 2 ** 30;

const memory: TrainingMemory = {
  free: 44 * GIB,
  state: 8 * GIB,
  reference: GIB,
  pass: GIB,
  token: 4 * 2 ** 20,
  recomputedToken: 2 ** 20,
};

function configOf(stage2: Record<string, unknown>): TrainConfig {
  return smallConfig({
    stage1: null,
    stage2: { maxPromptTokens: 1000, maxNewTokens: 1000, prompts: 8, ...stage2 },
  });
}

function refusal(config: TrainConfig, changes: Partial<TrainingMemory> = {}): string {
  try {
    assertFits(config, { ...memory, ...changes }, { backend: "cuda:0 (test)", contextLength: 100_000 });
  } catch (error) {
    expect(error).toBeInstanceOf(RunError);
    return (error as RunError).message;
  }
  return "";
}

Deno.test("a pass that does not fit is refused with what is needed, what is free, and what would fit", () => {
  expect(refusal(configOf({ microBatchTokens: 16_384, kl: { coefficient: 0.1 } }))).toBe(
    "Stage 2 needs 74.0 GiB, 44.0 GiB are free on cuda:0 (test): " +
      'lower "stage2.microBatchTokens" to 8,704',
  );
});

Deno.test("where only recomputation or nothing helps, that is said", () => {
  expect(refusal(configOf({ microBatchTokens: 16_384, maxNewTokens: 15_000 }))).toContain(
    'set "stage2.recompute" to true and lower "stage2.microBatchTokens" to 34,816',
  );
  expect(refusal(configOf({ microBatchTokens: 16_384, recompute: true }), { free: 11 * GIB })).toContain(
    "its longest sequence has 2,000 tokens, and 1,024 fit",
  );
  expect(refusal(configOf({ microBatchTokens: 16_384 }), { free: GIB })).toContain("and 0 fit");
});

Deno.test("what is proposed fits, and a step more does not", () => {
  const bytes = fc.integer({ min: 1, max: 2 ** 22 });
  fc.assert(fc.property(bytes, bytes, fc.integer({ min: 12, max: 200 }), (token, recomputedToken, gib) => {
    const device = { token, recomputedToken, free: gib * GIB };
    const message = refusal(configOf({ microBatchTokens: 1_000_000, prompts: 1e6 }), device);
    const proposed = /microBatchTokens" to ([\d,]+)/.exec(message)?.[1];
    if (proposed === undefined) return;
    const tokens = Number(proposed.replaceAll(",", ""));
    const recompute = message.includes("recompute");
    expect(refusal(configOf({ microBatchTokens: tokens, recompute, prompts: 1e6 }), device)).toBe("");
    expect(refusal(configOf({ microBatchTokens: tokens + 256, recompute, prompts: 1e6 }), device)).not.toBe(
      "",
    );
  }));
});

Deno.test("a reference takes room only where there is one, and each stage is looked at", () => {
  const tight = { free: 18 * GIB };
  expect(refusal(configOf({ microBatchTokens: 2048, kl: { coefficient: 0 } }), { ...tight, state: 9 * GIB }))
    .toBe("");
  expect(
    refusal(configOf({ microBatchTokens: 2048, kl: { coefficient: 0.1 } }), { ...tight, state: 9 * GIB }),
  )
    .toContain("Stage 2 needs 19.0 GiB");
  const both = smallConfig({ stage1: { microBatchTokens: 100_000, batchExamples: 64 } });
  expect(refusal(both)).toContain("Stage 1 needs 399.6 GiB");
});

Deno.test("no pass is longer than the model's context, or than a step's tokens", () => {
  const config = configOf({ microBatchTokens: 16_384, maxNewTokens: 15_000, prompts: 2, rollouts: 2 });
  const device = { ...memory, free: 26 * GIB };
  expect(() => assertFits(config, device, { backend: "test", contextLength: 1024 })).not.toThrow();
  expect(() => assertFits(config, device, { backend: "test", contextLength: 2560 })).toThrow("50.0 GiB");
});
