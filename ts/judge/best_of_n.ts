/**
 * The best of several answers, by a judge of two.
 *
 * @module
 */
import { hashFraction } from "../data/hash.ts";
import type { Message } from "../engine/engine.ts";
import {
  type Answered,
  isScorer,
  type Judge,
  type JudgeInput,
  type JudgeOptions,
  type Outcome,
} from "./judge.ts";

/**
 * How answers meet. `knockout`: in pairs, the winners again, until one is left: n − 1 comparisons of n answers.
 * `all-pairs`: each with each, and the one with most points is the best: n(n − 1)/2 comparisons.
 */
export type BestOfNMethod = "knockout" | "all-pairs";

/** All methods. */
export const BEST_OF_N_METHODS: readonly BestOfNMethod[] = ["knockout", "all-pairs"];

/** A question with its answers. */
export interface Candidates {
  /** Of the draw; unique among the questions. */
  readonly id: string;
  readonly conversation: readonly Message[];
  readonly answers: readonly string[];
}

/** Two answers that met. */
export interface Meeting {
  /** Indices of the answers, the one that was drawn first in front. */
  readonly pair: readonly [number, number];
  /** The judge's verdicts by order, the answer drawn first in A in the first one. */
  readonly outcomes: readonly Outcome[];
  /** Index of the answer that more verdicts are for; null where none are or as many are for either. */
  readonly winner: number | null;
}

/** What a question's answers came to. */
export interface BestOfN {
  /** Index of the best answer. */
  readonly best: number;
  /** By answer: comparisons won, an undecided one counting half; of a judge that scores, the scores. */
  readonly points: readonly (number | null)[];
  /** None of a judge that scores. */
  readonly comparisons: readonly Meeting[];
}

/** Options of {@link bestOfN} and {@link tournament}. */
export interface BestOfNOptions {
  /** Default `knockout`. */
  readonly method?: BestOfNMethod;
  /** Judge each pair in both orders, or only with the answer drawn first in A. Default `both`. */
  readonly orders?: "both" | "seeded";
  /** Of the draw. Default 0. */
  readonly seed?: number;
}

/** A comparison to be judged in one order. */
export interface TournamentCall {
  readonly input: JudgeInput;
  /** Index of the question. */
  readonly question: number;
  /** Indices of the answers in places A and B. */
  readonly places: readonly [number, number];
}

/** Judges calls: an outcome for each, in their order. */
export type AskAll = (calls: readonly TournamentCall[]) => Promise<readonly Outcome[]>;

/**
 * Finds the best answer to each question. Where a comparison is undecided, or points are equal, the answer that was
 * drawn first stands before the other; the draw is by the seed, so that no place in the list is favoured. A judge that
 * scores rates each answer once, whatever the method.
 *
 * @throws {RangeError} A question has no answer.
 * @throws {Error} The judge failed on a call; the first failure is the cause.
 */
export async function bestOfN(
  judge: Judge,
  questions: readonly Candidates[],
  options: BestOfNOptions & Pick<JudgeOptions, "signal"> = {},
): Promise<BestOfN[]> {
  const { signal, ...settings } = options;
  const judging = signal === undefined ? {} : { signal };
  if (isScorer(judge)) {
    refuseEmpty(questions);
    const inputs = questions.flatMap(({ conversation, answers }) =>
      answers.map((response) => ({ conversation, response }))
    );
    const scores = (await collect(judge.score(inputs, judging), inputs.length, judge.name)).values();
    return questions.map((question) => {
      const points = question.answers.map(() => scores.next().value ?? null);
      return { best: leader(points, drawn(question, settings.seed ?? 0)), points, comparisons: [] };
    });
  }
  return await tournament(questions, async (calls) => {
    const judged = await collect(
      judge.judge(calls.map(({ input }) => input), judging),
      calls.length,
      judge.name,
    );
    return judged.map(({ outcome }) => outcome);
  }, settings);
}

