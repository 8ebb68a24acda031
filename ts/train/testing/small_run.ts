/**
 * A run of both stages that takes a second: few generated tasks, on the tabular model.
 *
 * @module
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TrainableEngine } from "../../engine/mod.ts";
import { parseConfig, type TrainConfig } from "../config.ts";
import type { StageContext } from "../stage.ts";
import { TabularEngine, type TabularOptions } from "./tabular_engine.ts";

/** The configuration; `changes` are merged into it by key. */
export function smallConfig(changes: Record<string, unknown> = {}): TrainConfig {
  return parseConfig(merge({
    model: "base",
    seed: 7,
    data: { kind: "tasks", train: 24 },
    stage1: {
      examples: 6,
      epochs: 4,
      batchExamples: 4,
      microBatchTokens: 1500,
      optimizer: { learningRate: 0.2, weightDecay: 0, warmupSteps: 2 },
    },
    stage2: {
      steps: 6,
      prompts: 2,
      rollouts: 3,
      records: "all",
      maxNewTokens: 320,
      decodeBatch: 3,
      minibatches: 2,
      kl: { coefficient: 0.01 },
      optimizer: { learningRate: 0.02, weightDecay: 0 },
    },
    evaluation: { examples: 6, maxNewTokens: 40 },
    checkpoint: { every: 2, keep: 2 },
  }, changes));
}

function merge(base: Record<string, unknown>, changes: Record<string, unknown>): Record<string, unknown> {
  const isRecord = (value: unknown): value is Record<string, unknown> =>
    value !== null && typeof value === "object" && !Array.isArray(value);
  const merged = { ...base };
  for (const [key, value] of Object.entries(changes)) {
    const before = merged[key];
    const mergeable = isRecord(before) && isRecord(value) && (value.kind ?? before.kind) === before.kind;
    merged[key] = mergeable ? merge(before, value) : value;
  }
  return merged;
}

/** What a stage works with, apart from a run. */
export function contextOf(engine: TrainableEngine, config: TrainConfig): StageContext {
  return { engine, config, openAgain: () => Promise.resolve(TabularEngine.fresh(2)) };
}

/** Opens the tabular model: "base" is a fresh one, any other name a folder. */
export function opener(options: TabularOptions = {}): (model: string) => Promise<TrainableEngine> {
  return async (model) =>
    model === "base" ? TabularEngine.fresh(1, options) : await TabularEngine.open(model, options);
}

/** Runs with a folder that is removed afterwards. */
export async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "rmr1-train-"));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The final weights of a run, in hexadecimal digits. */
export async function finalWeights(runDirectory: string): Promise<string> {
  return (await readFile(join(runDirectory, "final", "model.safetensors"))).toString("hex");
}
