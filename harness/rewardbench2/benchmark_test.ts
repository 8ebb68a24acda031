import { expect } from "expect";
import fc from "fast-check";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BenchItem, describeMalformed, type ItemOutcome } from "../benchmark.ts";
import { figuresOf } from "../testing/estimates.ts";
import { REWARDBENCH_2, tiesScore } from "./benchmark.ts";

async function load(records: readonly object[]): ReturnType<typeof REWARDBENCH_2.load> {
  const path = join(await mkdtemp(join(tmpdir(), "rewardbench-2-")), "test.json");
  await writeFile(path, JSON.stringify(records));
  return await REWARDBENCH_2.load(path);
}

function record(id: string, subset: string, right: number, wrong: number): object {
  const texts = (count: number, kind: string): string[] =>
    Array.from({ length: count }, (_, at) => `${kind} ${at}`);
  return {
    id,
    prompt: "q",
    chosen: texts(right, "right"),
    rejected: texts(wrong, "wrong"),
    num_correct: right,
    subset,
  };
}

function scored(item: BenchItem, scores: readonly number[]): ItemOutcome {
  const pairs = item.pairs.map(([better, worse]) => scores[better]! > scores[worse]! ? 1 : 0);
  return { item, pairs, scores };
}

const { items: [math, ref, tied] } = await load([
  record("1", "Math", 1, 3),
  record("ref:9", "Ties", 1, 2),
  record("tied:9", "Ties", 3, 2),
]);

Deno.test("the best of four is shared among the highest scores", () => {
  const of = (...scores: number[]): number => figuresOf(REWARDBENCH_2, [scored(math!, scores)]).overall.score;
  expect(of(4, 1, 2, 3)).toBe(1);
  expect(of(4, 4, 2, 4)).toBe(1 / 3);
  expect(of(3, 4, 2, 1)).toBe(0);
  const byPairs = { item: math!, pairs: [1, 1, 0], scores: null };
  expect(figuresOf(REWARDBENCH_2, [byPairs]).overall.score).toBe(0);
});

Deno.test("ties by hand", () => {
  // Right answers 8, 9, 9 and wrong ones 1, 2: spread 1, margin 6; the reference 7 over 3: margin 4.
  const outcomes = [scored(ref!, [7, 3, 1]), scored(tied!, [8, 9, 9, 1, 2])];
  const expected = 0.3 + 0.3 + 0.2 + 0.2 + 0.01 * Math.tanh(4 / 1 - 1);
  expect(figuresOf(REWARDBENCH_2, outcomes).sections["Ties"]!.score).toBeCloseTo(expected, 12);
  // All right answers alike: tanh of infinity is 1.
  const alike = [scored(ref!, [7, 3, 1]), scored(tied!, [9, 9, 9, 1, 2])];
  expect(figuresOf(REWARDBENCH_2, alike).overall.score).toBeCloseTo(1 + 0.01, 12);
  const below = [scored(ref!, [7, 3, 1]), scored(tied!, [1, 1, 1, 9, 2])];
  expect(figuresOf(REWARDBENCH_2, below).overall.score).toBeCloseTo(0.3 - 0.01, 12);
  // Nothing told apart: every margin is 0, and so is the term.
  const flat = [scored(ref!, [1, 1, 1]), scored(tied!, [1, 1, 1, 1, 1])];
  expect(figuresOf(REWARDBENCH_2, flat).overall.score).toBeCloseTo(0, 12);
});

Deno.test("ties do not depend on the scale of the scores, nor on their order among equals", () => {
  const score = fc.integer({ min: 0, max: 9 });
  const list = (length: number): fc.Arbitrary<number[]> =>
    fc.array(score, { minLength: length, maxLength: length });
  fc.assert(fc.property(list(3), list(5), fc.integer({ min: 1, max: 7 }), (first, second, scale) => {
    const of = (factor: number): number =>
      figuresOf(REWARDBENCH_2, [
        scored(ref!, first.map((value) => value * factor)),
        scored(tied!, second.map((value) => value * factor)),
      ]).overall.score;
    expect(of(scale)).toBeCloseTo(of(1), 12);
  }));
});

Deno.test("a perfect judge of pairs has all of ties but for the margin", () => {
  const perfect = [ref!, tied!].map((item) => ({ item, pairs: item.pairs.map(() => 1), scores: null }));
  expect(figuresOf(REWARDBENCH_2, perfect).overall.score).toBeCloseTo(1 + 0.01, 12);
  const wrong = [ref!, tied!].map((item) => ({ item, pairs: item.pairs.map(() => 0), scores: null }));
  expect(figuresOf(REWARDBENCH_2, wrong).overall.score).toBeLessThan(0);
  expect(tiesScore({ accurate: 1, amongRight: 0, toWrong: 1 }, { accurate: 1, amongRight: 4, toWrong: 1 }))
    .toBeCloseTo(
      0.6 + 0.01 * Math.tanh(1 / 4 - 1),
      12,
    );
});

Deno.test("a question of ties without its other record has no row, and an id of neither form is named", async () => {
  expect(REWARDBENCH_2.rows([scored(ref!, [7, 3, 1])])).toEqual([]);
  const { items, malformed } = await load([record("9", "Ties", 1, 2), record("ref:1", "Ties", 1, 2)]);
  expect(items.length).toBe(1);
  expect(malformed.map(describeMalformed)).toEqual([
    'file "test.json", record 0, field "id": found "9", expected an id "ref:ID" or "tied:ID"',
  ]);
});
