import { expect } from "expect";
import fc from "fast-check";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Baseline } from "rm-r1/judge";
import { ScriptedEngine } from "../../ts/judge/scripted_engine.ts";
import { rmBench } from "../rm_bench/benchmark.ts";
import type { BenchResult } from "../result.ts";
import { runBenchmark } from "../run.ts";
import { answer, judgeOf, writeData } from "../testing/scripted_rm_bench.ts";
import { compareRuns, holm, mcnemar } from "./compare.ts";
import { formatComparisons } from "./report.ts";

const SIZES = { "chat": 12, "code": 15 };

async function runOf(
  data: string,
  judge = judgeOf(),
  more: { readonly limit?: number; readonly rule?: "released" } = {},
): Promise<{ directory: string; result: BenchResult }> {
  const directory = await mkdtemp(join(tmpdir(), "run-"));
  const { rule, ...options } = more;
  return { directory, result: await runBenchmark(rmBench(rule), { data, judge, directory, ...options }) };
}

/** Turns the verdicts of every third question round. */
function turned(prompt: string): string {
  const id = Number(/(?:chat|code) (\d+)/.exec(prompt)![1]);
  const text = answer(prompt);
  return id % 3 > 0 ? text : text.replace(/\[\[([AB])\]\]/, (_, side) => `[[${side === "A" ? "B" : "A"}]]`);
}

Deno.test("a comparison's difference is that of the runs, and names what changed", async () => {
  const data = await writeData(SIZES);
  const base = await runOf(data);
  const other = await runOf(data, judgeOf(new ScriptedEngine(turned)));
  const [compared] = await compareRuns([base.directory, other.directory]);
  const { overall, sections, items } = compared!;
  expect(items).toBe(27);
  expect(overall.base).toBeCloseTo(base.result.overall, 12);
  expect(overall.other).toBeCloseTo(other.result.overall, 12);
  expect(overall.difference).toBeCloseTo(other.result.overall - base.result.overall, 12);
  expect(overall.low!).toBeLessThan(overall.difference);
  expect(overall.high!).toBeGreaterThan(overall.difference);
  for (const key of [...overall.fixed, ...overall.broke]) expect(Number(key.split(":")[1]) % 3).toBe(0);
  expect(overall.fixed.length + overall.broke.length).toBeGreaterThan(4);
  expect(sections["chat"]!.fixed.length + sections["code"]!.fixed.length).toBe(overall.fixed.length);
  const [back] = await compareRuns([other.directory, base.directory]);
  expect(back!.overall.fixed).toEqual(overall.broke);
  expect(back!.overall.difference).toBeCloseTo(-overall.difference, 12);
  expect(back!.overall.low!).toBeCloseTo(-overall.high!, 12);
  expect(formatComparisons([compared!])).toContain("Broke: ");
});

Deno.test("a run compared with itself changes nothing, a sample is compared on its items, a scorer with a judge", async () => {
  const data = await writeData(SIZES);
  const base = await runOf(data);
  const again = await runOf(data);
  const sample = await runOf(data, judgeOf(), { limit: 9 });
  const scorer = await mkdtemp(join(tmpdir(), "run-"));
  await runBenchmark(rmBench(), { data, judge: Baseline.longest(), directory: scorer });
  const [same, part, scored] = await compareRuns([base.directory, again.directory, sample.directory, scorer]);
  expect(same!.items).toBe(9);
  expect(same!.overall).toMatchObject({
    difference: 0,
    low: 0,
    high: 0,
    fixed: [],
    broke: [],
    p: 1,
    holm: 1,
  });
  expect(part!.overall.other).toBeCloseTo(sample.result.overall, 12);
  expect(scored!.overall.fixed.length + scored!.overall.broke.length).toBeGreaterThan(0);
});

Deno.test("runs that cannot be compared are refused by what differs", async () => {
  const data = await writeData(SIZES);
  const base = await runOf(data);
  const released = await runOf(data, judgeOf(), { rule: "released" });
  await expect(compareRuns([base.directory, released.directory])).rejects.toThrow(
    'has rule "released", expected "standard"',
  );
  const other = await runOf(await writeData({ chat: 12, code: 14 }));
  await expect(compareRuns([base.directory, other.directory])).rejects.toThrow("has read another file");
  await expect(compareRuns([base.directory])).rejects.toThrow("Got 1 runs, expected at least 2");
});

Deno.test("McNemar's p is the exact binomial's", () => {
  // Two-sided tails by counting: 2 · Σ C(n, k) / 2^n up to the smaller count.
  const choose = (n: number, k: number): number =>
    Array.from({ length: k }, (_, at) => (n - at) / (at + 1)).reduce(
      (product, factor) => product * factor,
      1,
    );
  fc.assert(fc.property(fc.integer({ min: 0, max: 25 }), fc.integer({ min: 0, max: 25 }), (fixed, broke) => {
    const n = fixed + broke;
    const tail = Array.from({ length: Math.min(fixed, broke) + 1 }, (_, k) => choose(n, k))
      .reduce((sum, count) => sum + count, 0) / 2 ** n;
    expect(mcnemar(fixed, broke)).toBeCloseTo(Math.min(1, 2 * tail), 9);
  }));
});

Deno.test("Holm's correction is R's", () => {
  // p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") is 0.03 0.06 0.06 0.02
  expect(holm([0.01, 0.04, 0.03, 0.005]).map((p) => Number(p.toFixed(12)))).toEqual([0.03, 0.06, 0.06, 0.02]);
  expect(holm([0.9, 0.8])).toEqual([1, 1]);
});
