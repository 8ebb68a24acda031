/**
 * Puts RM-Bench's items to a judge: nine comparisons an item.
 *
 * @module
 */
import { place, placeAll, type PreferenceRecord } from "rm-r1/data";
import type { Judge, Scorer } from "rm-r1/judge";
import { type AnswerOptions, judgePairs, type PairCall, scoreAnswers } from "../answers.ts";
import type { StoredJudgement } from "../journal.ts";
import type { ScoredItem } from "./figures.ts";
import type { RmBenchItem } from "./items.ts";

/**
 * How often a pair is judged: `both` in either order, `seeded` once, in an order that the seed and the pair decide.
 * That order is the first one of `both` too.
 */
export type Orders = "both" | "seeded";

/** All choices of orders. */
export const ORDERS: readonly Orders[] = ["both", "seeded"];

/** One cell's judgements, the seeded order first. */
export type CellJudgements = readonly { readonly gold: "A" | "B"; readonly judgement: StoredJudgement }[];

/** An item with the judgements of its nine cells, row by row. */
export interface JudgedItem {
  readonly item: RmBenchItem;
  readonly cells: readonly CellJudgements[];
}

/** The nine pairs of an item, row by row: cell 3i + j sets chosen_i against rejected_j. */
function recordsOf({ key, prompt, chosen, rejected }: RmBenchItem): PreferenceRecord[] {
  const conversation = [{ role: "user", content: prompt }] as const;
  return chosen.flatMap((better, i) =>
    rejected.map((worse, j) => ({ id: `${key}:${i}:${j}`, conversation, chosen: better, rejected: worse }))
  );
}

/** Judges every cell in one order or in both: 9 or 18 judgements an item. */
export async function judgeItems(
  judge: Judge,
  items: readonly RmBenchItem[],
  options: AnswerOptions & { readonly orders: Orders; readonly seed: number },
): Promise<JudgedItem[]> {
  const { orders, seed } = options;
  const calls = items.map((item): PairCall[][] =>
    placeAll(recordsOf(item), { kind: "seeded", seed }).map((first) => {
      const placed = orders === "both"
        ? [first, place(first.record, first.gold === "A" ? "B" : "A")]
        : [first];
      return placed.map(({ record, a, b, gold }) => ({
        input: { conversation: record.conversation, a, b },
        gold,
        about: { pair: record.id, gold },
      }));
    })
  );
  const judgements = (await judgePairs(judge, calls.flat(2), options)).values();
  return calls.map((cells, at) => ({
    item: items[at]!,
    cells: cells.map((placed) => placed.map(({ gold }) => ({ gold, judgement: judgements.next().value! }))),
  }));
}

/** An item's nine comparisons by a scorer. */
export interface TiedItem extends ScoredItem {
  /** Comparisons of equal scores, which are wrong. */
  readonly ties: number;
}

/**
 * The comparisons that follow from six scores: a cell is 1 where the better answer's is strictly higher. One with an
 * answer that has no score is wrong, and is not read.
 */
export function compareScores({ domain }: RmBenchItem, scores: {
  readonly chosen: readonly (number | null)[];
  readonly rejected: readonly (number | null)[];
}): TiedItem {
  const pairs = scores.chosen.flatMap((better) => scores.rejected.map((worse) => [better, worse] as const));
  const cells = pairs.map(([better, worse]) => better !== null && worse !== null && better > worse ? 1 : 0);
  const read = pairs.filter(([better, worse]) => better !== null && worse !== null);
  const ties = read.filter(([better, worse]) => better === worse).length;
  const right = cells.filter((cell) => cell === 1).length;
  return { domain, cells, judged: cells.length, parsed: read.length, right, ties };
}

/** Scores the six answers of each item. */
export async function scoreItems(
  scorer: Scorer,
  items: readonly RmBenchItem[],
  options: AnswerOptions,
): Promise<TiedItem[]> {
  const calls = items.flatMap(({ key, prompt, chosen, rejected }) =>
    Object.entries({ chosen, rejected }).flatMap(([kind, answers]) =>
      answers.map((response, style) => ({
        input: { conversation: [{ role: "user", content: prompt } as const], response },
        about: { answer: `${key}:${kind}:${style}` },
      }))
    )
  );
  const scores = await scoreAnswers(scorer, calls, options);
  return items.map((item, at) =>
    compareScores(item, {
      chosen: scores.slice(6 * at, 6 * at + 3),
      rejected: scores.slice(6 * at + 3, 6 * at + 6),
    })
  );
}

function isRight({ gold, judgement }: CellJudgements[number]): boolean {
  return judgement.outcome.kind === gold;
}

function isParsed({ judgement: { outcome } }: CellJudgements[number]): boolean {
  return outcome.kind === "A" || outcome.kind === "B";
}

/**
 * How a cell's judgements make its value.
 *
 * - `mean`: share of the orders that are right
 * - `first`: the first order alone
 * - `both`: 1 where all orders are right
 */
export type CellRule = "mean" | "first" | "both";

/** The comparisons of a judged item; a judgement that could not be read is wrong. */
export function compareJudgements({ item, cells }: JudgedItem, rule: CellRule = "mean"): ScoredItem {
  const counted = rule === "first" ? cells.map((cell) => cell.slice(0, 1)) : cells;
  const all = counted.flat();
  const values = counted.map((cell) => {
    const share = cell.filter(isRight).length / cell.length;
    return rule === "both" ? Math.floor(share) : share;
  });
  return {
    domain: item.domain,
    cells: values,
    judged: all.length,
    parsed: all.filter(isParsed).length,
    right: all.filter(isRight).length,
  };
}

/** How a judge's picks depend on the order. */
export interface OrderFigures {
  /** Cells whose two orders could both be read. */
  readonly readable: number;
  /** Of these, cells where the other order changed which answer was picked. */
  readonly flips: number;
  /** Share of the cells without a flip, of the readable ones, where the better answer was picked. */
  readonly consistentAccuracy: number | null;
  /** Share of all picks that fell on the answer in place A: 0.5 favours no place. */
  readonly firstPlaceShare: number | null;
}

/** Compares the orders of all cells. Cells that were judged once have no flips to see. */
export function orderFigures(judged: readonly JudgedItem[]): OrderFigures {
  const cells = judged.flatMap((item) => item.cells);
  const readable = cells.filter((cell) => cell.length === 2 && cell.every(isParsed));
  const consistent = readable.filter(([first, second]) => isRight(first!) === isRight(second!));
  const picks = cells.flat().filter(isParsed).map(({ judgement }) => judgement.outcome.kind);
  const share = (part: number, whole: number): number | null => whole === 0 ? null : part / whole;
  return {
    readable: readable.length,
    flips: readable.length - consistent.length,
    consistentAccuracy: share(consistent.filter(([first]) => isRight(first!)).length, consistent.length),
    firstPlaceShare: share(picks.filter((kind) => kind === "A").length, picks.length),
  };
}

/** Judgements without a verdict, by reason. */
export function failuresOf(judged: readonly JudgedItem[]): Record<string, number> {
  const failures: Record<string, number> = {};
  for (const { judgement: { outcome } } of judged.flatMap(({ cells }) => cells.flat())) {
    if ("reason" in outcome) failures[outcome.reason] = (failures[outcome.reason] ?? 0) + 1;
  }
  return failures;
}
