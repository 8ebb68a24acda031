import { expect } from "expect";
import { readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { readConfig } from "../../ts/train/mod.ts";
import { exampleRun } from "../testing/trained.ts";
import { mergeRuns, type TrainingReport, trainingReportSchema } from "./report.ts";
import { continuedSize, VARIANTS } from "./variants.ts";

const CONFIGS = fileURLToPath(new URL("../../configs/", import.meta.url));

const MACHINE = { cpu: "Test", cores: 2, memoryBytes: 1, system: "linux" };

function reportOf(runs: TrainingReport["runs"]): TrainingReport {
  return { kind: "training", machine: MACHINE, command: "x", runs };
}

Deno.test("runs are put in the places of earlier ones of the same variant and seed", () => {
  const stored = reportOf([exampleRun("ppo", 1, 0.5), exampleRun("default", 3, 0.6)]);
  const merged = mergeRuns(stored, reportOf([exampleRun("default", 0, 0.7), exampleRun("ppo", 1, 0.8)]));
  expect(trainingReportSchema.parse(merged)).toEqual(merged);
  expect(merged.runs.map(({ variant, seed, accuracy }) => [variant, seed, accuracy.final?.value])).toEqual([
    ["default", 0, 0.7],
    ["default", 3, 0.6],
    ["ppo", 1, 0.8],
  ]);
  const elsewhere = { ...reportOf([]), machine: { ...MACHINE, cores: 4 } };
  expect(() => mergeRuns(stored, elsewhere)).toThrow('expected "Test" with 4');
});

Deno.test("a stage 1 that goes on takes at least the time of both stages", () => {
  const size = { examples: 100, epochs: 2, batchExamples: 16 };
  const seconds = { stage1: 10, stage2: 21 };
  expect(continuedSize(size, "same traces", seconds)).toEqual({ examples: 100, epochs: 7 });
  expect(continuedSize(size, "new traces", seconds)).toEqual({ examples: 320, epochs: 2 });
  for (const bad of [{ stage1: 0, stage2: 1 }, { stage1: 1, stage2: 0 }, { stage1: 1, stage2: NaN }]) {
    expect(() => continuedSize(size, "same traces", bad)).toThrow("expected both above 0");
  }
});

Deno.test("every configuration for the embedded model is a variant", async () => {
  const names = (await readdir(CONFIGS)).filter((name) => name.endsWith(".json"));
  const embedded: string[] = [];
  for (const name of names) {
    const { model } = await readConfig(`${CONFIGS}${name}`);
    if (model === "embedded") embedded.push(name.replace(".json", ""));
  }
  expect(new Set(VARIANTS.map(({ config }) => config))).toEqual(new Set(embedded));
});
