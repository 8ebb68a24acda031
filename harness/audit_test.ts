import { expect } from "expect";
import type { BenchItem, ItemOutcome } from "./benchmark.ts";
import { auditOf, countMarks } from "./audit.ts";

function itemOf(key: string, better: string, worse: string): BenchItem {
  return {
    key,
    subset: "s",
    conversation: [],
    answers: [{ text: better }, { text: worse }],
    pairs: [[0, 1]],
  };
}

Deno.test("marks of Markdown are counted, and what only looks like them is not", () => {
  expect(
    countMarks(
      "# Title\n\n- one\n- two\n1. three\n**bold** and __strong__\n```\ncode\n```\n| a | b |\n> said",
    ),
  ).toBe(10);
  expect(countMarks("a - b, 3 * 4, x # y, 2 ** 3, snake__case, a | b")).toBe(0);
});

Deno.test("accuracy is told apart by length and by looks, over all orders", () => {
  const items = [
    itemOf("short", "yes", "no, and again no"),
    itemOf("long", "yes, certainly so", "no"),
    itemOf("equal", "yes", "noo"),
    itemOf("rich", "- a\n- b", "ab cd efg"),
    itemOf("emoji", "👍👍", "abc"),
  ];
  const judging = (values: readonly number[]): ItemOutcome[] =>
    items.map((item, at) => ({ item, pairs: [values[at]!], scores: null }));
  const { length, style } = auditOf([judging([1, 1, 0, 0, 1]), judging([0, 1, 0, 1, 1])]);
  expect(length.shorter).toMatchObject({ pairs: 3, accuracy: { score: (0.5 + 0.5 + 1) / 3 } });
  expect(length.longer).toMatchObject({ pairs: 1, accuracy: { score: 1 } });
  expect(length.equal).toMatchObject({ pairs: 1, accuracy: { score: 0 } });
  expect(style.richer).toMatchObject({ pairs: 1, accuracy: { score: 0.5 } });
  expect(style.plainer).toEqual({ pairs: 0, accuracy: null });
  expect(style.equal.pairs).toBe(4);
});

Deno.test("pairs of one item are one trial of the interval", () => {
  const item: BenchItem = {
    ...itemOf("many", "a", "bb"),
    answers: Array.from({ length: 6 }, (_, at) => ({ text: "x".repeat(at + 1) })),
    pairs: [0, 1, 2].flatMap((better) => [3, 4, 5].map((worse) => [better, worse] as const)),
  };
  const { length } = auditOf([[{ item, pairs: Array(9).fill(1), scores: null }]]);
  expect(length.shorter.pairs).toBe(9);
  expect(length.shorter.accuracy!.low!).toBeLessThan(0.25);
});
