/**
 * The structure of a judge's trace as data, and whether its quotes are real.
 *
 * @module
 */
import type { Side } from "../data/record.ts";
import { parseRubricItems, type RubricItem } from "./rubric.ts";
import { isCitation, structureOf, type TagName } from "./tags.ts";
import { parseVerdict, splitThinking, type Verdict, type VerdictOptions } from "./verdict.ts";

/** What a judge takes a task for. */
export type TaskType = "Reasoning" | "Chat";

/** A rubric with the reasons for it. */
export interface Rubric {
  readonly items: readonly RubricItem[];
  /** The text of `<justify>`, null where there is none. */
  readonly justify: string | null;
}

/** Words that a judge attributes to an answer. */
export interface Citation {
  /** The answer that they are attributed to. */
  readonly side: Side;
  /** Without the whitespace around it. */
  readonly text: string;
  /** Offsets of that text in the trace, in UTF-16 code units. */
  readonly start: number;
  /** Behind the last one. */
  readonly end: number;
}

/**
 * What a trace lacks or has too much of.
 *
 * - `missing-…`: a section that its type calls for is not there; `unknown-type`: neither Reasoning nor Chat.
 * - `unexpected-section`: a rubric in a Reasoning trace or a solution in a Chat trace.
 * - `repeated-section`: the first one counts.
 * - `unclosed-tag`, `stray-tag`: opened and never closed, or closed or opened out of place.
 * - `citation-outside-eval`: a quote or summary that stands outside `<eval>`; it is still listed.
 * - `no-rubric-items`, `missing-weight`, `weight-sum`: a rubric without items, an item without a weight, or weights
 *   that do not add up to 1 within 0.01.
 */
export type ProblemKind =
  | "missing-type"
  | "unknown-type"
  | "missing-solution"
  | "missing-rubric"
  | "missing-justify"
  | "missing-eval"
  | "unexpected-section"
  | "repeated-section"
  | "unclosed-tag"
  | "stray-tag"
  | "citation-outside-eval"
  | "no-rubric-items"
  | "missing-weight"
  | "weight-sum";

/** One thing that is wrong with a trace's form. */
export interface Problem {
  readonly kind: ProblemKind;
  /** The tag, section or value that it is about. */
  readonly detail: string;
}

/** A trace as data. */
export interface Trace {
  /** What was thought before the trace, null where there was no thinking. */
  readonly thinking: string | null;
  readonly type: TaskType | null;
  readonly rubric: Rubric | null;
  readonly solution: string | null;
  /** The evaluation with its quote and summary tags. */
  readonly eval: string | null;
  /** In the order of the trace. */
  readonly quotes: readonly Citation[];
  /** In the order of the trace. */
  readonly summaries: readonly Citation[];
  readonly verdict: Verdict;
  readonly problems: readonly Problem[];
}

/**
 * Reads a trace. Never throws: what is malformed is listed in `problems`, and a verdict that cannot be read is
 * unparsable with its reason. Sections are read after the end of thinking only.
 */
