/**
 * A benchmark for tests: two sections of pairs, read from a JSON file of items.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { type BenchItem, type Benchmark, meanOf } from "../benchmark.ts";

/** Overall is the mean of the subsets, each a section. */
export const SMALL: Benchmark = {
  name: "preferences",
  title: "Small",
  sizes: { first: 2, second: 3 },
  sectionsOf: (subsets) => Object.fromEntries(subsets.map((subset) => [subset, [subset]])),
  load: async (path) => ({
    items: JSON.parse(await readFile(path, "utf8")),
    malformed: [],
    files: { "items.json": "0" },
  }),
  rows: (outcomes) =>
    outcomes.map(({ item, pairs }) => ({
      subset: item.subset,
      measures: [pairs.reduce((sum, value) => sum + value, 0) / pairs.length],
    })),
  figures: (subsets) => {
    const sections = [...subsets].map(([name, sums]): [string, number] => [name, meanOf(sums)]);
    const overall = sections.reduce((sum, [, score]) => sum + score, 0) / sections.length;
    return { overall, sections: Object.fromEntries(sections) };
  },
};

/** Items with one pair each, the better answer "better KEY". */
export function smallItems(sizes: Readonly<Record<string, number>> = SMALL.sizes!): BenchItem[] {
  return Object.entries(sizes).flatMap(([subset, size]) =>
    Array.from({ length: size }, (_, index) => ({
      key: `${subset}:${index}`,
      subset,
      conversation: [{ role: "user" as const, content: `question ${subset} ${index}` }],
      answers: [{ text: `better ${index}` }, { text: `worse ${index}` }],
      pairs: [[0, 1] as const],
    }))
  );
}
