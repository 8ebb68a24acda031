/**
 * Puts a benchmark's items to a judge, and says how their comparisons came out.
 *
 * @module
 */
import { place, placeAll, type PreferenceRecord, type Side } from "rm-r1/data";
import type { Baseline, Judge, Outcome, Scorer } from "rm-r1/judge";
import { type AnswerOptions, judgePairs, type PairCall, scoreAnswers } from "./answers.ts";
import type { BenchItem, ItemOutcome } from "./benchmark.ts";
import type { StoredJudgement } from "./journal.ts";
import type { Orders } from "./result.ts";

/** A pair as it was judged in one order. */
export interface JudgedOrder {
  /** The place of the better answer. */
  readonly gold: Side;
  /** The judgement, or what the majority of its samples comes to. */
  readonly judgement: StoredJudgement;
  /** Each sample, in their order. */
  readonly samples: readonly StoredJudgement[];
}

/** An item with the judgements of its pairs: by pair, the seeded order first. */
export interface JudgedItem {
  readonly item: BenchItem;
  readonly pairs: readonly (readonly JudgedOrder[])[];
}

/** An item with the scores of its answers; null of an answer that could not be scored. */
export interface ScoredItem {
  readonly item: BenchItem;
  readonly scores: readonly (number | null)[];
}

/**
 * What judgements without a verdict, and equal scores, count as: `wrong` 0, `tie` 0.5, `excluded` nothing (NaN).
 */
export type Treatment = "wrong" | "tie" | "excluded";

const UNREAD: Readonly<Record<Treatment, number>> = { wrong: 0, tie: 0.5, excluded: NaN };

/** Options of {@link judgeItems}. */
export interface JudgeItemsOptions extends AnswerOptions {
  readonly orders: Orders;
  /** Of the order in which a pair is judged first. */
  readonly seed: number;
  /** Samples of each judgement, of which the majority counts. Default 1. */
  readonly votes?: number;
}

/** An item's pairs as records, whose ids decide their order. */
function recordsOf({ key, conversation, answers, pairs }: BenchItem): PreferenceRecord[] {
  return pairs.map(([better, worse], index) => ({
    id: `${key}:${index}`,
    conversation,
    chosen: answers[better]!.text,
    rejected: answers[worse]!.text,
  }));
}

/** Every call of a run: by item, pair, order (the seeded one first) and sample. */
export function callsOf(
  items: readonly BenchItem[],
  { orders, seed, votes = 1 }: Pick<JudgeItemsOptions, "orders" | "seed" | "votes">,
): PairCall[][][][] {
  return items.map((item) =>
    placeAll(recordsOf(item), { kind: "seeded", seed }).map((first, pair) => {
      const flipped = first.gold === "A" ? "B" : "A";
      const placed = orders === "both" ? [first, place(first.record, flipped)] : [first];
      return placed.map(({ record, a, b, gold }, order) =>
        Array.from({ length: votes }, (_, sample): PairCall => ({
          input: { conversation: record.conversation, a, b, sample },
          gold,
          about: { item: item.key, pair, order: order + 1, gold, sample },
        }))
      );
    })
  );
}

/** The items with what their calls were answered, in the order of the calls. */
export function judgedItems(
  items: readonly BenchItem[],
  calls: readonly (readonly (readonly (readonly PairCall[])[])[])[],
  answers: readonly StoredJudgement[],
): JudgedItem[] {
  const judgements = answers.values();
  return calls.map((pairs, at) => ({
    item: items[at]!,
    pairs: pairs.map((placed) =>
      placed.map((samples): JudgedOrder => {
        const each = samples.map(() => judgements.next().value!);
        return { gold: samples[0]!.gold, judgement: majority(each), samples: each };
      })
    ),
  }));
}

/**
 * Judges each pair of each item in one order or in both.
 *
 * @throws {UnansweredError} The judge failed on some calls.
 */
export async function judgeItems(
  judge: Judge,
  items: readonly BenchItem[],
  options: JudgeItemsOptions,
): Promise<JudgedItem[]> {
  const calls = callsOf(items, options);
  return judgedItems(items, calls, await judgePairs(judge, calls.flat(3), options));
}

/**
 * What the majority of samples says. Those that could not be read have no vote; where none could, the first one's reason
 * stands, and as many votes for A as for B are no verdict. Tokens are those of all samples.
 *
 * @throws {RangeError} There is no sample.
 */
