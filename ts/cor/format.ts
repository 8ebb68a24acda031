/**
 * Writes traces in the published output format.
 *
 * @module
 */
import type { Side } from "../data/record.ts";
import { scanTags } from "./tags.ts";
import { parseTrace, type Rubric } from "./trace.ts";

interface CommonParts {
  /** Written before the trace between thinking tags. */
  readonly thinking?: string;
  /** The evaluation; build its quotes and summaries with {@link quote} and {@link summary}. */
  readonly eval: string;
  readonly verdict: Side;
}

/** Parts of a Reasoning trace. */
export interface ReasoningParts extends CommonParts {
  readonly type: "Reasoning";
  readonly solution: string;
}

/** Parts of a Chat trace. Each rubric item must be weighted, by a share of 1. */
export interface ChatParts extends CommonParts {
  readonly type: "Chat";
  readonly rubric: Rubric & { readonly justify: string };
}

/** What a trace is written from. */
export type TraceParts = ReasoningParts | ChatParts;

/**
 * A direct quote of an answer.
 *
 * @throws {RangeError} The text holds a tag of the protocol, and so could not be read back.
 */
export function quote(side: Side, text: string): string {
  return cite("quote", side, text);
}

/**
 * A paraphrase of an answer.
 *
 * @throws {RangeError} The text holds a tag of the protocol, and so could not be read back.
 */
export function summary(side: Side, text: string): string {
  return cite("summary", side, text);
}

function cite(kind: "quote" | "summary", side: Side, text: string): string {
  const [tag] = scanTags(text);
  if (tag !== undefined) {
    throw new RangeError(
      `A ${kind} must hold no tag of the protocol, found "${text.slice(tag.start, tag.end)}"`,
    );
  }
  return `<${kind}_${side}>${text}</${kind}_${side}>`;
}

/**
 * A trace's text. {@link parseTrace} gives the same parts back, without problems; texts lose the whitespace around
 * them, and weights are kept to nine decimals.
 *
 * @throws {RangeError} A part would not survive that, for instance a solution that contains `</solution>`.
 */
export function formatTrace(parts: TraceParts): string {
  const sections = [`<type>${parts.type}</type>`];
  if (parts.type === "Reasoning") {
    sections.push(`<solution>\n${parts.solution.trim()}\n</solution>`);
  } else {
    sections.push(formatRubric(parts.rubric));
  }
  sections.push(`<eval>\n${parts.eval.trim()}\n</eval>`, formatVerdict(parts.verdict));
  const body = sections.join("\n\n");
  const text = parts.thinking === undefined ? body : `<think>\n${parts.thinking.trim()}\n</think>\n\n${body}`;
  refuseLoss(parts, text);
  return text;
}

/** Parts of a trace without a type. */
export interface UntypedParts extends Omit<CommonParts, "thinking"> {
  /** Each item weighted, by a share of 1; default none. */
  readonly rubric?: Rubric & { readonly justify: string };
}

/** The text of a trace that the ablations of the chain leave: a rubric or none, the evaluation, the verdict. */
export function formatUntyped({ rubric, eval: evaluation, verdict }: UntypedParts): string {
  return [
    ...(rubric === undefined ? [] : [formatRubric(rubric)]),
    `<eval>\n${evaluation.trim()}\n</eval>`,
    formatVerdict(verdict),
  ].join("\n\n");
}

/** A verdict as it is read back. */
export function formatVerdict(side: Side): string {
  return `<answer>[[${side}]]</answer>`;
}

function formatRubric({ items, justify }: Rubric & { readonly justify: string }): string {
  const lines = items.map(({ text, weight }, index) => `${index + 1}. ${text.trim()} (${percent(weight)}%)`);
  return `<rubric>\n${[...lines, `<justify>\n${justify.trim()}\n</justify>`].join("\n")}\n</rubric>`;
}

function percent(weight: number | null): string {
  return weight === null ? "?" : String(Number((weight * 100).toFixed(7)));
}

function refuseLoss(parts: TraceParts, text: string): void {
  const read = parseTrace(text);
  const [problem] = read.problems;
  if (problem !== undefined) {
    throw new RangeError(`Trace would be malformed: ${problem.kind} "${problem.detail}"`);
  }
  const fields: [string, string, string | null][] = [
    ["verdict", parts.verdict, read.verdict.kind],
    ["eval", parts.eval.trim(), read.eval],
  ];
  if (parts.thinking !== undefined) fields.push(["thinking", parts.thinking.trim(), read.thinking]);
  if (parts.type === "Reasoning") {
    fields.push(["solution", parts.solution.trim(), read.solution]);
  } else {
    fields.push(["justify", parts.rubric.justify.trim(), read.rubric?.justify ?? null]);
    parts.rubric.items.forEach((item, index) => {
      const same = read.rubric?.items[index];
      const kept = Math.abs((same?.weight ?? NaN) - (item.weight ?? NaN)) < 1e-9;
      fields.push([`rubric item ${index + 1}`, item.text.trim(), kept ? same?.text ?? null : null]);
    });
    fields.push(["rubric length", String(parts.rubric.items.length), String(read.rubric?.items.length)]);
  }
  for (const [name, wanted, found] of fields) {
    if (wanted !== found) {
      throw new RangeError(
        `Trace would lose its ${name}: expected "${wanted}", read back "${found ?? "nothing"}"`,
      );
    }
  }
}
