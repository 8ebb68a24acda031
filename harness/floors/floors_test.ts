import { expect } from "expect";
import type { BenchItem } from "../benchmark.ts";
import type { ScoredItem } from "../outcomes.ts";
import { bagOfWordsScores } from "./bag_of_words.ts";
import { foldsOf } from "./folds.ts";
import { sourceOnlyScores } from "./source_only.ts";

function itemsOf(count: number, textOf: (at: number) => readonly [string, string]): BenchItem[] {
  return Array.from({ length: count }, (_, at) => {
    const [better, worse] = textOf(at);
    return {
      key: String(at),
      subset: "s",
      conversation: [{ role: "user", content: `question ${at}` }],
      answers: [{ text: better, source: `good-${at % 3}` }, { text: worse, source: `bad-${at % 3}` }],
      pairs: [[0, 1]],
    };
  });
}

function accuracy(scored: readonly ScoredItem[]): number {
  const right = scored.filter(({ scores: [better, worse] }) => better! > worse!).length;
  return right / scored.length;
}

Deno.test("words that better answers have are found, also where the answers are as long", () => {
  const items = itemsOf(200, (at) => [`number ${at} is certainly so`, `number ${at} is perhaps so`]);
  expect(accuracy(bagOfWordsScores(items, 0))).toBe(1);
  expect(bagOfWordsScores(items, 0)).toEqual(bagOfWordsScores(items, 0));
});

Deno.test("nothing is learnt from an item's own conversation", () => {
  // Each better answer's words are its own: only who has seen the item itself can know them.
  const items = itemsOf(
    300,
    (at) => [`alpha${at} beta${at} gamma${at}`, `delta${at} epsilon${at} zeta${at}`],
  );
  const scored = bagOfWordsScores(
    [...items, ...items.map((item) => ({ ...item, key: `${item.key} again` }))],
    1,
  );
  expect(accuracy(scored)).toBeLessThan(0.1);
  const folds = foldsOf([...items, ...items], 1);
  expect(folds.slice(0, 300)).toEqual(folds.slice(300));
  expect(new Set(folds).size).toBe(5);
});

Deno.test("a source is worth what its other answers won", () => {
  const items = itemsOf(120, (at) => [`x${at}`, `y${at}`]);
  expect(accuracy(sourceOnlyScores(items, 0)!)).toBe(1);
  const random = items.map((item, at) => ({
    ...item,
    answers: item.answers.map((answer) => ({ ...answer, source: `model-${at}` })),
  }));
  expect(accuracy(sourceOnlyScores(random, 0)!)).toBe(0);
  const [first, ...rest] = items;
  expect(sourceOnlyScores([{ ...first!, answers: [{ text: "a" }, { text: "b" }] }, ...rest], 0)).toBeNull();
});
