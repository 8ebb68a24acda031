import { expect } from "expect";
import { mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeMalformed } from "../benchmark.ts";
import { figuresOf, repeated } from "../testing/estimates.ts";
import { DATA, needs } from "../testing/needs.ts";
import { rewardBench } from "./benchmark.ts";
import { PRIOR_SIZES } from "./prior_sets.ts";

const REWARDBENCH = rewardBench();

const SIZES = Object.entries(REWARDBENCH.sizes!);

Deno.test("the whole benchmark has 2,985 items in 23 subsets", () => {
  expect(SIZES.length).toBe(23);
  expect(SIZES.reduce((sum, [, size]) => sum + size, 0)).toBe(2985);
});

Deno.test("math-prm weighs as much as all of code", () => {
  const found = figuresOf(
    REWARDBENCH,
    SIZES.flatMap(([name, size]) => repeated(name, size, name === "math-prm" ? 1 : 0)),
  );
  expect(found.sections["Reasoning"]!.score).toBe(0.5);
  expect(found.overall.score).toBe(0.125);
});

Deno.test("a part is the mean of the sections that are there", () => {
  const part = [...repeated("donotanswer", 2, 1), ...repeated("llmbar-natural", 4, 0.5)];
  const { overall, sections } = figuresOf(REWARDBENCH, part);
  expect(overall.score).toBe(0.75);
  expect(Object.keys(sections)).toEqual(["Chat Hard", "Safety"]);
});

Deno.test("published section scores follow from the published subsets", needs("rm-r1-results"), async () => {
  const judges = await readdir(join(DATA, "rm-r1-results"));
  expect(judges.length).toBeGreaterThan(0);
  for (const judge of judges) {
    const read = async (name: string): Promise<Record<string, number>> =>
      JSON.parse(
        await readFile(
          join(DATA, "rm-r1-results", judge, "reward_bench", "score_result", `${name}.json`),
          "utf8",
        ),
      );
    const subsets = await read("each_small_section_score");
    const main = await read("main_score");
    const found = figuresOf(
      REWARDBENCH,
      SIZES.flatMap(([name, size]) => repeated(name, size, subsets[name]!)),
    );
    expect(Math.abs(found.overall.score - main["avg_Result_each_section"]!)).toBeLessThan(1e-12);
    for (const [name, { score }] of Object.entries(found.sections)) {
      expect(Math.abs(score - main[name]!)).toBeLessThan(1e-12);
    }
  }
});

Deno.test("LLMBar's own files are their part of Chat Hard", needs("llmbar"), async () => {
  const { items, malformed } = await REWARDBENCH.load(join(DATA, "llmbar"));
  expect(malformed).toEqual([]);
  const counts = Object.entries(Object.groupBy(items, ({ subset }) => subset));
  expect(Object.fromEntries(counts.map(([name, members]) => [name, members!.length]))).toEqual({
    "llmbar-natural": 100,
    "llmbar-adver-neighbor": 134,
    "llmbar-adver-GPTInst": 92,
    "llmbar-adver-GPTOut": 47,
  });
});

Deno.test("records keep their models, and LLMBar's label says which output is better", async () => {
  const path = await mkdtemp(join(tmpdir(), "rewardbench-"));
  const record = { id: 3, prompt: "q", chosen: "a", rejected: "b", subset: "hep-go", chosen_model: "m" };
  const wrong = { ...record, id: 4, subset: "art" };
  await writeFile(
    join(path, "filtered.jsonl"),
    [record, wrong].map((each) => JSON.stringify(each)).join("\n"),
  );
  await writeFile(join(path, "raw.json"), "[]");
  const label = { input: "q", output_1: "x", output_2: "y", label: 2 };
  await writeFile(join(path, "Natural.json"), JSON.stringify([label]));
  const { items, malformed } = await REWARDBENCH.load(path);
  expect(items.map(({ key, answers }) => [key, answers])).toEqual([
    ["llmbar-natural:0", [{ text: "y" }, { text: "x" }]],
    ["hep-go:3", [{ text: "a", source: "m" }, { text: "b" }]],
  ]);
  expect(malformed.map(describeMalformed)).toEqual([
    'file "filtered.jsonl", record 1, field "subset": found "art", expected one of the 23 subsets',
  ]);
});

Deno.test("Prior Sets are a fifth section of half the weight, their sets alike", () => {
  const perfect = SIZES.flatMap(([name, size]) => repeated(name, size, 1));
  const prior = [
    ...repeated("anthropic_helpful", 40, 0.5),
    ...repeated("anthropic_hhh", 2, 0),
    ...repeated("shp", 10, 1),
    ...repeated("summarize", 30, 0.5),
  ];
  const { overall, sections } = figuresOf(rewardBench("prior-sets"), [...perfect, ...prior]);
  expect(sections["Prior Sets"]!.score).toBe(0.5);
  expect(overall.score).toBeCloseTo((4 + 0.5 * 0.5) / 4.5, 12);
  expect(figuresOf(rewardBench("prior-sets"), perfect).overall.score).toBe(1);
  expect(Object.values(PRIOR_SIZES).reduce((sum, size) => sum + size, 0)).toBe(17154);
});

Deno.test("the files of the prior sets are read by their names, and only where they are asked for", async () => {
  const folder = await mkdtemp(join(tmpdir(), "prior-"));
  const lines = (records: readonly object[]): string =>
    records.map((each) => `${JSON.stringify(each)}\n`).join("");
  await writeFile(
    join(folder, "filtered.jsonl"),
    lines([{ id: 1, prompt: "p", chosen: "c", rejected: "r", subset: "donotanswer" }]),
  );
  await writeFile(
    join(folder, "anthropic_hhh-00000-of-00001.jsonl"),
    lines([
      { prompt: "p", chosen: "c", rejected: "r", subset: "harmless" },
      {
        chosen: [{ role: "user", content: "q" }, { role: "assistant", content: "c" }],
        rejected: [{ role: "user", content: "q" }, { role: "assistant", content: "r" }],
      },
      { prompt: "p", chosen: "c" },
    ]),
  );
  await writeFile(join(folder, "pku_better-00000-of-00001.jsonl"), "not read");
  const { items, malformed } = await rewardBench("prior-sets").load(folder);
  expect(items.map(({ subset }) => subset).sort()).toEqual(["anthropic_hhh", "anthropic_hhh", "donotanswer"]);
  expect(malformed).toHaveLength(1);
  expect((await rewardBench().load(folder)).items.map(({ subset }) => subset)).toEqual(["donotanswer"]);
});
