/**
 * Decides whether what an oracle wrote becomes a trace to learn from.
 *
 * @module
 */
import { checkQuotes, parseTrace, parseVerdict, splitThinking, UNPARSABLE_REASONS } from "../cor/mod.ts";
import type { ProblemKind, QuoteOutcome, UnparsableReason } from "../cor/mod.ts";
import type { PlacedPair } from "../data/mod.ts";
import type { AnswerEnd } from "../endpoint/mod.ts";
import { findHintLeak } from "./hint_leak.ts";

/**
 * Why a text is not kept.
 *
 * - `cut`: it reached the limit of tokens, whatever verdict it holds.
 * - `refused`: the oracle declined.
 * - `unreadable: …`: no verdict can be read, by `parseVerdict`'s reasons.
 * - `wrong-verdict`: for the worse answer; in pass 1 the pair goes on to pass 2.
 * - `hint-leak`: it names the hint, see {@link findHintLeak}.
 */
export type Rejection = "cut" | "refused" | "wrong-verdict" | "hint-leak" | `unreadable: ${UnparsableReason}`;

/** All rejections. */
export const REJECTIONS: readonly Rejection[] = [
  "cut",
  "refused",
  "wrong-verdict",
  "hint-leak",
  ...UNPARSABLE_REASONS.map((reason) => `unreadable: ${reason}` as const),
];

/** A text, judged. `trace` is what follows the end of thinking, without the whitespace around it. */
export type Assessment =
  | { readonly kept: true; readonly trace: string }
  | { readonly kept: false; readonly rejection: Rejection; readonly trace: string };

/** Judges a text against its pair's label; the first of the reasons counts, in the order of {@link Rejection}. */
export function assess(text: string, end: AnswerEnd, { gold }: Pick<PlacedPair, "gold">): Assessment {
  const { bodyStart } = splitThinking(text);
  const trace = text.slice(bodyStart ?? 0).trim();
  const reject = (rejection: Rejection): Assessment => ({ kept: false, rejection, trace });
  if (end === "length") return reject("cut");
  if (end === "refusal") return reject("refused");
  const verdict = parseVerdict(text);
  if (verdict.kind === "unparsable") return reject(`unreadable: ${verdict.reason}`);
  if (verdict.kind !== gold) return reject("wrong-verdict");
  return findHintLeak(trace) === null ? { kept: true, trace } : reject("hint-leak");
}

/** What a kept trace is like beyond its verdict. */
export interface TraceQuality {
  /** Quotes by whether they stand in the answer that they quote. */
  readonly quotes: Readonly<Record<QuoteOutcome, number>>;
  /** What is wrong with its form. */
  readonly problems: readonly ProblemKind[];
}

/** Looks at a trace's quotes and form. Neither decides whether it is kept. */
export function qualityOf(trace: string, answers: Pick<PlacedPair, "a" | "b">): TraceQuality {
  const parsed = parseTrace(trace);
  const quotes = { exact: 0, normalised: 0, missing: 0, empty: 0 };
  for (const { found } of checkQuotes(parsed, answers)) quotes[found]++;
  return { quotes, problems: [...new Set(parsed.problems.map(({ kind }) => kind))] };
}
