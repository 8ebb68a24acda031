/**
 * What a run came to, as it is printed and stored.
 *
 * @module
 */
import type { VerdictRule } from "rm-r1/cor";
import type { Audit } from "./audit.ts";
import type { BenchmarkName, MalformedRecord } from "./benchmark.ts";
import type { Calibration } from "./calibration.ts";
import type { Interval } from "./statistics.ts";

/**
 * How often a pair is judged: `both` in either order, `seeded` once, in an order that the seed and the pair decide.
 * That order is the first one of `both` too.
 */
export type Orders = "both" | "seeded";

/** All choices of orders. */
export const ORDERS: readonly Orders[] = ["both", "seeded"];

/** A figure with its 95 % interval by the clustered bootstrap; null where there are too few rows for one. */
export interface Estimate {
  readonly score: number;
  readonly low: number | null;
  readonly high: number | null;
}

/** An estimate of so many items. */
export interface Section extends Estimate {
  readonly n: number;
}

/** The overall figure under each treatment of judgements without a verdict; null where nothing is left. */
export interface Treatments {
  /** They count as wrong: the run's overall figure. */
  readonly wrong: Estimate;
  /** They are left out. */
  readonly excluded: Estimate | null;
  /** They count half, as RewardBench's own script has it. */
  readonly tie: Estimate;
}

/** What only a judge of pairs has. */
export interface PairwiseFigures {
  /** Overall of the seeded order alone. */
  readonly first: number;
  /** Overall where a pair counts only if all its orders are right. */
  readonly allOrders: number;
  /** Overall over pairs whose orders agree; null where there is one order, or none agree. */
  readonly consistent: number | null;
  /** Pairs whose two orders could both be read. */
  readonly readable: number;
  /** Of these, pairs where the other order changed which answer was picked. */
  readonly flips: number;
  /** Share of all picks that fell on the answer in place A: 0.5 favours no place. */
  readonly firstPlaceShare: number | null;
  /** Judgements that a limit of tokens or the context cut short. */
  readonly cut: number;
  readonly tokens: number;
  readonly promptTokens: number;
}

/** A judge that reads no meaning, on the same items. */
export interface Floor {
  readonly judge: string;
  readonly overall: Estimate;
  readonly sections: Readonly<Record<string, number>>;
}

/** What decides the calls of a run, beside its judge and its data. */
export interface RunSettings {
  /** Size of the stratified sample; null for all items. */
  readonly limit: number | null;
  /** Of the sample, the orders, the random floor and the bootstrap. */
  readonly seed: number;
  readonly orders: Orders;
  readonly votes: number;
}

/** The result of a run. Shares are 0 to 1; intervals are 95 %. */
export interface BenchResult {
  readonly benchmark: BenchmarkName;
  /** How the figures follow from the comparisons, where the benchmark knows several ways. */
  readonly rule?: string;
  /**
   * `full`: every item of the benchmark. `partial`: some are missing from the data, so the figures are not the
   * benchmark's score. `sample`: a limit was set; nor are they. `own`: the data are no published benchmark.
   */
  readonly scope: "full" | "partial" | "sample" | "own";
  /** What the scored items lack of the whole benchmark, a line for each subset. */
  readonly missing: readonly string[];
  readonly malformed: readonly MalformedRecord[];
  /** Keys of pairs whose two answers are the same text. */
  readonly identical: readonly string[];
  readonly judge: { readonly name: string; readonly identity: string };
  readonly data: { readonly path: string; readonly files: Readonly<Record<string, string>> };
  readonly seed: number;
  readonly limit: number | null;
  /** null for a judge that scores each answer alone. */
  readonly orders: Orders | null;
  /** Samples of a judgement, of which the majority counts. */
  readonly votes: number;
  readonly items: number;
  /** Judgements, or comparisons of scores. */
  readonly judgements: number;
  readonly overall: number;
  readonly low: number | null;
  readonly high: number | null;
  readonly sections: Readonly<Record<string, Section>>;
  readonly subsets: Readonly<Record<string, Section>>;
  /** Of a benchmark that has levels, as RM-Bench's hard, normal and easy; else empty. */
  readonly levels: Readonly<Record<string, Estimate>>;
  /** Of RM-Bench: its domains with their levels. */
  readonly domains?: Readonly<
    Record<string, Section & { readonly levels: Readonly<Record<string, number>> }>
  >;
  readonly treatments: Treatments;
  /** Share of the judgements that could be read, by Wilson with the items as trials: those of one item fail together. */
  readonly parsed: { readonly rate: number; readonly interval: Interval };
  /** null for a judge that scores each answer alone. */
  readonly pairwise: PairwiseFigures | null;
  /** Comparisons of equal scores, which count as wrong; null for a judge of pairs. */
  readonly ties: number | null;
  /** Judgements without a verdict, by reason. */
  readonly failures: Readonly<Record<string, number>>;
  /**
   * Overall as the scripts that published the benchmark's figures for judges of pairs come to it: one order, drawn here
   * by the seed, verdicts by their rule and errors worth what they are there; null for a judge that scores, and where
   * there is no such script.
   */
  readonly upstream:
    | { readonly rule: VerdictRule; readonly errors: "wrong" | "tie"; readonly overall: number }
    | null;
  /** Of votes or of the verdict's probability; null of a judge that has neither. */
  readonly calibration: Calibration | null;
  readonly audit: Audit;
  readonly floors: readonly Floor[];
  /** The rule by which verdicts were read anew, of a run that was scored again. */
  readonly verdictRule?: VerdictRule;
  /** Journal lines of earlier sessions that could not be read; their calls were made again. */
  readonly unreadableLines: number;
  /** Of this session. */
  readonly seconds: number;
}

/** Name of the result's file in a run's directory. */
export const RESULT_FILE = "result.json";
