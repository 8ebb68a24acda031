import { expect } from "expect";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Baseline, RmR1Judge } from "rm-r1/judge";
import { ScriptedEngine } from "../../ts/judge/scripted_engine.ts";
import { SMALL, smallItems } from "../testing/small_benchmark.ts";
import { DATA, needs } from "../testing/needs.ts";
import { BENCHMARKS } from "../benchmarks.ts";
import { hasOneBest, measureBestOfN } from "./best_of_n.ts";
import { formatBestOfN } from "./report.ts";

/** Five answers each, of which the first, the one with "q9", is the best. */
function items(): object[] {
  return Array.from({ length: 12 }, (_, at) => ({
    key: `${at % 2 === 0 ? "first" : "second"}:${at}`,
    subset: at % 2 === 0 ? "first" : "second",
    conversation: [{ role: "user", content: `question ${at}` }],
    answers: [9, 3, 1, 7, 5].map((quality) => ({ text: `q${quality} of ${at}` })),
    pairs: [1, 2, 3, 4].map((loser) => [0, loser]),
  }));
}

async function dataOf(records: object[]): Promise<string> {
  const path = join(await mkdtemp(join(tmpdir(), "best-of-n-")), "items.json");
  await writeFile(path, JSON.stringify(records));
  return path;
}

/** Picks the higher quality, and counts its calls. */
function judgeOf(seen: { calls: number }, failAt = Infinity): RmR1Judge {
  const engine = new ScriptedEngine((prompt) => {
    if (++seen.calls === failAt) throw new Error("Engine lost");
    const [a, b] = [...prompt.matchAll(/Response\]\n?q(\d)/g)].map(([, quality]) => Number(quality));
    return `<answer>[[${a! > b! ? "A" : "B"}]]</answer>`;
  });
  return new RmR1Judge(engine, { protocol: "compact", name: "scripted", maxConcurrent: 1 });
}

Deno.test("a judge that orders the answers finds each best one, and a run that was broken off goes on", async () => {
  const data = await dataOf([...items(), ...smallItems({ first: 2 })]);
  for (const [method, comparisons] of [["knockout", 4], ["all-pairs", 10]] as const) {
    const directory = await mkdtemp(join(tmpdir(), "run-"));
    const seen = { calls: 0 };
    await expect(measureBestOfN(SMALL, { data, judge: judgeOf(seen, 30), directory, method })).rejects
      .toThrow(
        /have no answer/,
      );
    const before = seen.calls - 1;
    const result = await measureBestOfN(SMALL, { data, judge: judgeOf(seen), directory, method });
    expect(before).toBeGreaterThan(0);
    expect(result.overall).toMatchObject({ n: 12, share: 1 });
    expect(result.overall.chance).toBeCloseTo(0.2, 12);
    expect(result).toMatchObject({ method, comparisons: 12 * comparisons, undecided: 0, leftOut: 2 });
    expect(result.subsets["first"]!.n).toBe(6);
    const journal = (await readFile(join(directory, "judgements.jsonl"), "utf8")).split("\n");
    const keys = journal.filter((line) => line.includes('"type":"judgement"')).map((line) =>
      JSON.parse(line).key
    );
    expect(new Set(keys).size).toBe(keys.length);
    expect(keys).toHaveLength(2 * 12 * comparisons);
    const text = formatBestOfN(SMALL, result);
    expect(text).toContain(`Best of N on Small, by ${method}`);
    expect(text).toContain("Left out: 2 items without one best answer among three or more");
  }
});

Deno.test("data without best answers are refused", async () => {
  const data = await dataOf(smallItems());
  await expect(
    measureBestOfN(SMALL, {
      data,
      judge: Baseline.longest(),
      directory: await mkdtemp(join(tmpdir(), "run-")),
    }),
  ).rejects.toThrow("has no item with one best answer among three or more");
});

Deno.test({
  name: "RMB's best-of-N queries have one best answer, and what the longest one finds is what counting says",
  ...needs("rmb"),
  async fn() {
    const data = join(DATA, "rmb");
    const { items: all } = await BENCHMARKS.rmb.load(data);
    const fit = all.filter(hasOneBest);
    expect(fit.length).toBeGreaterThan(100);
    expect(fit.every(({ subset }) => subset.startsWith("bon-"))).toBe(true);
    const result = await measureBestOfN(BENCHMARKS.rmb, {
      data,
      judge: Baseline.longest(),
      directory: "unused",
    });
    const sizes = fit.map(({ answers }) => answers.map(({ text }) => text.length));
    // Where several are the longest, the draw decides.
    const alone = sizes.filter(([best, ...others]) => best! > Math.max(...others)).length;
    const shared = sizes.filter(([best, ...others]) => best! >= Math.max(...others)).length;
    expect(result.overall.share * fit.length).toBeGreaterThanOrEqual(alone);
    expect(result.overall.share * fit.length).toBeLessThanOrEqual(shared + 1e-9);
    expect(result.method).toBe("scores");
  },
});
