/**
 * RM-Bench (Liu et al. 2024, arXiv:2410.16184).
 *
 * @module
 */
import { basename } from "node:path";
import * as z from "zod";
import type { BenchItem, Benchmark, Figures, Row, SubsetSums } from "../benchmark.ts";
import { filledText, loadSet, recordId } from "../records.ts";

/**
 * Which cells count as what.
 *
 * - `standard`: the paper's. hard = (M01 + M02 + M12)/3, normal = the diagonal, easy = (M10 + M20 + M21)/3.
 * - `released`: the evaluation script released with RM-R1 reads one of its three result files twice, so that M02, M10
 *   and M21 also stand in for M01, M12 and M20. hard = (2·M02 + M10)/3, easy = (M10 + 2·M21)/3.
 */
export type RmBenchRule = "standard" | "released";

/** All rules. */
export const RM_BENCH_RULES: readonly RmBenchRule[] = ["standard", "released"];

/** For each cell of the matrix, row by row, the cell that is read in its place. */
const READ: Readonly<Record<RmBenchRule, readonly number[]>> = {
  standard: [0, 1, 2, 3, 4, 5, 6, 7, 8],
  released: [0, 2, 2, 3, 4, 3, 7, 7, 8],
};

/**
 * The cells of each level: the better answer's style is plainer than, equal to or more elaborate than the worse one's.
 */
const LEVELS: Readonly<Record<string, readonly number[]>> = {
  hard: [1, 2, 5],
  normal: [0, 4, 8],
  easy: [3, 6, 7],
};

const SIZES: Readonly<Record<string, number>> = {
  "chat": 129,
  "math": 529,
  "code": 228,
  "safety-refuse": 284,
  "safety-response": 157,
};

/** The two sets of safety are pooled. */
const DOMAINS: Readonly<Record<string, readonly string[]>> = {
  chat: ["chat"],
  math: ["math"],
  code: ["code"],
  safety: ["safety-refuse", "safety-response"],
};

const STYLES = 3;
/** The largest gap that rounding may leave between two routes to the same mean. */
const ROUNDING = 1e-9;

const ANSWERS = z.array(filledText, { error: "an array of 3 texts" }).length(STYLES, "an array of 3 texts");
const RECORD = z.object({ id: recordId, prompt: filledText, chosen: ANSWERS, rejected: ANSWERS });
const NAMED = RECORD.extend({
  domain: z.enum(Object.keys(SIZES), { error: `one of ${Object.keys(SIZES).join(", ")}` }),
});

type Read = z.output<typeof RECORD> & { readonly domain?: string };

/** The subset whose own file this is. */
function subsetOf(file: string): string | undefined {
  return Object.keys(SIZES).find((name) => basename(file) === `${name}_filtered.json`);
}

/** Answers: the better ones by style (concise, detailed plain, detailed markdown), then the worse ones. */
function itemOf({ id, prompt, chosen, rejected, domain }: Read, file: string): BenchItem {
  const subset = subsetOf(file) ?? domain!;
  return {
    key: `${subset}:${id}`,
    subset,
    conversation: [{ role: "user", content: prompt }],
    answers: [...chosen, ...rejected].map((text) => ({ text })),
    pairs: chosen.flatMap((_, i) => rejected.map((_, j) => [i, STYLES + j] as const)),
  };
}

function meanOfKnown(values: readonly number[]): number {
  const known = values.filter((value) => !Number.isNaN(value));
  return known.reduce((sum, value) => sum + value, 0) / known.length;
}

/** The measure that rows have whose nine cells were all read. */
const WHOLE = 4;

/** Pooled mean of a measure. */
function pooled(sums: readonly SubsetSums[], measure: number): number {
  const total = (of: "sums" | "counts"): number => sums.reduce((sum, each) => sum + each[of][measure]!, 0);
  return total("sums") / total("counts");
}

/**
 * Domains as sections, levels beside them; overall is the mean of the domains.
 *
 * @throws {Error} Every cell was read, and yet the mean of the domains is not that of the levels: a fault of this
 * software.
 */
function figures(subsets: ReadonlyMap<string, SubsetSums>): Figures {
  const domains = Object.entries(DOMAINS).map(([name, of]) =>
    [name, of.flatMap((subset) => subsets.get(subset) ?? [])] as const
  ).filter(([, sums]) => sums.length > 0);
  const mean = (measure: number): number =>
    domains.reduce((sum, [, each]) => sum + pooled(each, measure), 0) / domains.length;
  const levels = Object.keys(LEVELS).map((name, at) => [name, mean(1 + at)] as const);
  const overall = mean(0);
  const isWhole = domains.every(([, sums]) => sums.every(({ counts }) => counts[WHOLE] === counts[0]));
  const gap = Math.abs(overall - levels.reduce((sum, [, value]) => sum + value, 0) / levels.length);
  if (isWhole && !(gap <= ROUNDING)) {
    throw new Error(`Mean of the domains and of the levels differ by "${gap}", expected 0`);
  }
  return {
    overall,
    sections: Object.fromEntries(domains.map(([name, sums]) => [name, pooled(sums, 0)])),
    levels: Object.fromEntries(levels),
    sectionLevels: Object.fromEntries(
      domains.map(([name, sums]) => [
        name,
        Object.fromEntries(Object.keys(LEVELS).map((level, at) => [level, pooled(sums, 1 + at)])),
      ]),
    ),
  };
}

/** RM-Bench by a rule. */
export function rmBench(rule: RmBenchRule = "standard"): Benchmark {
  return {
    name: "rm-bench",
    title: rule === "standard" ? "RM-Bench" : `RM-Bench by the rule "${rule}"`,
    rule,
    sizes: SIZES,
    upstream: { rule: "upstream-eval", errors: "wrong" },
    sectionsOf: () => DOMAINS,
    load: (path) =>
      loadSet<Read>(path, {
        title: "RM-Bench",
        accepts: (file) => subsetOf(file) !== undefined,
        expected: `one or more of ${Object.keys(SIZES).map((name) => `${name}_filtered.json`).join(", ")}`,
        schemaOf: (file) => subsetOf(file) === undefined ? NAMED : RECORD,
        itemOf,
      }),
    rows: (outcomes) =>
      outcomes.map(({ item: { subset }, pairs }): Row => {
        const read = READ[rule].map((cell) => pairs[cell]!);
        const levels = Object.values(LEVELS).map((cells) => meanOfKnown(cells.map((cell) => read[cell]!)));
        const whole = pairs.some(Number.isNaN) ? NaN : 1;
        return { subset, measures: [meanOfKnown(read), ...levels, whole] };
      }),
    figures,
  };
}
