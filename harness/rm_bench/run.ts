/**
 * Runs RM-Bench: the entry for commands and programs.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Baseline, isScorer, type Judge, type Scorer } from "rm-r1/judge";
import type { AnswerOptions, Progress } from "../answers.ts";
import { Journal } from "../journal.ts";
import { stratifiedSample } from "../sample.ts";
import { type Interval, wilsonInterval } from "../statistics.ts";
import {
  compareJudgements,
  compareScores,
  failuresOf,
  judgeItems,
  type OrderFigures,
  orderFigures,
  type Orders,
  scoreItems,
} from "./compare.ts";
import { type Figures, figuresOf, type FiguresOptions, type Rule } from "./figures.ts";
import { loadRmBench, type MalformedRecord, missingParts, type RmBenchItem } from "./items.ts";

/** Options of {@link runRmBench}. */
export interface RmBenchOptions {
  /** Folder with upstream's files, or one of them. */
  readonly data: string;
  readonly judge: Judge;
  /** Directory of the run; what it already holds of this judge is not asked again. */
  readonly directory: string;
  /** Score a stratified sample of this size. Default all items. */
  readonly limit?: number;
  /** Of the sample, the orders, the random floor and the bootstrap. Default 0. */
  readonly seed?: number;
  /** Default `both`. */
  readonly orders?: Orders;
  /** Default `standard`. */
  readonly rule?: Rule;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/** A baseline's figures on the same items. */
export interface Floor extends Omit<Figures, "overall" | "parsedAccuracy"> {
  readonly judge: string;
  readonly overall: number;
  readonly low: number | null;
  readonly high: number | null;
}

/** What only a judge of pairs has. */
export interface PairwiseFigures extends OrderFigures {
  /** Overall of the seeded order alone. */
  readonly first: number;
  /** Overall where a cell counts only if all its orders are right. */
  readonly allOrders: number;
  /** Judgements that a limit of tokens or the context cut short. */
  readonly cut: number;
  readonly tokens: number;
  readonly promptTokens: number;
}

/** The result of a run, as it is printed and stored. Shares are 0 to 1; intervals are 95 %. */
export interface RmBenchResult extends Omit<Figures, "overall" | "parsedAccuracy"> {
  readonly benchmark: "rm-bench";
  /**
   * `full`: every item of the benchmark. `partial`: some are missing from the data, so the figures are not the
   * benchmark's score. `sample`: a limit was set; nor are they.
   */
  readonly scope: "full" | "partial" | "sample";
  /** What the scored items lack of the whole benchmark. */
  readonly missing: readonly string[];
  readonly malformed: readonly MalformedRecord[];
  readonly judge: { readonly name: string; readonly identity: string };
  readonly rule: Rule;
  readonly seed: number;
  readonly limit: number | null;
  /** null for a judge that scores each answer alone. */
  readonly orders: Orders | null;
  readonly items: number;
  /** Judgements, or comparisons of scores. */
  readonly judgements: number;
  /** Mean of the domains that are there. */
  readonly overall: number;
  readonly low: number | null;
  readonly high: number | null;
  readonly parsed: {
    /** Mean of the domains' accuracies over what could be read; null where a domain has nothing readable. */
    readonly accuracy: number | null;
    readonly low: number | null;
    readonly high: number | null;
    /** Share of all judgements that could be read. */
    readonly rate: number;
    /** Wilson's, with the number of items as that of trials: judgements of one item fail together. */
    readonly rateInterval: Interval;
  };
  /** null for a judge that scores each answer alone. */
  readonly pairwise: PairwiseFigures | null;
  /** Comparisons of equal scores, which count as wrong; null for a judge of pairs. */
  readonly ties: number | null;
  /** Judgements without a verdict, by reason; all count as wrong. */
  readonly failures: Readonly<Record<string, number>>;
  readonly floors: readonly Floor[];
  /** Journal lines of earlier sessions that could not be read; their calls were made again. */
  readonly unreadableLines: number;
  /** Of this session. */
  readonly seconds: number;
}

/** Name of the result's file in a run's directory. */
export const RESULT_FILE = "result.json";

/** Figures of a judge on items, and what belongs to its kind. */
type Measured = Pick<RmBenchResult, "judgements" | "pairwise" | "ties" | "failures"> & {
  readonly figures: Figures;
  readonly rate: number;
};

/**
 * Scores a judge on RM-Bench and stores the journal and the result in the run's directory. A run that was broken off
 * goes on where it stopped when it is called again with the same directory.
 *
 * @throws {RmBenchDataError} The data cannot be read.
 * @throws {RunMismatchError} The directory is another judge's.
 * @throws {UnansweredError} The judge failed on some calls: a figure would count them as its answers, so there is none.
 */
export async function runRmBench(options: RmBenchOptions): Promise<RmBenchResult> {
  const { data, judge, directory, limit, seed = 0, orders = "both", rule = "standard" } = options;
  const started = performance.now();
  const set = await loadRmBench(data);
  const items = limit === undefined ? set.items : stratifiedSample(set.items, {
    limit,
    seed,
    stratumOf: ({ domain }) => domain,
    keyOf: ({ key }) => key,
  });
  const header = {
    benchmark: "rm-bench",
    judge: judge.identity,
    data: set.files,
    options: { limit: limit ?? null, seed, orders, rule },
  };
  using journal = await Journal.open(directory, header);
  const { signal, onProgress } = options;
  const answering = { journal, ...(signal && { signal }), ...(onProgress && { onProgress }) };
  const scorer = isScorer(judge);
  const measured = scorer
    ? await measureScorer(judge, items, { ...answering, rule, seed })
    : await measureJudge(judge, items, { ...answering, rule, seed, orders });
  const { figures: { domains, levels, overall, parsedAccuracy }, rate, ...kind } = measured;
  const missing = missingParts(items);
  const result: RmBenchResult = {
    benchmark: "rm-bench",
    scope: missing.length === 0 ? "full" : items.length < set.items.length ? "sample" : "partial",
    missing,
    malformed: set.malformed,
    judge: { name: judge.name, identity: judge.identity },
    rule,
    seed,
    limit: limit ?? null,
    orders: scorer ? null : orders,
    items: items.length,
    domains,
    levels,
    overall: overall.score,
    low: overall.low,
    high: overall.high,
    parsed: {
      accuracy: parsedAccuracy?.score ?? null,
      low: parsedAccuracy?.low ?? null,
      high: parsedAccuracy?.high ?? null,
      rate,
      rateInterval: wilsonInterval(rate * items.length, items.length),
    },
    ...kind,
    floors: measureFloors(judge.name, items, { rule, seed }),
    unreadableLines: journal.unreadable,
    seconds: (performance.now() - started) / 1000,
  };
  await replaceFile(join(directory, RESULT_FILE), `${JSON.stringify(result, null, 2)}\n`);
  return result;
}

async function measureJudge(
  judge: Judge,
  items: readonly RmBenchItem[],
  options: AnswerOptions & FiguresOptions & { readonly orders: Orders; readonly seed: number },
): Promise<Measured> {
  const judged = await judgeItems(judge, items, options);
  const scored = judged.map((item) => compareJudgements(item));
  const judgements = judged.flatMap(({ cells }) => cells.flat()).map(({ judgement }) => judgement);
  const overall = (rule: "first" | "both"): number => {
    const compared = judged.map((item) => compareJudgements(item, rule));
    return figuresOf(compared, { ...options, replicates: 0 }).overall.score;
  };
  const total = (field: "tokens" | "promptTokens"): number =>
    judgements.reduce((sum, judgement) => sum + judgement[field], 0);
  return {
    figures: figuresOf(scored, options),
    rate: scored.reduce((sum, { parsed }) => sum + parsed, 0) / judgements.length,
    judgements: judgements.length,
    pairwise: {
      first: overall("first"),
      allOrders: overall("both"),
      ...orderFigures(judged),
      cut: judgements.filter(({ finish }) => finish === "length" || finish === "context").length,
      tokens: total("tokens"),
      promptTokens: total("promptTokens"),
    },
    ties: null,
    failures: failuresOf(judged),
  };
}

async function measureScorer(
  scorer: Scorer,
  items: readonly RmBenchItem[],
  options: AnswerOptions & FiguresOptions,
): Promise<Measured> {
  const scored = await scoreItems(scorer, items, options);
  const judgements = 9 * items.length;
  const read = scored.reduce((sum, { parsed }) => sum + parsed, 0);
  return {
    figures: figuresOf(scored, options),
    rate: read / judgements,
    judgements,
    pairwise: null,
    ties: scored.reduce((sum, { ties }) => sum + ties, 0),
    failures: read === judgements ? {} : { "prompt-too-long": judgements - read },
  };
}

/** The baselines' figures, without the judge itself where it is one. */
function measureFloors(
  name: string,
  items: readonly RmBenchItem[],
  options: FiguresOptions & { readonly seed: number },
): Floor[] {
  const baselines = [Baseline.longest(), Baseline.shortest(), Baseline.random(options.seed)];
  return baselines.filter((baseline) => baseline.name !== name).map((baseline) => {
    const scored = items.map((item) => {
      const conversation = [{ role: "user", content: item.prompt } as const];
      const score = (response: string): number => baseline.scoreOf({ conversation, response });
      return compareScores(item, { chosen: item.chosen.map(score), rejected: item.rejected.map(score) });
    });
    const { domains, levels, overall: { score: overall, low, high } } = figuresOf(scored, options);
    return { judge: baseline.name, domains, levels, overall, low, high };
  });
}

async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await writeFile(temporary, text, { flush: true });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
