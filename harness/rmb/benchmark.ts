/**
 * RMB (Zhou et al. 2024, arXiv:2410.09893).
 *
 * @module
 */
import * as z from "zod";
import { type BenchItem, type Benchmark, meanOf, winsAll } from "../benchmark.ts";
import { type Fault, filledText, loadSet, messages, recordId } from "../records.ts";

const SECTIONS: Readonly<Record<string, number>> = {
  "pairwise-helpfulness": 10_067,
  "pairwise-harmlessness": 7_064,
  "bon-helpfulness": 2_109,
  "bon-harmlessness": 1_677,
};

const ANSWER = z.object({ llm_name: z.string({ error: "a text" }), answer: filledText }, {
  error: "an object with llm_name and answer",
}).transform(({ llm_name, answer }) => ({ text: answer, source: llm_name }));

const COMMON = {
  conversation_input: messages,
  category_path: z.string({ error: "a text" }),
};

const PAIR = z.object({ pair_uid: recordId, chosen: ANSWER, reject: ANSWER, ...COMMON }).transform((
  record,
) => ({
  uid: record.pair_uid,
  category: record.category_path,
  conversation: record.conversation_input,
  best: record.chosen,
  losers: [record.reject],
}));

const BEST_OF_N = z.object({
  bon_uid: recordId,
  bon_best: ANSWER,
  loser_list: z.array(ANSWER, { error: "an array of answers" }).min(1, "at least one answer"),
  ...COMMON,
}).transform((record) => ({
  uid: record.bon_uid,
  category: record.category_path,
  conversation: record.conversation_input,
  best: record.bon_best,
  losers: record.loser_list,
}));

type Read = z.output<typeof PAIR>;

/** The section that a file is of by its path, or a record by its category. */
function sectionOf(path: string): string | null {
  const [, set, goal] = /(Pairwise|BoN)_set\/(Helpfulness|Harmlessness)/i.exec(path) ?? [];
  return set === undefined ? null : `${set.toLowerCase()}-${goal!.toLowerCase()}`;
}

function itemOf({ uid, category, conversation, best, losers }: Read, file: string): BenchItem | Fault {
  const section = sectionOf(category) ?? sectionOf(file);
  if (section === null) {
    return {
      field: "category_path",
      value: `"${category}"`,
      expected: "a path with Pairwise_set or BoN_set and Helpfulness or Harmlessness",
    };
  }
  return {
    key: `${section}:${uid}`,
    subset: section,
    conversation,
    answers: [best, ...losers],
    pairs: losers.map((_, index) => [0, index + 1]),
  };
}

/**
 * RMB: pairwise accuracy, and the share of queries whose best answer beats every other one; overall is the mean of the
 * four sections.
 */
export const RMB: Benchmark = {
  name: "rmb",
  title: "RMB",
  sizes: SECTIONS,
  upstream: { rule: "upstream-eval", errors: "wrong" },
  sectionsOf: () => Object.fromEntries(Object.keys(SECTIONS).map((name) => [name, [name]])),
  load: (path) =>
    loadSet<Read>(path, {
      title: "RMB",
      accepts: (file) => sectionOf(file) !== null,
      expected: "the folders Pairwise_set and BoN_set with Helpfulness and Harmlessness",
      schemaOf: (file) => /BoN_set/i.test(file) ? BEST_OF_N : PAIR,
      itemOf,
    }),
  rows: (outcomes) =>
    outcomes.map(({ item, pairs }) => ({ subset: item.subset, measures: [winsAll(pairs)] })),
  figures: (subsets) => {
    const sections = Object.keys(SECTIONS).filter((name) => subsets.has(name)).map((
      name,
    ): [string, number] => [name, meanOf(subsets.get(name)!)]);
    const overall = sections.reduce((sum, [, score]) => sum + score, 0) / sections.length;
    return { overall, sections: Object.fromEntries(sections) };
  },
};
