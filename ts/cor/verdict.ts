/**
 * Reads a judge's verdict from its output. One rule serves training and evaluation; the rules of the released
 * code of RM-R1 and of RewardBench are here by name, for comparison.
 *
 * @module
 */
import type { Side } from "../data/record.ts";
import { structureOf } from "./tags.ts";

/**
 * Why no verdict could be read.
 *
 * - `empty`: nothing but whitespace, or nothing after the end of thinking.
 * - `unfinished-thinking`: the thinking was never closed.
 * - `no-answer`: no verdict of any form.
 * - `malformed`: a bare `[[A]]` or `[[B]]`, an unclosed `<answer>`, or an `<answer>` that holds something else.
 * - `both`: verdicts for A and for B.
 */
export type UnparsableReason = "empty" | "unfinished-thinking" | "no-answer" | "malformed" | "both";

/** All reasons for an unparsable verdict. */
export const UNPARSABLE_REASONS: readonly UnparsableReason[] = [
  "empty",
  "unfinished-thinking",
  "no-answer",
  "malformed",
  "both",
];

/** What a judge decided. An unparsable verdict is an outcome of its own, never a tie. */
export type Verdict =
  | { readonly kind: Side }
  | { readonly kind: "unparsable"; readonly reason: UnparsableReason };

/** Options of {@link parseVerdict}. */
export interface VerdictOptions {
  /**
   * `optional`: a text without thinking tags is read whole. `required`: it is unfinished thinking; for models whose
   * chat template opens `<think>` in the prompt, so that an output cut short holds no tag at all. Default `optional`.
   */
  readonly thinking?: "optional" | "required";
}

/** Where an output's thinking ends. */
export interface ThinkingSplit {
  /** What was thought, without its tags; null where there was no thinking. */
  readonly thinking: string | null;
  /** Offset in the text at which the rest begins; null where the thinking is unfinished. */
  readonly bodyStart: number | null;
}

const THINK = /<think>/i;
const THINK_END = /<\/think>/gi;

/**
 * Splits an output at its last `</think>`. A `<think>` that nothing closes makes it unfinished, except inside a quote
 * of an answer.
 */
export function splitThinking(text: string, options: VerdictOptions = {}): ThinkingSplit {
  const last = Array.from(text.matchAll(THINK_END)).at(-1);
  const bodyStart = last === undefined ? 0 : last.index + last[0].length;
  const reopened = outsideCitations(text.slice(bodyStart)).search(THINK) >= 0;
  if (reopened || (last === undefined && options.thinking === "required")) {
    return { thinking: text.replace(THINK, ""), bodyStart: null };
  }
  return { thinking: last === undefined ? null : text.slice(0, last.index).replace(THINK, ""), bodyStart };
}

/** The text with every closed quote and summary blanked by spaces, so that offsets stay. */
function outsideCitations(text: string): string {
  let result = "";
  let from = 0;
  for (const { name, start, end } of structureOf(text).elements) {
    if (!name.startsWith("quote_") && !name.startsWith("summary_")) break;
    result += text.slice(from, start) + " ".repeat(end - start);
    from = end;
  }
  return result + text.slice(from);
}

const BARE = /\[\[\s{0,4}[AB]\s{0,4}\]\]/gi;
const ANSWER = /^\s*\[\[\s{0,4}([AB])\s{0,4}\]\]\s*$/i;

/**
 * Reads the verdict after the end of thinking: `<answer>[[A]]</answer>` or `<answer>[[B]]</answer>`, anywhere in that
 * text. Case and whitespace inside do not matter. Several equal verdicts are one; differing ones are `both`; one that
 * is malformed spoils the rest. A verdict inside a quote or summary tag is an answer's text and does not count.
 */
export function parseVerdict(text: string, options: VerdictOptions = {}): Verdict {
  if (text.trim() === "") return unparsable("empty");
  const { bodyStart } = splitThinking(text, options);
  if (bodyStart === null) return unparsable("unfinished-thinking");
  const body = text.slice(bodyStart);
  if (body.trim() === "") return unparsable("empty");
  const { elements, unclosed } = structureOf(body);
  const answers = elements.filter(({ name }) => name === "answer").map(({ start, end }) =>
    body.slice(start, end)
  );
  if (unclosed.some(({ name }) => name === "answer")) return unparsable("malformed");
  if (answers.length === 0) {
    return unparsable(outsideCitations(body).search(BARE) < 0 ? "no-answer" : "malformed");
  }
  const sides = new Set<string>();
  let malformed = false;
  for (const answer of answers) {
    const named = answer.match(BARE)?.map((side) => side.toUpperCase().includes("A") ? "A" : "B") ?? [];
    for (const side of named) sides.add(side);
    if (!ANSWER.test(answer)) malformed = true;
  }
  if (sides.size === 2) return unparsable("both");
  if (malformed) return unparsable("malformed");
  return { kind: sides.has("A") ? "A" : "B" };
}

function unparsable(reason: UnparsableReason): Verdict {
  return { kind: "unparsable", reason };
}

/** Code points that the released training reward looks at. */
const UPSTREAM_TAIL = 80;

/**
 * The rule of the released training reward: in the last 80 characters (code points), `<answer>[[A]]</answer>` and not
 * `<answer>[[B]]</answer>`, or the other way round. It gives +1 exactly where this verdict is the gold side.
 */
export function parseUpstreamTrainVerdict(text: string): Verdict {
  const tail = Array.from(text.slice(-2 * UPSTREAM_TAIL)).slice(-UPSTREAM_TAIL).join("");
  return exactlyOne(tail.includes("<answer>[[A]]</answer>"), tail.includes("<answer>[[B]]</answer>"));
}

/**
 * The rule of the released evaluation scripts: a bare `[[A]]` or `[[B]]` anywhere, thinking included; both or none is
 * an error, and so unparsable.
 */
export function parseUpstreamEvalVerdict(text: string): Verdict {
  return exactlyOne(text.includes("[[A]]"), text.includes("[[B]]"));
}

/**
 * The rule of RewardBench's released scripts (github.com/allenai/reward-bench, commit 05a9005): `[[A]]` anywhere is A,
 * whatever else there is; else `[[B]]` anywhere is B; else it is an error, and so unparsable.
 */
export function parseRewardBenchVerdict(text: string): Verdict {
  if (text.includes("[[A]]")) return { kind: "A" };
  return text.includes("[[B]]") ? { kind: "B" } : unparsable("no-answer");
}

function exactlyOne(a: boolean, b: boolean): Verdict {
  if (a && b) return unparsable("both");
  return a ? { kind: "A" } : b ? { kind: "B" } : unparsable("no-answer");
}

/** Names of the rules by which a verdict can be read. `strict` is {@link parseVerdict}, the rule of this project. */
export type VerdictRule = "strict" | "upstream-train" | "upstream-eval" | "rewardbench";

/** All rules. */
export const VERDICT_RULE_NAMES: readonly VerdictRule[] = [
  "strict",
  "upstream-train",
  "upstream-eval",
  "rewardbench",
];

/** The rules by name. The upstream rules know no options. */
export const VERDICT_RULES: {
  readonly [rule in VerdictRule]: (text: string, options?: VerdictOptions) => Verdict;
} = {
  "strict": parseVerdict,
  "upstream-train": parseUpstreamTrainVerdict,
  "upstream-eval": parseUpstreamEvalVerdict,
  "rewardbench": parseRewardBenchVerdict,
};

/** The training reward: +1 for the gold side, −1 for the other and for what cannot be read. */
export function verdictReward(verdict: Verdict, gold: Side): 1 | -1 {
  return verdict.kind === gold ? 1 : -1;
}
