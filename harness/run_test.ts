import { expect } from "expect";
import { mkdtemp, readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Baseline, RmR1Judge } from "rm-r1/judge";
import { ScriptedEngine } from "../ts/judge/scripted_engine.ts";
import { formatResult } from "./report.ts";
import type { BenchResult } from "./result.ts";
import { rmBench } from "./rm_bench/benchmark.ts";
import { runBenchmark, type RunOptions } from "./run.ts";
import { answer, answers, judgeOf, pick, writeData } from "./testing/scripted_rm_bench.ts";

const RM_BENCH = rmBench();

function runRmBench(options: RunOptions): Promise<BenchResult> {
  return runBenchmark(RM_BENCH, options);
}

function formatRmBench(result: BenchResult): string {
  return formatResult(RM_BENCH, result);
}

function directory(): Promise<string> {
  return mkdtemp(join(tmpdir(), "run-"));
}

/** Overall of the scripted model in both orders, one comparison at a time. */
function reference(sizes: Readonly<Record<string, number>>): number {
  const domains = new Map<string, number[]>();
  for (const [name, size] of Object.entries(sizes)) {
    const values = domains.get(name.split("-")[0]!) ?? [];
    domains.set(name.split("-")[0]!, values);
    for (let id = 0; id < size; id++) {
      for (const better of answers(id, true)) {
        for (const worse of answers(id, false)) {
          values.push(pick(better, worse) === "A" ? 1 : 0, pick(worse, better) === "B" ? 1 : 0);
        }
      }
    }
  }
  const means = [...domains.values()].map((values) =>
    values.reduce((sum, value) => sum + value, 0) / values.length
  );
  return means.reduce((sum, mean) => sum + mean, 0) / means.length;
}

const sizes = { "chat": 5, "code": 8, "safety-refuse": 4, "safety-response": 3 };

Deno.test("runBenchmark scores a judge of pairs in both orders", async () => {
  const result = await runRmBench({
    data: await writeData(sizes),
    judge: judgeOf(),
    directory: await directory(),
  });
  expect(result.overall).toBeCloseTo(reference(sizes), 12);
  expect(result).toMatchObject({
    benchmark: "rm-bench",
    scope: "partial",
    items: 20,
    judgements: 360,
    ties: null,
  });
  const none = result.failures["no-answer"]!;
  expect(result.failures).toEqual({ "no-answer": none });
  expect(none).toBeGreaterThan(0);
  expect(result.parsed.rate).toBeCloseTo(1 - none / 360, 12);
  expect(result.treatments.excluded!.score).toBeGreaterThan(result.overall);
  expect(result.treatments.tie.score).toBeGreaterThan(result.overall);
  expect(result.pairwise!.flips).toBeGreaterThan(0);
  expect(result.pairwise!.allOrders).toBeLessThan(result.overall);
  expect(result.sections["safety"]!.n).toBe(7);
  expect(result.floors.map(({ judge }) => judge)).toEqual([
    "baseline:longest",
    "baseline:shortest",
    "baseline:random:0",
    "floor:bag-of-words",
  ]);
});

Deno.test("runBenchmark's first order is what the seeded order alone gives", async () => {
  const data = await writeData(sizes);
  const both = await runRmBench({ data, judge: judgeOf(), directory: await directory(), seed: 3 });
  const once = await runRmBench({
    data,
    judge: judgeOf(),
    directory: await directory(),
    seed: 3,
    orders: "seeded",
  });
  expect(once.judgements).toBe(180);
  expect(once.overall).toBe(both.pairwise!.first);
  const other = await runRmBench({ data, judge: judgeOf(), directory: await directory(), seed: 4 });
  expect(other.pairwise!.first).not.toBe(both.pairwise!.first);
  expect(other.overall).toBe(both.overall);
});

