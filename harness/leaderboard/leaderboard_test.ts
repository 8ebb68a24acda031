import { expect } from "expect";
import { DOMParser } from "linkedom";
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Baseline } from "rm-r1/judge";
import { runBenchmark } from "../run.ts";
import { rmBench } from "../rm_bench/benchmark.ts";
import { judgeOf, writeData } from "../testing/scripted_rm_bench.ts";
import type { BenchResult } from "../result.ts";
import { AVERAGED, leaderboard, type LeaderboardRow, readResults } from "./merge.ts";
import { leaderboardPage } from "./page.ts";
import { PUBLISHED } from "./published.ts";
import { formatLeaderboard, leaderboardCsv, leaderboardMarkdown } from "./texts.ts";

async function runs(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "runs-"));
  const data = await writeData({ "chat": 12, "code": 12 });
  await runBenchmark(rmBench(), { data, judge: judgeOf(), directory: join(folder, "whole") });
  await runBenchmark(rmBench(), { data, judge: judgeOf(), directory: join(folder, "sample"), limit: 8 });
  await runBenchmark(rmBench("released"), { data, judge: judgeOf(), directory: join(folder, "released") });
  await runBenchmark(rmBench(), { data, judge: Baseline.longest(), directory: join(folder, "longest") });
  return folder;
}

Deno.test("published averages are the means of their three figures, to their decimals", () => {
  let compared = 0;
  const apart: string[] = [];
  for (const { name, scores, average } of PUBLISHED) {
    const values = AVERAGED.map((column) => scores[column]);
    if (average === undefined || values.some((value) => value === undefined)) continue;
    const mean = values.reduce<number>((sum, value) => sum + value!, 0) / values.length;
    // Each of the three is rounded by up to 0.05, and so is the average.
    if (Math.abs(mean - average) > 0.1 + 1e-9) apart.push(name);
    compared++;
  }
  // In the paper's table, too, these are not the means of their rows.
  expect(apart).toEqual(["Internlm2-20b-reward", "Skywork-Reward-Llama-3.1-8B"]);
  expect(compared).toBe(22);
  expect(PUBLISHED).toHaveLength(26);
});

Deno.test("our runs stand among the published ones, a part never as the benchmark's score", async () => {
  const folder = await runs();
  const stored = await readResults(folder);
  expect(stored).toHaveLength(4);
  const rows = leaderboard(stored);
  const ours = rows.filter(({ source }) => source === null);
  expect(ours.map(({ name, type }) => [name, type]).toSorted()).toEqual([
    ["baseline:longest", "Floor"],
    ["baseline:random:0", "Floor"],
    ["baseline:shortest", "Floor"],
    ["floor:bag-of-words", "Floor"],
    ["scripted", "ReasRM"],
  ]);
  const judge = ours.find(({ name }) => name === "scripted")!;
  const result: BenchResult = JSON.parse(await readFile(join(folder, "whole", "result.json"), "utf8"));
  expect(judge.cells["rm-bench"]).toEqual({
    score: 100 * result.overall,
    interval: [100 * result.low!, 100 * result.high!],
    scope: "partial",
    items: 24,
  });
  expect(judge.average).toBeNull();
  const scripted = formatLeaderboard(rows).split("\n").find((line) => line.includes("scripted"))!;
  expect(scripted).toMatch(/^→ scripted +– +– +[\d.]+\* +– +– +–$/);
});

Deno.test("a judge with three whole benchmarks has an average, and several votes are another row", () => {
  const result = (
    benchmark: string,
    overall: number,
    votes = 1,
  ): { directory: string; result: BenchResult } => ({
    directory: benchmark,
    result: {
      benchmark,
      scope: "full",
      judge: { name: "m", identity: JSON.stringify({ judge: "scalar" }) },
      overall,
      low: overall - 0.1,
      high: overall + 0.1,
      items: 10,
      votes,
      floors: [],
      orders: null,
    } as unknown as BenchResult,
  });
  const rows = leaderboard([
    result("rewardbench", 0.9),
    result("rm-bench", 0.6),
    result("rmb", 0.75),
    result("rmb", 0.8, 5),
  ]).filter(({ source }) => source === null);
  expect(rows.map(({ name, type, average }) => [name, type, average])).toEqual([
    ["m", "ScalarRM", 75],
    ["m, majority of 5", "ScalarRM", null],
  ]);
});

Deno.test("every form escapes what a name holds and has every row", async () => {
  const hostile: LeaderboardRow = {
    name: 'a|b,"c"</script><img src=x onerror=alert(1)>',
    type: "GenRM",
    cells: { rmb: { score: 50, interval: [40, 60], scope: "sample", items: 7 } },
    average: null,
    source: null,
  };
  const rows = [...leaderboard([]), hostile];
  const document = new DOMParser().parseFromString(await leaderboardPage(rows), "text/html");
  expect(document.querySelectorAll("tbody tr")).toHaveLength(rows.length);
  expect(document.querySelectorAll("img")).toHaveLength(0);
  expect(document.querySelector("tr.ours th")!.textContent).toBe(hostile.name);
  expect(document.querySelector("tr.ours")!.textContent).toContain("50.0~ [40.0, 60.0] of 7");
  const lines = leaderboardMarkdown(rows).split("\n").filter((line) => line.startsWith("|"));
  const widths = new Set(lines.map((line) => line.replaceAll(/\\./g, "").split("|").length));
  expect(widths.size).toBe(1);
  const csv = leaderboardCsv(rows);
  expect(csv).toContain('"a|b,""c""</script><img src=x onerror=alert(1)>",GenRM,rmb,50,40,60,sample,7,\r\n');
  expect(csv.split("\r\n").length).toBe(
    2 + rows.reduce((sum, { cells }) => sum + Object.keys(cells).length, 0),
  );
});