export function majority(samples: readonly StoredJudgement[]): StoredJudgement {
  const [first] = samples;
  if (first === undefined) throw new RangeError("There are no samples, expected at least one");
  if (samples.length === 1) return first;
  const count = (side: Side): number => samples.filter(({ outcome }) => outcome.kind === side).length;
  const lead = count("A") - count("B");
  const total = (field: "tokens" | "promptTokens"): number =>
    samples.reduce((sum, sample) => sum + sample[field], 0);
  const tied: Outcome = count("A") > 0 ? { kind: "none", reason: "votes-tied" } : first.outcome;
  return {
    outcome: lead === 0 ? tied : { kind: lead > 0 ? "A" : "B" },
    tokens: total("tokens"),
    promptTokens: total("promptTokens"),
    finish: samples.find(({ finish }) => finish === "length" || finish === "context")?.finish ?? first.finish,
  };
}

/**
 * Scores each answer of each item.
 *
 * @throws {UnansweredError} The judge failed on some calls.
 */
export async function scoreItems(
  scorer: Scorer,
  items: readonly BenchItem[],
  options: AnswerOptions,
): Promise<ScoredItem[]> {
  const calls = items.flatMap(({ key, conversation, answers, manyRight }) =>
    answers.map(({ text }, answer) => ({
      input: { conversation, response: text, ...(manyRight && { manyRight }) },
      about: { item: key, answer },
    }))
  );
  const scores = await scoreAnswers(scorer, calls, options);
  let at = 0;
  return items.map((item) => ({ item, scores: scores.slice(at, at += item.answers.length) }));
}

/** The scores that a baseline gives at once. */
export function baselineScores(baseline: Baseline, items: readonly BenchItem[]): ScoredItem[] {
  return items.map((item) => ({
    item,
    scores: item.answers.map(({ text }) =>
      baseline.scoreOf({ conversation: item.conversation, response: text })
    ),
  }));
}

/** Whether a verdict could be read. */
export function isRead({ kind }: Outcome): boolean {
  return kind === "A" || kind === "B";
}

function valueOf({ gold, judgement: { outcome } }: JudgedOrder, treatment: Treatment): number {
  if (!isRead(outcome)) return UNREAD[treatment];
  return outcome.kind === gold ? 1 : 0;
}

/** The item's pairs in each order apart: as many outcomes as there are orders. */
export function outcomesByOrder(
  judged: readonly JudgedItem[],
  treatment: Treatment,
): ItemOutcome[][] {
  const orders = Math.max(0, ...judged.map(({ pairs }) => pairs[0]?.length ?? 0));
  return Array.from({ length: orders }, (_, order) =>
    judged.map(({ item, pairs }) => ({
      item,
      pairs: pairs.map((each) => valueOf(each[order]!, treatment)),
      scores: null,
    })));
}

/**
 * How the orders of a pair make one value.
 *
 * - `all`: 1 where every order is right
 * - `consistent`: that of the orders where they agree, else NaN
 * - `sign`: JudgeBench's: 1 where more orders are right than wrong; what cannot be read is neither
 */
export type OrderRule = "all" | "consistent" | "sign";

const ORDER_RULES: Readonly<Record<OrderRule, (placed: readonly JudgedOrder[]) => number>> = {
  all: (placed) => Math.min(...placed.map((order) => valueOf(order, "wrong"))),
  consistent: (placed) => {
    const values = new Set(placed.map((order) => valueOf(order, "excluded")));
    return values.size === 1 ? [...values][0]! : NaN;
  },
  sign: (placed) => {
    const sum = placed.reduce((total, order) => total + 2 * valueOf(order, "tie") - 1, 0);
    return sum > 0 ? 1 : 0;
  },
};

/** The item's pairs with their orders taken together. */
export function outcomesByRule(judged: readonly JudgedItem[], rule: OrderRule): ItemOutcome[] {
  return judged.map(({ item, pairs }) => ({ item, pairs: pairs.map(ORDER_RULES[rule]), scores: null }));
}

/** A pair of a scorer: 1 where the better answer's score is higher, 0 where it is lower. */
function comparison(better: number | null, worse: number | null, treatment: Treatment): number {
  if (better === null || worse === null || better === worse) return UNREAD[treatment];
  return better > worse ? 1 : 0;
}

/** Outcomes from scores. */
export function outcomesOfScores(scored: readonly ScoredItem[], treatment: Treatment): ItemOutcome[] {
  return scored.map(({ item, scores }) => ({
    item,
    pairs: item.pairs.map(([better, worse]) => comparison(scores[better]!, scores[worse]!, treatment)),
    scores,
  }));
}