/** As {@link bestOfN}, by whatever judges the calls. All calls of a round are asked at once. */
export async function tournament(
  questions: readonly Candidates[],
  ask: AskAll,
  { method = "knockout", orders = "both", seed = 0 }: BestOfNOptions = {},
): Promise<BestOfN[]> {
  refuseEmpty(questions);
  const state = questions.map((question) => {
    const draw = drawn(question, seed);
    return { draw, left: draw, comparisons: [] as Meeting[] };
  });
  for (;;) {
    const met = state.flatMap(({ left }, question) =>
      pairsOf(left, method).map((pair) => ({ question, pair }))
    );
    if (met.length === 0) break;
    const calls = met.flatMap(({ question, pair: [first, second] }): TournamentCall[] => {
      const { conversation, answers } = questions[question]!;
      const [a, b] = [answers[first]!, answers[second]!];
      // Between equal texts there is nothing to judge.
      if (a === b) return [];
      const one: TournamentCall = { input: { conversation, a, b }, question, places: [first, second] };
      const two: TournamentCall = { input: { conversation, a: b, b: a }, question, places: [second, first] };
      return orders === "both" ? [one, two] : [one];
    });
    const asked = (await ask(calls)).values();
    for (const { question, pair } of met) {
      const [first, second] = pair;
      const { answers } = questions[question]!;
      const times = answers[first] === answers[second] ? 0 : orders === "both" ? 2 : 1;
      const outcomes = Array.from({ length: times }, () => asked.next().value!);
      const lead = outcomes.reduce((sum, outcome, order) => sum + (order === 0 ? 1 : -1) * sign(outcome), 0);
      const winner = lead === 0 ? null : lead > 0 ? first : second;
      state[question]!.comparisons.push({ pair, outcomes, winner });
    }
    for (const each of state) {
      each.left = method === "all-pairs" ? [] : winnersOf(each.left, each.comparisons);
    }
  }
  return state.map(({ draw, left, comparisons }, question) => {
    const points = questions[question]!.answers.map((_, answer) =>
      comparisons.reduce(
        (sum, { pair, winner }) =>
          sum + (winner === answer ? 1 : winner === null && pair.includes(answer) ? 0.5 : 0),
        0,
      )
    );
    return { best: method === "knockout" ? left[0]! : leader(points, draw), points, comparisons };
  });
}

function refuseEmpty(questions: readonly Candidates[]): void {
  const empty = questions.find(({ answers }) => answers.length === 0);
  if (empty !== undefined) {
    throw new RangeError(`Question "${empty.id}" has no answers, expected at least one`);
  }
}

/** The indices of a question's answers in the order of the draw. */
function drawn({ id, answers }: Candidates, seed: number): number[] {
  const draws = answers.map((_, answer) => hashFraction(seed, `best-of-n\0${id}\0${answer}`));
  return answers.map((_, answer) => answer).sort((x, y) => draws[x]! - draws[y]! || x - y);
}

/** The pairs of a round. In a knockout the last of an odd number has no one to meet. */
function pairsOf(left: readonly number[], method: BestOfNMethod): (readonly [number, number])[] {
  if (method === "all-pairs") {
    return left.flatMap((first, at) => left.slice(at + 1).map((second) => [first, second] as const));
  }
  return Array.from({ length: left.length >> 1 }, (_, at) => [left[2 * at]!, left[2 * at + 1]!] as const);
}

/** Who is left of a knockout after its newest round. */
function winnersOf(left: readonly number[], comparisons: readonly Meeting[]): number[] {
  const round = left.length >> 1;
  if (round === 0) return [...left];
  const winners = comparisons.slice(-round).map(({ pair, winner }) => winner ?? pair[0]);
  return left.length % 2 === 1 ? [...winners, left.at(-1)!] : winners;
}

/** 1 for A, −1 for B, 0 for no verdict. */
function sign(outcome: Outcome): number {
  return outcome.kind === "A" ? 1 : outcome.kind === "B" ? -1 : 0;
}

/** The answer with most points; among equals the one drawn first. One without a score is behind all others. */
function leader(points: readonly (number | null)[], draw: readonly number[]): number {
  const value = (answer: number): number => points[answer] ?? -Infinity;
  return draw.reduce((best, answer) => value(answer) > value(best) ? answer : best);
}

async function collect<Answer>(
  answered: AsyncIterable<Answered<Answer>>,
  count: number,
  name: string,
): Promise<Answer[]> {
  const answers = new Map<number, Answer>();
  for await (const { index, answer, error } of answered) {
    if (error !== undefined) {
      throw new Error(`Judge "${name}" failed on a call: ${error.message}`, { cause: error });
    }
    answers.set(index, answer as Answer);
  }
  if (answers.size !== count) throw new Error(`Judge "${name}" answered ${answers.size} of ${count} calls`);
  return Array.from({ length: count }, (_, index) => answers.get(index)!);
}
