/**
 * What a harness, a trainer or a product asks of a judge.
 *
 * @module
 */
import type { PromptPair, Verdict } from "../cor/mod.ts";
import type { FinishReason, Message } from "../engine/engine.ts";

/** A question with two answers in places. A judge is not told which is the better one. */
export interface JudgeInput extends PromptPair {
  /** Which of several samples of one judgement this is, from 0; a judge that draws then draws anew. Default 0. */
  readonly sample?: number;
}

/** A question with one answer. */
export interface ScoreInput {
  readonly conversation: readonly Message[];
  readonly response: string;
  /** Several answers to this question may be equally right. A judge may then be asked in other words. */
  readonly manyRight?: true;
}

/**
 * Why there is no verdict to read.
 *
 * - `prompt-too-long`: the prompt leaves no room in the model's context; nothing is ever cut from it.
 * - `tie`: a scorer rated both answers the same.
 * - `votes-tied`: as many samples are for one answer as for the other.
 * - `no-rating`: a judge that writes ratings wrote none for one of the answers, or had no room for it.
 * - `refused`: the model, or the server before it, declined to write.
 * - `unanswered`: the call failed, and the user chose to count such calls.
 */
export type NoVerdictReason =
  | "prompt-too-long"
  | "tie"
  | "votes-tied"
  | "no-rating"
  | "refused"
  | "unanswered";

/** All reasons for there being no verdict to read. */
export const NO_VERDICT_REASONS: readonly NoVerdictReason[] = [
  "prompt-too-long",
  "tie",
  "votes-tied",
  "no-rating",
  "refused",
  "unanswered",
];

/** What a judge decided: a side, text that holds no verdict, or nothing to read a verdict from. */
export type Outcome = Verdict | { readonly kind: "none"; readonly reason: NoVerdictReason };

/** What a judge said of a pair. */
export interface Judgement {
  readonly outcome: Outcome;
  /** What the judge wrote, the verdict included; "" for one that only scores. */
  readonly text: string;
  /** Generated tokens. */
  readonly tokens: number;
  readonly promptTokens: number;
  /** How the text ended; null where none was generated. */
  readonly finish: FinishReason | null;
  /** Where the prompt itself opened the thinking, so that the text can hold its end alone. */
  readonly thinking?: "required";
  /** Of each generated token, where {@link JudgeOptions.logprobs} asks for them. */
  readonly logprobs?: Float32Array;
  /** Of each answer, by a judge that scores. */
  readonly scores?: { readonly A: number; readonly B: number };
  /**
   * The probability of the verdict for A where the verdict was written, against that for B, by a judge whose verdict
   * can be read; where {@link JudgeOptions.probability} asks for it.
   */
  readonly probabilityA?: number;
}

/**
 * One input's answer, or the error that kept it from being answered. An error says nothing of the pair: it is never
 * a verdict, and asking again may succeed.
 */
export type Answered<Answer> =
  | { readonly index: number; readonly answer: Answer; readonly error?: never }
  | { readonly index: number; readonly error: Error; readonly answer?: never };

/** Options of {@link Judge.judge} and {@link Scorer.score}. */
export interface JudgeOptions {
  /** Ends the work; the iteration then throws the signal's reason. */
  readonly signal?: AbortSignal;
  /**
   * Told all that is written of a judgement so far, as it is written, by a judge that can tell. Where a server's call
   * is made again the text begins anew.
   */
  readonly onText?: (index: number, text: string) => void;
  /** Also give each generated token's log-probability. Default false. */
  readonly logprobs?: boolean;
  /** Also give {@link Judgement.probabilityA}. Default: where the verdict is all that the judge writes. */
  readonly probability?: boolean;
}

/** Picks the better of two answers. */
export interface Judge extends AsyncDisposable {
  /** As a user names it, for reports. */
  readonly name: string;
  /** All that decides the answers (weights, protocol, sampling, seed), as a string to compare and to hash. */
  readonly identity: string;
  /** The messages that the judge is asked with; empty for a judge that reads the answers as they are. */
  render(input: JudgeInput): readonly Message[];
  /** Told of the directory of a run before its first call, by a judge that keeps an account of its own there. */
  begin?(directory: string): Promise<void>;
  /** Judges all inputs, in whatever order is fastest; each index comes exactly once. */
  judge(inputs: readonly JudgeInput[], options?: JudgeOptions): AsyncIterable<Answered<Judgement>>;
}

/** A judge that rates each answer alone; a pair's verdict is the higher score, and equal scores are none. */
export interface Scorer extends Judge {
  /** What a null score means. Default `prompt-too-long`. */
  readonly unscored?: "prompt-too-long" | "no-rating";
  /**
   * Scores all inputs, in whatever order is fastest; each index comes exactly once. Higher is better; null is of an
   * answer that could not be scored, see {@link unscored}.
   */
  score(inputs: readonly ScoreInput[], options?: JudgeOptions): AsyncIterable<Answered<number | null>>;
}

/** Whether a judge rates each answer alone. */
export function isScorer(judge: Judge): judge is Scorer {
  return "score" in judge;
}
