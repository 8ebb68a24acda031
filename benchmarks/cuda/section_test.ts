import { expect } from "expect";
import { partRecord, rowRecord } from "../testing/cuda_records.ts";
import { formatMarkdown } from "../results.ts";
import { cudaSection } from "./section.ts";
import { trainingOf } from "./training.ts";
import { curvesOf } from "./curves.ts";
import type { JournalRecord } from "../../ts/train/journal.ts";

Deno.test("what was not measured on a GPU is said not to be", () => {
  expect(cudaSection(null, [])).toContain("Not yet measured on a GPU");
  expect(cudaSection({ kind: "cuda", records: [], training: null }, [])).toContain(
    "Not yet measured on a GPU",
  );
});

Deno.test("the section names device, date, versions, goals, roofs and parts", () => {
  const records = [rowRecord("a", 1), partRecord("parity", "failed")];
  const section = cudaSection({ kind: "cuda", records, training: null }, []);
  for (
    const told of [
      "work of a",
      "3.00 × (3.00 – 3.00)",
      "989 TFLOP/s: a datasheet",
      "30.0 / 33.3 / 35.0 %",
      "NVIDIA H200, driver 580.1, 2026-01-02",
      "rm-r1 0, torch 2",
      "| parity | failed |",
      "0123456789ab ",
    ]
  ) expect(section).toContain(told);
  expect(section).not.toContain("Not yet measured");
  const formatted = formatMarkdown(section);
  expect(formatMarkdown(formatted)).toBe(formatted);
});

function step(stage: 1 | 2, number: number, loss: number): JournalRecord {
  const common = { time: "2026-01-02T03:04:05.000Z", seconds: 1, type: "step", step: number, loss };
  const more = {
    tokensPerSecond: 10,
    wallSeconds: 2,
    ids: ["secret"],
    ...(stage === 2 ? { reward: 0.5 } : {}),
  };
  return { ...common, ...more, stage } as unknown as JournalRecord;
}

Deno.test("a run's curves have each step once and nothing of its data", () => {
  const start: JournalRecord = {
    time: "2026-01-02T03:04:05.000Z",
    seconds: 0,
    type: "start",
    code: "1",
    backend: "cuda:0",
    threads: 1,
  };
  const training = trainingOf([start, step(1, 1, 3), step(1, 1, 2), step(2, 1, 0)]);
  expect(training.steps.map(({ stage, loss, reward }) => [stage, loss, reward])).toEqual([[1, 2, null], [
    2,
    0,
    0.5,
  ]]);
  expect(JSON.stringify(training)).not.toContain("secret");
  const curves = [...curvesOf(training).keys()];
  expect(curves).toEqual(["cuda-stage1-loss.svg", "cuda-stage2-reward.svg"]);
  const section = cudaSection({ kind: "cuda", records: [], training }, curves);
  for (const told of ["cuda:0", "2 steps in 4.00 s", ...curves]) expect(section).toContain(told);
  expect(() => trainingOf([step(1, 1, 3)])).toThrow("no start");
});
