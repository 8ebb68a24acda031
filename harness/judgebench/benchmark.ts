/**
 * JudgeBench (Tan et al. 2024, arXiv:2410.12784).
 *
 * @module
 */
import * as z from "zod";
import type { BenchItem, Benchmark } from "../benchmark.ts";
import { microFigures } from "../micro.ts";
import { filledText, loadSet, optionalName, recordId } from "../records.ts";

const MMLU_PRO = [
  "biology",
  "business",
  "chemistry",
  "computer science",
  "economics",
  "engineering",
  "health",
  "history",
  "law",
  "math",
  "other",
  "philosophy",
  "physics",
  "psychology",
];

/** Of the half whose answers are GPT-4o's, which published figures are of. */
const SIZES: Readonly<Record<string, number>> = {
  ...Object.fromEntries(MMLU_PRO.map((name) => [`mmlu-pro-${name}`, 11])),
  "livebench-reasoning": 98,
  "livebench-math": 56,
  "livecodebench": 42,
};

const RECORD = z.object({
  pair_id: recordId,
  source: filledText,
  question: filledText,
  response_model: optionalName,
  response_A: filledText,
  response_B: filledText,
  label: z.enum(["A>B", "B>A"], { error: '"A>B" or "B>A"' }),
});

type Read = z.output<typeof RECORD>;

/** Both answers are of one model, so that a source would tell nothing. */
function itemOf({ pair_id, source, question, response_A, response_B, label }: Read): BenchItem {
  const answers = [{ text: response_A }, { text: response_B }];
  return {
    key: pair_id,
    subset: source,
    conversation: [{ role: "user", content: question }],
    answers,
    pairs: [label === "A>B" ? [0, 1] : [1, 0]],
  };
}

/**
 * JudgeBench: accuracy over all pairs, and by source. A pair that is judged in both orders is right where more of its
 * judgements are right than wrong.
 */
export const JUDGEBENCH: Benchmark = {
  name: "judgebench",
  title: "JudgeBench",
  sizes: SIZES,
  orderRule: "sign",
  upstream: { rule: "upstream-eval", errors: "tie" },
  sectionsOf: (subsets) => Object.fromEntries(subsets.map((name) => [name, [name]])),
  load: (path) =>
    loadSet<Read>(path, {
      title: "JudgeBench",
      accepts: () => true,
      expected: "its records as JSON Lines, JSON or Parquet",
      schemaOf: () => RECORD,
      itemOf,
    }),
  rows: (outcomes) => outcomes.map(({ item, pairs }) => ({ subset: item.subset, measures: [pairs[0]!] })),
  figures: microFigures,
};