Deno.test("runBenchmark is the benchmark's score only where all of it is there", async () => {
  const data = await writeData(RM_BENCH.sizes!);
  const longest = Baseline.longest();
  const full = await runRmBench({ data, judge: longest, directory: await directory() });
  expect(full).toMatchObject({ scope: "full", missing: [], items: 1327, orders: null, pairwise: null });
  expect(formatRmBench(full)).toMatch(/^RM-Bench, 1327 of 1327 items\n/);
  const sample = await runRmBench({ data, judge: longest, directory: await directory(), limit: 40 });
  expect(sample).toMatchObject({ scope: "sample", items: 40, limit: 40 });
  expect(formatRmBench(sample)).toMatch(
    /^A stratified sample of RM-Bench, not the benchmark's score: 40 of 1327 items/,
  );
  expect(Object.values(sample.sections).map(({ n }) => n)).toEqual([4, 16, 7, 13]);
});

Deno.test("runBenchmark scores longest and shortest by their rule, ties wrong, with the other floors beside", async () => {
  const data = await writeData(sizes);
  // Lengths depend on the style alone: the longer style wins, equal styles tie.
  const longest = await runRmBench({ data, judge: Baseline.longest(), directory: await directory() });
  const levels = Object.values(longest.levels).map(({ score }) => score);
  expect(levels).toEqual([0, 0, 1]);
  expect(longest.ties).toBe(20 * 3);
  const [shortest, random] = longest.floors;
  expect(shortest).toMatchObject({ judge: "baseline:shortest", sections: { chat: 1 / 3 } });
  expect(random!.judge).toBe("baseline:random:0");
});

Deno.test("runBenchmark goes on in its directory and gives the same table as an unbroken run", async () => {
  const data = await writeData(sizes);
  const [whole, broken] = [await directory(), await directory()];
  const unbroken = await runRmBench({ data, judge: judgeOf(), directory: whole });
  const controller = new AbortController();
  const run = runRmBench({
    data,
    judge: judgeOf(),
    directory: broken,
    signal: controller.signal,
    onProgress: ({ done }) => done === 100 && controller.abort(new Error("Stopped")),
  });
  await expect(run).rejects.toThrow("Stopped");
  expect(await readdir(broken)).toEqual(["judgements.jsonl"]);
  const engine = new ScriptedEngine(answer);
  const resumed = await runRmBench({ data, judge: judgeOf(engine), directory: broken });
  expect(formatRmBench(resumed)).toBe(formatRmBench(unbroken));
  expect({ ...resumed, seconds: 0 }).toEqual({ ...unbroken, seconds: 0 });
  expect(engine.calls.flat().length).toBe(360 - 100);
  const stored = JSON.parse(await readFile(join(broken, "result.json"), "utf8"));
  expect(stored).toEqual(JSON.parse(JSON.stringify(resumed)));
});

Deno.test("runBenchmark takes from a smaller sample's journal what a larger one needs", async () => {
  const data = await writeData(sizes);
  const path = await directory();
  await runRmBench({ data, judge: judgeOf(), directory: path, limit: 8 });
  const engine = new ScriptedEngine(answer);
  await runRmBench({ data, judge: judgeOf(engine), directory: path, limit: 12 });
  expect(engine.calls.flat().length).toBe(4 * 18);
});

Deno.test("runBenchmark gives no figure when the engine failed, and keeps what was answered", async () => {
  const data = await writeData(sizes);
  const path = await directory();
  const engine = new ScriptedEngine((prompt) => {
    if (prompt.includes("code 3")) throw new Error("Lost");
    return answer(prompt);
  });
  const judge = new RmR1Judge(engine, { protocol: "compact", maxConcurrent: 1 });
  await expect(runRmBench({ data, judge, directory: path })).rejects.toThrow(
    "18 of 360 calls have no answer",
  );
  expect(await readdir(path)).toEqual(["judgements.jsonl"]);
});

