import { expect } from "expect";
import { generateTasks } from "../data/mod.ts";
import { chooseScalarStage } from "./scalar_stage.ts";
import { smallConfig } from "./testing/small_run.ts";
import { TabularEngine } from "./testing/tabular_engine.ts";

const engine = TabularEngine.fresh();
const stage1 = smallConfig({ judge: "scalarrm", stage2: null }).stage1!;

Deno.test("pairs that are too long, or whose answers are the same tokens, are left out by their reason", async () => {
  const [first, second, third] = generateTasks({ seed: 0, split: "train", count: 3 });
  const records = [
    { ...first!, rejected: first!.chosen },
    { ...second!, chosen: "x".repeat(stage1.maxTokens) },
    third!,
  ];
  expect(await chooseScalarStage({ engine }, stage1, records)).toEqual({
    records: [third],
    leftOut: [
      { id: first!.id, reason: "answers-of-same-tokens" },
      { id: second!.id, reason: "too-long" },
    ],
  });
  await expect(chooseScalarStage({ engine }, stage1, records.slice(0, 1))).rejects.toThrow(
    "of 1 records all are left out: 1 answers-of-same-tokens",
  );
});
