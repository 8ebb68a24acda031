/**
 * What a comparison of two answers comes to.
 *
 * @module
 */
import { type CheckedQuote, checkQuotes, parseTrace, type TaskType } from "../cor/trace.ts";
import type { RubricItem } from "../cor/rubric.ts";
import type { Side } from "../data/record.ts";
import type { JudgeInput, Judgement, Outcome } from "../judge/judge.ts";

/** One judgement, as the caller sees the answers: A is `a`, wherever it stood in the prompt. */
export interface JudgedOnce {
  /** Null where there is no verdict; then `reason` says why. */
  readonly verdict: Side | null;
  /** `tie`, `prompt-too-long`, or what kept the verdict from being read, such as `no-answer`. */
  readonly reason: string | null;
  /** The answers stood in each other's place. The trace's own letters are then the other way round. */
  readonly swapped: boolean;
  /** All that the judge wrote; "" for one that only scores. */
  readonly trace: string;
  /** How the trace ended; null where none was written. */
  readonly finish: string | null;
  /** Generated tokens. */
  readonly tokens: number;
  /** What the judge took the task for. */
  readonly type: TaskType | null;
  /** The criteria of a chat task. */
  readonly rubric: readonly RubricItem[];
  /** The judge's own solution, of a reasoning task. */
  readonly solution: string | null;
  /** Quotes of both answers, by the caller's letters, each with whether it stands in the answer. */
  readonly quotes: readonly CheckedQuote[];
  /** Of each answer, by a judge that scores. */
  readonly scores: { readonly A: number; readonly B: number } | null;
}

/** What a comparison came to. */
export interface Comparison extends Omit<JudgedOnce, "tokens" | "finish"> {
  /** The answer that more judgements are for; null where as many are for the other, or none could be read. */
  readonly verdict: Side | null;
  /** `votes-tied`, or where no judgement has a verdict the first one's reason. */
  readonly reason: string | null;
  /** Judgements by what they are for. */
  readonly votes: { readonly A: number; readonly B: number; readonly none: number };
  /** All judgements. The rubric, quotes, trace and `swapped` above are of the first one that has the verdict. */
  readonly judgements: readonly JudgedOnce[];
}

/** A judgement by the caller's letters. */
export function judgedOnce(input: JudgeInput, judgement: Judgement, swapped: boolean): JudgedOnce {
  const { outcome, text, finish, tokens, scores, thinking } = judgement;
  const trace = text === "" ? null : parseTrace(text, thinking === undefined ? {} : { thinking });
  const side = (letter: Side): Side => swapped ? letter === "A" ? "B" : "A" : letter;
  const quotes = trace === null ? [] : checkQuotes(trace, input);
  return {
    verdict: "reason" in outcome ? null : side(outcome.kind as Side),
    reason: reasonOf(outcome),
    swapped,
    trace: text,
    finish,
    tokens,
    type: trace?.type ?? null,
    rubric: trace?.rubric?.items ?? [],
    solution: trace?.solution ?? null,
    quotes: quotes.map((quote) => ({ ...quote, side: side(quote.side) })),
    scores: scores === undefined ? null : swapped ? { A: scores.B, B: scores.A } : scores,
  };
}

function reasonOf(outcome: Outcome): string | null {
  return "reason" in outcome ? outcome.reason : null;
}

/** The judgements of one pair together. */
export function comparisonOf(judgements: readonly JudgedOnce[]): Comparison {
  const count = (verdict: Side | null): number =>
    judgements.filter((judgement) => judgement.verdict === verdict).length;
  const votes = { A: count("A"), B: count("B"), none: count(null) };
  const verdict = votes.A === votes.B ? null : votes.A > votes.B ? "A" : "B";
  const shown = judgements.find((judgement) => judgement.verdict === verdict) ?? judgements[0]!;
  const { trace, swapped, type, rubric, solution, quotes, scores } = shown;
  const reason = verdict !== null ? null : votes.A > 0 ? "votes-tied" : judgements[0]!.reason;
  return { verdict, reason, votes, trace, swapped, type, rubric, solution, quotes, scores, judgements };
}