Deno.test("runBenchmark names malformed records in its result and its table", async () => {
  const data = await writeData(sizes, [{ id: 99 }]);
  const result = await runRmBench({ data, judge: Baseline.longest(), directory: await directory() });
  expect(result.malformed.length).toBe(4);
  expect(result.items).toBe(20);
  const text = formatRmBench(result);
  expect(text).toContain("Malformed and left out: 4 records");
  expect(text).toContain('file "chat_filtered.json", record 5, field "prompt": found nothing');
});

Deno.test("formatResult keeps to 100 characters and shows the floors, reasons and what is missing", async () => {
  const long = `/${"folder/".repeat(30)}`;
  const judge = new RmR1Judge(new ScriptedEngine(answer), { protocol: "compact", name: long });
  const result = await runRmBench({ data: await writeData(sizes), judge, directory: await directory() });
  const text = formatRmBench(result);
  for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(100);
  expect(text).toMatch(
    /^A part of RM-Bench, not the benchmark's score: 20 of 1327 items, in chat, code,?\s+safety\n/,
  );
  for (const { judge: floor, overall } of result.floors) {
    const row = text.split("\n").find((line) => line.startsWith(floor));
    expect(row!.split(/ {2,}/).at(-2)).toBe((100 * overall.score).toFixed(1));
  }
  expect(text).toContain(`No verdict: no-answer ${result.failures["no-answer"]}, of 360 judgements`);
  expect(text).toContain("math: 0 of 529 items");
  expect(text).toContain(`Flips: ${result.pairwise!.flips} of ${result.pairwise!.readable} pairs`);
});

Deno.test("each sample of a judgement is drawn anew, kept, and asked for once", async () => {
  const data = await writeData({ chat: 3 });
  const path = await directory();
  const rollouts: number[] = [];
  const engine = new ScriptedEngine(answer);
  const judge = new RmR1Judge(engine, { protocol: "compact", temperature: 1 });
  const result = await runRmBench({ data, judge, directory: path, votes: 3 });
  for (const { key } of engine.calls.flat()) rollouts.push(key!.rollout);
  expect(result).toMatchObject({ votes: 3, judgements: 54 });
  expect(rollouts.length).toBe(3 * 54);
  expect(new Set(rollouts)).toEqual(new Set([0, 1, 2]));
  const again = new ScriptedEngine(answer);
  const more = new RmR1Judge(again, { protocol: "compact", temperature: 1 });
  await runRmBench({ data, judge: more, directory: path, votes: 5 });
  expect(again.calls.flat().length).toBe(2 * 54);
});

Deno.test("the published scripts' figure is of one order, by their rule, with errors as they count", async () => {
  const data = await writeData(sizes);
  const bare = new ScriptedEngine((prompt) => answer(prompt).replaceAll(/<\/?answer>/g, ""));
  const result = await runRmBench({ data, judge: judgeOf(bare), directory: await directory() });
  expect(result.overall).toBe(0);
  const proper = await runRmBench({ data, judge: judgeOf(), directory: await directory(), orders: "seeded" });
  expect(result.upstream).toEqual({ rule: "upstream-eval", errors: "wrong", overall: proper.overall });
  const scorer = await runRmBench({ data, judge: Baseline.longest(), directory: await directory() });
  expect(scorer.upstream).toBeNull();
});

Deno.test("learnt floors stand beside the others where there are items enough", async () => {
  const many = await runRmBench({
    data: await writeData({ "chat": 12, "code": 12 }),
    judge: judgeOf(),
    directory: await directory(),
  });
  expect(many.floors.map(({ judge }) => judge)).toContain("floor:bag-of-words");
  expect(many.calibration).toBeNull();
  expect(many.audit.length.shorter.pairs).toBe(24 * 3);
  const few = await runRmBench({
    data: await writeData({ "chat": 5 }),
    judge: judgeOf(),
    directory: await directory(),
  });
  expect(few.floors).toHaveLength(3);
});
