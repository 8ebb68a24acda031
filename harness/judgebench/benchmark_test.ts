import { expect } from "expect";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RmR1Judge } from "rm-r1/judge";
import { ScriptedEngine } from "../../ts/judge/scripted_engine.ts";
import { missingParts } from "../measure.ts";
import { runBenchmark } from "../run.ts";
import { DATA, needs } from "../testing/needs.ts";
import { JUDGEBENCH } from "./benchmark.ts";

Deno.test("JudgeBench's own file loads without a malformed record", needs("judgebench"), async () => {
  const { items, malformed } = await JUDGEBENCH.load(join(DATA, "judgebench"));
  expect(malformed).toEqual([]);
  expect(items.length).toBe(350);
  expect(missingParts(JUDGEBENCH, items)).toEqual([]);
  expect(missingParts(JUDGEBENCH, items.slice(1))).toHaveLength(1);
});

Deno.test("a pair is right where more of its orders are right than wrong", async () => {
  const folder = await mkdtemp(join(tmpdir(), "judgebench-"));
  // The judge is right in both orders of the first, always says A of the second, and only answers when A is better of the third.
  const records = ["first", "second", "third"].map((pair_id) => ({
    pair_id,
    source: "livecodebench",
    question: pair_id,
    response_A: `worse ${pair_id}`,
    response_B: `better ${pair_id}`,
    label: "B>A",
  }));
  await writeFile(join(folder, "data.jsonl"), records.map((record) => JSON.stringify(record)).join("\n"));
  const engine = new ScriptedEngine((prompt) => {
    const betterFirst = prompt.indexOf("better ") < prompt.indexOf("worse ");
    if (prompt.includes("better second")) return "<answer>[[A]]</answer>";
    if (prompt.includes("better third") && !betterFirst) return "I cannot say";
    return `<answer>[[${betterFirst ? "A" : "B"}]]</answer>`;
  });
  const judge = new RmR1Judge(engine, { protocol: "compact" });
  const result = await runBenchmark(JUDGEBENCH, { data: folder, judge, directory: join(folder, "run") });
  expect(result).toMatchObject({ items: 3, judgements: 6, overall: 2 / 3, scope: "partial" });
  expect(result.pairwise).toMatchObject({ flips: 1, readable: 2, allOrders: 1 / 3 });
});
