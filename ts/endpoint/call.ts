/**
 * What is sent to a server, and what it answers.
 *
 * @module
 */
import type { Message } from "../engine/engine.ts";

/** Tokens of a call. */
export interface CallTokens {
  readonly input: number;
  readonly output: number;
}

/** All that decides what a server writes. */
export interface Call {
  /** The API that is spoken, or the hash of a local model. */
  readonly writer: string;
  readonly model: string;
  readonly messages: readonly Message[];
  readonly sampling: Readonly<Record<string, number>>;
  /** Tells calls apart that are the same otherwise. */
  readonly sample: number;
}

/** How an answer ended: by itself, at the limit of tokens, or because the server would not write it. */
export type AnswerEnd = "stop" | "length" | "refusal";

/** What a server wrote. */
export interface Answer {
  readonly text: string;
  readonly end: AnswerEnd;
  /** As the server counts them; null where it does not say. */
  readonly tokens: CallTokens | null;
  /** The model that the server says it took. */
  readonly servedBy: string | null;
}
