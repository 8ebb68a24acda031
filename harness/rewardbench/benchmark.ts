/**
 * RewardBench (Lambert et al. 2024, arXiv:2403.13787).
 *
 * @module
 */
import { basename } from "node:path";
import * as z from "zod";
import { type BenchItem, type Benchmark, meanOf } from "../benchmark.ts";
import { PAIR_RECORD, type PairRecord } from "../preferences/benchmark.ts";
import { type Fault, filledText, loadSet, optionalName, recordId } from "../records.ts";
import { PRIOR_SETS, PRIOR_SIZES, priorItem, priorSetOf } from "./prior_sets.ts";

interface Subset {
  readonly section: string;
  readonly items: number;
  /** In its section's mean; default the number of items. */
  readonly weight?: number;
}

const CODE = ["cpp", "go", "java", "js", "python", "rust"];

/** The 23 subsets, as upstream's `EXAMPLE_COUNTS` and `SUBSET_MAPPING` have them. */
const SUBSETS: Readonly<Record<string, Subset>> = {
  "alpacaeval-easy": { section: "Chat", items: 100 },
  "alpacaeval-length": { section: "Chat", items: 95 },
  "alpacaeval-hard": { section: "Chat", items: 95 },
  "mt-bench-easy": { section: "Chat", items: 28 },
  "mt-bench-med": { section: "Chat", items: 40 },
  "mt-bench-hard": { section: "Chat Hard", items: 37 },
  "llmbar-natural": { section: "Chat Hard", items: 100 },
  "llmbar-adver-neighbor": { section: "Chat Hard", items: 134 },
  "llmbar-adver-GPTInst": { section: "Chat Hard", items: 92 },
  "llmbar-adver-GPTOut": { section: "Chat Hard", items: 47 },
  "llmbar-adver-manual": { section: "Chat Hard", items: 46 },
  "refusals-dangerous": { section: "Safety", items: 100 },
  "refusals-offensive": { section: "Safety", items: 100 },
  "xstest-should-refuse": { section: "Safety", items: 154 },
  "xstest-should-respond": { section: "Safety", items: 250 },
  "donotanswer": { section: "Safety", items: 136 },
  // Upstream weighs math-prm as much as the six of code together.
  "math-prm": { section: "Reasoning", items: 447, weight: 984 },
  ...Object.fromEntries(CODE.map((name) => [`hep-${name}`, { section: "Reasoning", items: 164 }])),
};

const SECTIONS = ["Chat", "Chat Hard", "Safety", "Reasoning"];

/** LLMBar's own files that are subsets of Chat Hard (Zeng et al. 2024, arXiv:2310.07641). */
const LLMBAR: Readonly<Record<string, string>> = {
  "Natural.json": "llmbar-natural",
  "Adversarial_Neighbor.json": "llmbar-adver-neighbor",
  "Adversarial_GPTInst.json": "llmbar-adver-GPTInst",
  "Adversarial_GPTOut.json": "llmbar-adver-GPTOut",
  "Adversarial_Manual.json": "llmbar-adver-manual",
};

const RECORD = z.object({
  id: recordId,
  prompt: filledText,
  chosen: filledText,
  rejected: filledText,
  subset: z.enum(Object.keys(SUBSETS), { error: "one of the 23 subsets" }),
  chosen_model: optionalName,
  rejected_model: optionalName,
}).transform(({ prompt, ...record }) => ({
  ...record,
  prompt,
  chosen: { text: record.chosen, source: record.chosen_model },
  rejected: { text: record.rejected, source: record.rejected_model },
}));

/** LLMBar's form: `label` says which of two outputs is the better one. */
const LLMBAR_RECORD = z.object({
  input: filledText,
  output_1: filledText,
  output_2: filledText,
  label: z.union([z.literal(1), z.literal(2)], { error: "1 or 2" }),
}).transform(({ input, output_1, output_2, label }) => {
  const outputs = [{ text: output_1, source: undefined }, { text: output_2, source: undefined }];
  const [chosen, rejected] = label === 1 ? outputs : outputs.toReversed();
  return { id: null, subset: null, prompt: input, chosen: chosen!, rejected: rejected! };
});

interface Answer {
  readonly text: string;
  readonly source: string | undefined;
}

interface Read {
  readonly id: string | null;
  readonly subset: string | null;
  readonly prompt: string;
  readonly chosen: Answer;
  readonly rejected: Answer;
}

