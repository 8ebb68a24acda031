import { expect } from "expect";
import { exampleRun } from "../testing/trained.ts";
import type { TrainedRun } from "./report.ts";
import { meanInterval, trainingSection } from "./section.ts";

const MACHINE = { cpu: "Test", cores: 2, memoryBytes: 1, system: "linux" };

function section(runs: readonly TrainedRun[]): string {
  return trainingSection({ kind: "training", machine: MACHINE, command: "x", runs }, "") ?? "";
}

function rowWith(text: string, cell: string): string[] {
  const row = text.split("\n").find((line) => line.includes(cell)) ?? "";
  return row.split("|").map((each) => each.trim());
}

Deno.test("the interval is that of R's t.test(c(1, 2, 4))", () => {
  const { mean, low, high } = meanInterval([1, 2, 4]);
  expect(mean).toBeCloseTo(7 / 3, 12);
  expect(low).toBeCloseTo(-1.4612, 4);
  expect(high).toBeCloseTo(6.1279, 4);
  expect(meanInterval([0.5]).low).toBeNaN();
  expect(() => meanInterval([])).toThrow("There are no values");
});

Deno.test("a variant's row has median and range over seeds", () => {
  const runs = [0.9, 0.95, 0.7].map((value, seed) => exampleRun("ppo", seed, value));
  expect(rowWith(section(runs), "ppo.json").slice(2, 7)).toEqual([
    "PPO with a critic",
    "0, 1, 2",
    "60.0 (60.0 – 60.0)",
    "90.0 (70.0 – 95.0)",
    "85.0 [52.1, 100.0]",
  ]);
});

Deno.test("the lead of stage 2 is the median of the leads seed by seed", () => {
  const long = { stage1: 31, stage2: 0, whole: 40 };
  const runs = [
    ...[0.9, 0.8, 0.7].map((value, seed) => exampleRun("default", seed, value)),
    ...[0.8, 0.81, 0.65].map((value, seed) => exampleRun("continued-same", seed, value, long)),
  ];
  const text = section(runs);
  expect(rowWith(text, "| 90.0 (30 s)").slice(1, 6)).toEqual([
    "0",
    "60.0",
    "90.0 (30 s)",
    "80.0 (31 s)",
    "–",
  ]);
  expect(rowWith(text, "median lead").slice(4, 6)).toEqual(["+5.0 points", "–"]);
});

Deno.test("without runs there is no section", () => {
  expect(trainingSection(null, "")).toBeNull();
  expect(trainingSection({ kind: "training", machine: MACHINE, command: "x", runs: [] }, "")).toBeNull();
});
