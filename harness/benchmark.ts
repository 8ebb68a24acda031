/**
 * What a benchmark is to this harness: items with answers, the pairs that are compared, and how comparisons become
 * figures.
 *
 * @module
 */
import type { VerdictRule } from "rm-r1/cor";
import type { Message } from "rm-r1/engine";

/** Names of the benchmarks, as the command line has them. */
export type BenchmarkName =
  | "rewardbench"
  | "rewardbench-2"
  | "rm-bench"
  | "rmb"
  | "judgebench"
  | "preferences";

/** An answer to an item's conversation. */
export interface BenchAnswer {
  readonly text: string;
  /** The model that wrote it, where the data name it. */
  readonly source?: string;
}

/** A question with its answers. */
export interface BenchItem {
  /** Unique in the benchmark. */
  readonly key: string;
  readonly subset: string;
  /** The conversation so far; its last message is the user's. */
  readonly conversation: readonly Message[];
  readonly answers: readonly BenchAnswer[];
  /** Several answers may be equally right, as in RewardBench 2's Ties. */
  readonly manyRight?: true;
  /** What is compared: indices of the better and the worse answer. */
  readonly pairs: readonly (readonly [better: number, worse: number])[];
}

/** A record that is left out, and why. */
export interface MalformedRecord {
  readonly file: string;
  /** From 0. */
  readonly index: number;
  /** Path of the field, "" for the whole record. */
  readonly field: string;
  /** The field's value in quotation marks, shortened; `nothing` where it is missing. */
  readonly value: string;
  readonly expected: string;
}

/** What {@link Benchmark.load} read. */
export interface BenchSet {
  readonly items: readonly BenchItem[];
  /** Records that are left out. */
  readonly malformed: readonly MalformedRecord[];
  /** SHA-256 of each file that was read, by its path within the data. */
  readonly files: Readonly<Record<string, string>>;
}

/** How an item's comparisons came out in one judging: each pair in one order. */
export interface ItemOutcome {
  readonly item: BenchItem;
  /**
   * Of each pair, 1 where the better answer won and 0 where it did not; what could not be read is 0, 0.5 or NaN as the
   * treatment of failures has it. NaN leaves it out.
   */
  readonly pairs: readonly number[];
  /** Of each answer, from a judge that rates each alone, null where it could not; null from a judge of pairs. */
  readonly scores: readonly (number | null)[] | null;
}

/**
 * A row of the bootstrap: what is drawn together. Usually an item, but a benchmark may join items whose figures belong
 * together.
 */
export interface Row {
  readonly subset: string;
  /** Measures, as many for every row of a benchmark; the first is the row's score. NaN has no part in the measure. */
  readonly measures: readonly number[];
}

/** A subset's rows: of each measure the sum, and the number of rows that have it. */
export interface SubsetSums {
  readonly sums: Float64Array;
  readonly counts: Float64Array;
}

/** What a benchmark's rows come to. Shares of 1. */
export interface Figures {
  readonly overall: number;
  /** In the benchmark's order; of sections that have rows. */
  readonly sections: Readonly<Record<string, number>>;
  /** Means of all sections by level, where the benchmark has levels, as RM-Bench's hard, normal and easy. */
  readonly levels?: Readonly<Record<string, number>>;
  /** Of each section its levels, where there are some. */
  readonly sectionLevels?: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

/** A benchmark. */
export interface Benchmark {
  readonly name: BenchmarkName;
  /** As its authors write it. */
  readonly title: string;
  /** How its figures follow from the comparisons, where several ways have names. */
  readonly rule?: string;
  /** Items of the whole benchmark by subset, in its order; null for a set of the user's own. */
  readonly sizes: Readonly<Record<string, number>> | null;
  /**
   * How both orders of a pair make one outcome, where the benchmark has a rule of its own; by default each order is a
   * judging, and figures are their mean. `sign`: right where more orders are right than wrong.
   */
  readonly orderRule?: "sign";
  /** How the scripts that published figures for judges of pairs read verdicts, and what an error is worth there. */
  readonly upstream?: { readonly rule: VerdictRule; readonly errors: "wrong" | "tie" };
  /** Subsets of each section, in the benchmark's order. */
  sectionsOf(subsets: readonly string[]): Readonly<Record<string, readonly string[]>>;
  /**
   * Reads the files as upstream has them: a folder or one file. Malformed records are listed and left out.
   *
   * @throws {BenchmarkDataError} There is nothing that could be read.
   */
  load(path: string): Promise<BenchSet>;
  /**
   * Rows of the bootstrap, in an order that does not depend on how the comparisons came out: with both orders, the rows
   * of the two judgings are averaged one by one. A row whose score is NaN is left out.
   */
  rows(outcomes: readonly ItemOutcome[]): readonly Row[];
  /** Figures from the sums of the subsets that have rows. */
  figures(subsets: ReadonlyMap<string, SubsetSums>): Figures;
}

/** Data that cannot be read as a benchmark. */
export class BenchmarkDataError extends Error {
  override readonly name = "BenchmarkDataError";
}

/** A malformed record as a line for people. */
export function describeMalformed({ file, index, field, value, expected }: MalformedRecord): string {
  const where = field === "" ? `record ${index}` : `record ${index}, field "${field}"`;
  return `file "${file}", ${where}: found ${value}, expected ${expected}`;
}

/** The mean of a measure over a subset's rows; NaN where no row has it. */
export function meanOf({ sums, counts }: SubsetSums, measure = 0): number {
  return sums[measure]! / counts[measure]!;
}

/** The score of a best-of-N item: 1 where the best answer wins every pair, 0 where it loses one, else NaN. */
export function winsAll(pairs: readonly number[]): number {
  if (pairs.some((value) => value < 1)) return 0;
  return pairs.some(Number.isNaN) ? NaN : 1;
}