function itemOf(
  { id, subset, prompt, chosen, rejected }: Read,
  file: string,
  index: number,
): BenchItem | Fault {
  const name = subset ?? LLMBAR[basename(file)]!;
  return {
    key: `${name}:${id ?? index}`,
    subset: name,
    conversation: [{ role: "user", content: prompt }],
    answers: [chosen, rejected].map(({ text, source }) => ({
      text,
      ...(source !== undefined && { source }),
    })),
    pairs: [[0, 1]],
  };
}

function subsetsOf(section: string): string[] {
  return Object.keys(SUBSETS).filter((name) => SUBSETS[name]!.section === section);
}

/**
 * Which sections count.
 *
 * - `core`: the four, each as much as the others.
 * - `prior-sets`: the test sets before RewardBench as a fifth section, half as much as each of the others, as on its
 *   first leaderboard (upstream's `analysis/get_benchmark_results.py`).
 */
export type RewardBenchRule = "core" | "prior-sets";

/** All rules. */
export const REWARDBENCH_RULES: readonly RewardBenchRule[] = ["core", "prior-sets"];

/** Weight of the fifth section, the others' being 1. */
const PRIOR_WEIGHT = 0.5;

/** What a file holds. */
type FileRecord = { readonly core: Read } | { readonly prior: PairRecord };

const CORE_FILE: z.ZodType<FileRecord> = RECORD.transform((core) => ({ core }));
const LLMBAR_FILE: z.ZodType<FileRecord> = LLMBAR_RECORD.transform((core) => ({ core }));
const PRIOR_FILE: z.ZodType<FileRecord> = PAIR_RECORD.transform((prior) => ({ prior }));

function schemaOf(file: string): z.ZodType<FileRecord> {
  if (basename(file) in LLMBAR) return LLMBAR_FILE;
  return priorSetOf(file) === undefined ? CORE_FILE : PRIOR_FILE;
}

/** Other files that lie beside upstream's own: its `raw` split, LLMBar's other files, sets that are not counted. */
const OTHERS = /^(raw|Processed_|Adversarial_|Natural|summarize_prompted|mtbench_|pku_)/;

/**
 * RewardBench: a section is the mean of its subsets by upstream's weights, overall the mean of the sections. Upstream's
 * own files (`filtered`, not `raw`), or LLMBar's, which are a part of Chat Hard; for `prior-sets` those of
 * `preference-test-sets` beside them, named by their set.
 */
export function rewardBench(rule: RewardBenchRule = "core"): Benchmark {
  const hasPrior = rule === "prior-sets";
  const subsets = {
    ...Object.fromEntries(SECTIONS.map((section) => [section, subsetsOf(section)])),
    ...(hasPrior && { [PRIOR_SETS]: Object.keys(PRIOR_SIZES) }),
  };
  const core = Object.fromEntries(Object.entries(SUBSETS).map(([name, { items }]) => [name, items]));
  return {
    name: "rewardbench",
    title: hasPrior ? "RewardBench with Prior Sets" : "RewardBench",
    rule,
    sizes: hasPrior ? { ...core, ...PRIOR_SIZES } : core,
    upstream: { rule: "rewardbench", errors: "tie" },
    sectionsOf: () => subsets,
    load: (path) =>
      loadSet<FileRecord>(path, {
        title: "RewardBench",
        accepts: (file) => {
          if (basename(file) in LLMBAR) return true;
          return !OTHERS.test(basename(file)) && (hasPrior || priorSetOf(file) === undefined);
        },
        expected: "its records as Parquet, JSON or JSON Lines, or LLMBar's files",
        schemaOf,
        itemOf: (record, file, index) =>
          "core" in record ? itemOf(record.core, file, index) : priorItem(record.prior, file, index),
      }),
    rows: (outcomes) => outcomes.map(({ item, pairs }) => ({ subset: item.subset, measures: [pairs[0]!] })),
    figures: (found) => {
      const sections = Object.entries(subsets).flatMap(([section, names]): [string, number][] => {
        const present = names.filter((name) => found.has(name));
        if (present.length === 0) return [];
        return [[section, weightedMean(present.map((name) => [meanOf(found.get(name)!), weightOf(name)]))]];
      });
      const overall = weightedMean(
        sections.map(([section, score]) => [score, section === PRIOR_SETS ? PRIOR_WEIGHT : 1]),
      );
      return { overall, sections: Object.fromEntries(sections) };
    },
  };
}

/** In its section's mean; the prior sets count alike. */
function weightOf(name: string): number {
  const subset = SUBSETS[name];
  return subset === undefined ? 1 : subset.weight ?? subset.items;
}

function weightedMean(values: readonly (readonly [value: number, weight: number])[]): number {
  const whole = values.reduce((sum, [, weight]) => sum + weight, 0);
  return values.reduce((sum, [value, weight]) => sum + value * weight, 0) / whole;
}
