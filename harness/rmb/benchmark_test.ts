import { expect } from "expect";
import { mkdir, mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeMalformed } from "../benchmark.ts";
import { figuresOf, repeated } from "../testing/estimates.ts";
import { DATA, needs } from "../testing/needs.ts";
import { RMB } from "./benchmark.ts";

/** Sections by the names in the published results. */
const PUBLISHED = {
  "pairwise-helpfulness": "Pairwise Helpfulness",
  "pairwise-harmlessness": "Pairwise Harmlessness",
  "bon-helpfulness": "BoN Helpfulness",
  "bon-harmlessness": "BoN Harmlessness",
} as const;

Deno.test(
  "published results are shares of the benchmark's items, and their mean",
  needs("rm-r1-results"),
  async () => {
    const judges = await readdir(join(DATA, "rm-r1-results"));
    expect(judges.length).toBeGreaterThan(0);
    for (const judge of judges) {
      const golden = JSON.parse(
        await readFile(join(DATA, "rm-r1-results", judge, "RMB", "META_RESULT.json"), "utf8"),
      );
      const outcomes = Object.entries(PUBLISHED).flatMap(([section, name]) => {
        const size = RMB.sizes![section]!;
        const right = Math.round(golden[name] * size);
        expect(Math.abs(right / size - golden[name])).toBeLessThan(1e-12);
        return [...repeated(section, right, 1), ...repeated(section, size - right, 0)];
      });
      const { overall, sections } = figuresOf(RMB, outcomes);
      for (const [section, name] of Object.entries(PUBLISHED)) {
        expect(Math.abs(sections[section]!.score - golden[name])).toBeLessThan(1e-12);
      }
      expect(Math.abs(overall.score - golden["Accuracy Averaged from Four Sections"])).toBeLessThan(1e-12);
    }
  },
);

Deno.test("RMB's own files load without a malformed record", needs("rmb"), async () => {
  const { items, malformed } = await RMB.load(join(DATA, "rmb"));
  expect(malformed).toEqual([]);
  expect(new Set(items.map(({ subset }) => subset))).toEqual(new Set(Object.keys(PUBLISHED)));
});

Deno.test("a best answer counts where it beats every other one", () => {
  const item = repeated("bon-helpfulness", 1, 1)[0]!.item;
  const of = (...pairs: number[]): number =>
    figuresOf(RMB, [{ item, pairs, scores: null }])?.overall.score ?? NaN;
  expect(of(1, 1, 1)).toBe(1);
  expect(of(1, 0.5, 1)).toBe(0);
  expect(of(0, NaN, 1)).toBe(0);
});

Deno.test("turns and models are kept, and a best-of-N without losers is named", async () => {
  const path = await mkdtemp(join(tmpdir(), "rmb-"));
  const folder = join(path, "BoN_set", "Harmlessness");
  await mkdir(folder, { recursive: true });
  const turns = ["user", "assistant", "user"].map((role, at) => ({ role, content: `t${at}`, language: "x" }));
  const answer = (name: string): object => ({ llm_name: name, answer: `of ${name}` });
  const record = {
    bon_uid: 7,
    conversation_input: turns,
    bon_best: answer("a"),
    loser_list: [answer("b"), answer("c")],
    category_path: "BoN_set/Harmlessness/S1",
  };
  await writeFile(
    join(folder, "S1.json"),
    JSON.stringify([record, { ...record, bon_uid: 8, loser_list: [] }]),
  );
  const { items, malformed } = await RMB.load(path);
  expect(items).toEqual([{
    key: "bon-harmlessness:7",
    subset: "bon-harmlessness",
    conversation: turns.map(({ role, content }) => ({ role, content })),
    answers: ["a", "b", "c"].map((name) => ({ text: `of ${name}`, source: name })),
    pairs: [[0, 1], [0, 2]],
  }]);
  expect(malformed.map(describeMalformed)).toEqual([
    'file "BoN_set/Harmlessness/S1.json", record 1, field "loser_list": found "[]", expected at least one answer',
  ]);
});
