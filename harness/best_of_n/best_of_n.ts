/**
 * How often a judge finds the best of several answers.
 *
 * @module
 */
import {
  type BestOfN,
  bestOfN,
  type BestOfNMethod,
  type Candidates,
  isScorer,
  type Judge,
  tournament,
} from "rm-r1/judge";
import { judgePairs, type PairCall, type Progress } from "../answers.ts";
import { type BenchItem, type Benchmark, BenchmarkDataError } from "../benchmark.ts";
import { Journal } from "../journal.ts";
import { missingParts } from "../measure.ts";
import type { Orders } from "../result.ts";
import { stratifiedSample } from "../sample.ts";
import { type Interval, wilsonInterval } from "../statistics.ts";

/** Options of {@link measureBestOfN}. */
export interface MeasureBestOfNOptions {
  /** Folder with upstream's files, or one of them. */
  readonly data: string;
  readonly judge: Judge;
  /** Directory of the run; what it already holds of this judge is not asked again. */
  readonly directory: string;
  /** Default `knockout`. */
  readonly method?: BestOfNMethod;
  /** Default `both`. */
  readonly orders?: Orders;
  /** Of the sample and the draw. Default 0. */
  readonly seed?: number;
  /** Take a stratified sample of this size. Default all items. */
  readonly limit?: number;
  readonly signal?: AbortSignal;
  /** Of a judge of pairs: of the round. */
  readonly onProgress?: (progress: Progress) => void;
}

/** A share of questions whose best answer was found, with Wilson's 95 % interval. */
export interface FoundShare {
  readonly n: number;
  readonly share: number;
  readonly interval: Interval;
  /** What a draw among the answers would come to. */
  readonly chance: number;
}

/** What came of it. Shares are 0 to 1. */
export interface BestOfNResult {
  readonly benchmark: string;
  readonly judge: string;
  /** `scores` of a judge that scores: each answer is rated once, whatever the method. */
  readonly method: BestOfNMethod | "scores";
  readonly overall: FoundShare;
  readonly subsets: Readonly<Record<string, FoundShare>>;
  readonly comparisons: number;
  /** Of these, without a winner. */
  readonly undecided: number;
  /** Items of the data without one best answer among three or more; they are left out. */
  readonly leftOut: number;
  /** What the data lack of the whole benchmark, a line for each subset. */
  readonly missing: readonly string[];
}

/** Whether an item has three or more answers, of which one is better than all others. */
export function hasOneBest({ answers, pairs }: BenchItem): boolean {
  const [first] = pairs;
  if (first === undefined || answers.length < 3 || pairs.length !== answers.length - 1) return false;
  const worse = new Set(pairs.map(([, other]) => other));
  return pairs.every(([better]) => better === first[0]) && worse.size === pairs.length &&
    !worse.has(first[0]);
}

/**
 * Has a judge find the best answer to each question of a benchmark. Its journal is in the directory, so that a run that
 * was broken off goes on there.
 *
 * @throws {BenchmarkDataError} The data cannot be read, or no item has one best answer among three or more.
 * @throws {RunMismatchError} The directory is another run's.
 * @throws {UnansweredError} The judge failed on some calls.
 */
export async function measureBestOfN(
  benchmark: Benchmark,
  options: MeasureBestOfNOptions,
): Promise<BestOfNResult> {
  const { data, judge, directory, method = "knockout", orders = "both", seed = 0, limit, signal } = options;
  const set = await benchmark.load(data);
  const fit = set.items.filter(hasOneBest);
  if (fit.length === 0) {
    throw new BenchmarkDataError(
      `${benchmark.title} in "${data}" has no item with one best answer among three or more, ` +
        `expected one of its ${set.items.length} items to have`,
    );
  }
  const items = limit === undefined
    ? fit
    : stratifiedSample(fit, { limit, seed, stratumOf: ({ subset }) => subset, keyOf: ({ key }) => key });
  const questions = items.map(({ key, conversation, answers }): Candidates => ({
    id: key,
    conversation,
    answers: answers.map(({ text }) => text),
  }));
  let found: BestOfN[];
  if (isScorer(judge)) {
    found = await bestOfN(judge, questions, { seed, ...(signal && { signal }) });
  } else {
    using journal = await Journal.open(directory, {
      benchmark: benchmark.name,
      judge: judge.identity,
      data: set.files,
      options: { bestOfN: method, orders, seed, limit: limit ?? null },
    });
    await judge.begin?.(directory);
    const answering = {
      journal,
      ...(signal && { signal }),
      ...(options.onProgress && { onProgress: options.onProgress }),
    };
    found = await tournament(questions, async (calls) => {
      const pairs = calls.map(({ input, question, places: [a, b] }): PairCall => {
        const gold = a < b ? "A" : "B";
        return { input, gold, about: { item: items[question]!.key, a, b, gold } };
      });
      return (await judgePairs(judge, pairs, answering)).map(({ outcome }) => outcome);
    }, { method, orders, seed });
  }
  const rows = items.map((item, at) => ({
    subset: item.subset,
    isFound: found[at]!.best === item.pairs[0]![0],
    chance: 1 / item.answers.length,
  }));
  const comparisons = found.flatMap((each) => each.comparisons);
  return {
    benchmark: benchmark.name,
    judge: judge.name,
    method: isScorer(judge) ? "scores" : method,
    overall: shareOf(rows),
    subsets: Object.fromEntries(
      Object.entries(Object.groupBy(rows, ({ subset }) => subset)).map((
        [name, part],
      ) => [name, shareOf(part!)]),
    ),
    comparisons: comparisons.length,
    undecided: comparisons.filter(({ winner }) => winner === null).length,
    leftOut: set.items.length - fit.length,
    missing: missingParts(benchmark, set.items),
  };
}

function shareOf(rows: readonly { readonly isFound: boolean; readonly chance: number }[]): FoundShare {
  const right = rows.filter(({ isFound }) => isFound).length;
  return {
    n: rows.length,
    share: right / rows.length,
    interval: wilsonInterval(right, rows.length),
    chance: rows.reduce((sum, { chance }) => sum + chance, 0) / rows.length,
  };
}