export function parseTrace(text: string, options: VerdictOptions = {}): Trace {
  const { thinking, bodyStart } = splitThinking(text, options);
  const offset = bodyStart ?? text.length;
  const body = text.slice(offset);
  const { elements, unclosed, stray } = structureOf(body);
  const problems: Problem[] = [
    ...unclosed.map((tag): Problem => ({ kind: "unclosed-tag", detail: body.slice(tag.start, tag.end) })),
    ...stray.map((tag): Problem => ({ kind: "stray-tag", detail: body.slice(tag.start, tag.end) })),
  ];

  const section = (name: TagName): { text: string; start: number; end: number } | null => {
    const found = elements.filter((element) => element.name === name).sort((a, b) => a.start - b.start);
    if (found.length > 1) problems.push({ kind: "repeated-section", detail: name });
    const [first] = found;
    return first === undefined
      ? null
      : { text: body.slice(first.start, first.end).trim(), start: first.start, end: first.end };
  };

  const type = readType(section("type")?.text ?? null, problems);
  const solution = section("solution");
  const rubricSection = section("rubric");
  const justify = section("justify");
  const evaluation = section("eval");
  const rubric = rubricSection === null ? null : readRubric(rubricSection.text, problems);
  if (type === "Reasoning") {
    if (solution === null) problems.push({ kind: "missing-solution", detail: type });
    if (rubricSection !== null) problems.push({ kind: "unexpected-section", detail: "rubric" });
  } else if (type === "Chat") {
    if (rubricSection === null) problems.push({ kind: "missing-rubric", detail: type });
    if (solution !== null) problems.push({ kind: "unexpected-section", detail: "solution" });
  }
  if (rubricSection === null && justify !== null) problems.push({ kind: "stray-tag", detail: "<justify>" });
  if (evaluation === null) problems.push({ kind: "missing-eval", detail: "eval" });

  const quotes: Citation[] = [];
  const summaries: Citation[] = [];
  for (const { name, start, end } of elements) {
    if (!isCitation(name)) continue;
    const raw = body.slice(start, end);
    const from = offset + start + (raw.length - raw.trimStart().length);
    const cited = raw.trim();
    const side = name.endsWith("a") ? "A" : "B";
    (name.startsWith("quote") ? quotes : summaries)
      .push({ side, text: cited, start: from, end: from + cited.length });
    if (evaluation === null || start < evaluation.start || end > evaluation.end) {
      problems.push({ kind: "citation-outside-eval", detail: name });
    }
  }
  return {
    thinking: thinking === null ? null : thinking.trim(),
    type,
    rubric,
    solution: solution?.text ?? null,
    eval: evaluation?.text ?? null,
    quotes,
    summaries,
    verdict: parseVerdict(text, options),
    problems,
  };
}

function readType(text: string | null, problems: Problem[]): TaskType | null {
  if (text === null) {
    problems.push({ kind: "missing-type", detail: "type" });
    return null;
  }
  const folded = text.toLowerCase();
  if (folded === "reasoning") return "Reasoning";
  if (folded === "chat") return "Chat";
  problems.push({ kind: "unknown-type", detail: text });
  return null;
}

function readRubric(text: string, problems: Problem[]): Rubric {
  const justify = structureOf(text).elements.find(({ name }) => name === "justify");
  const items = parseRubricItems(
    justify === undefined ? text : `${text.slice(0, justify.outerStart)}\n${text.slice(justify.outerEnd)}`,
  );
  if (justify === undefined) problems.push({ kind: "missing-justify", detail: "rubric" });
  if (items.length === 0) problems.push({ kind: "no-rubric-items", detail: "rubric" });
  const unweighted = items.filter(({ weight }) => weight === null);
  for (const item of unweighted) problems.push({ kind: "missing-weight", detail: item.text });
  const sum = items.reduce((total, { weight }) => total + (weight ?? 0), 0);
  if (items.length > 0 && unweighted.length === 0 && Math.abs(sum - 1) > 0.01) {
    problems.push({ kind: "weight-sum", detail: String(sum) });
  }
  return { items, justify: justify === undefined ? null : text.slice(justify.start, justify.end).trim() };
}

/**
 * Whether a quote stands in the answer that it quotes.
 *
 * - `exact`: character by character, the whitespace around the quote aside.
 * - `normalised`: after folding case, runs of whitespace and forms of quotation marks, and without quotation marks
 *   around the quote.
 * - `missing`: not there.
 * - `empty`: the quote holds nothing but whitespace and quotation marks, which stand in every answer.
 */
export type QuoteOutcome = "exact" | "normalised" | "missing" | "empty";

/** A quote with what became of it. */
export interface CheckedQuote extends Citation {
  /** Whether it stands in the answer. */
  readonly found: QuoteOutcome;
}

/** Checks each quote of a trace against the answer of its side. */
export function checkQuotes(
  trace: Pick<Trace, "quotes">,
  answers: { readonly a: string; readonly b: string },
): CheckedQuote[] {
  const folded = { A: fold(answers.a), B: fold(answers.b) };
  return trace.quotes.map((quote) => {
    const answer = quote.side === "A" ? answers.a : answers.b;
    const needle = fold(quote.text).replace(/^["' ]+|["' ]+$/g, "");
    const found = needle === ""
      ? "empty"
      : answer.includes(quote.text)
      ? "exact"
      : folded[quote.side].includes(needle)
      ? "normalised"
      : "missing";
    return { ...quote, found };
  });
}

function fold(text: string): string {
  return text.replaceAll(/[“”„‟«»″]/g, '"').replaceAll(/[‘’‚‛′`´]/g, "'").replaceAll(/\s+/g, " ").trim()
    .toLowerCase();
}
