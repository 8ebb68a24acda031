/**
 * A judge's trace on the page: its verdict, its rubric, and its quotes marked where they stand.
 *
 * @module
 */
import { type CheckedQuote, checkQuotes, parseTrace, type QuoteOutcome, type Trace } from "../cor/mod.ts";
import { resultOf } from "./judgements.ts";
import { type Html, markup } from "./markup.ts";
import { formatFigure } from "./numbers.ts";
import type { JudgedLine, Point } from "./records.ts";
import { table } from "./table.ts";

/** The two answers in their places. */
export interface Answers {
  readonly a: string;
  readonly b: string;
}

/** Points of a run as a reader knows them. */
export const POINT_NAMES: { readonly [point in Point]: string } = {
  base: "Before training",
  distilled: "After stage 1",
  final: "At the end",
};

/** What became of a quote; `unchecked` where the answers are not at hand. */
type Mark = QuoteOutcome | "unchecked";

const MARKS: { readonly [mark in Mark]: { readonly sign: string; readonly words: string } } = {
  exact: { sign: "✓", words: "verbatim in the answer" },
  normalised: { sign: "≈", words: "in the answer but for case, spaces or quotation marks" },
  missing: { sign: "✗", words: "not in the answer" },
  empty: { sign: "∅", words: "empty" },
  unchecked: { sign: "?", words: "not checked" },
};

/** What each sign behind a quote means. */
export function quoteLegend(): Html {
  const kinds = (Object.keys(MARKS) as Mark[]).map((mark) =>
    markup`<li><mark class="quote ${mark}">${MARKS[mark].sign}</mark> ${MARKS[mark].words}</li>`
  );
  return markup`<ul class="legend">${kinds}</ul>`;
}

/** A stored text as data. What ended within its thinking is read as the judge that wrote it was. */
export function readTrace({ text, outcome }: JudgedLine): Trace {
  const unfinished = outcome.kind === "none" && outcome.reason === "unfinished-thinking";
  return parseTrace(text, { thinking: unfinished ? "required" : "optional" });
}

/** Numbers of quotes by what became of them. */
export function countQuotes(trace: Trace, answers: Answers): { readonly [outcome in QuoteOutcome]: number } {
  const counts = { exact: 0, normalised: 0, missing: 0, empty: 0 };
  for (const { found } of checkQuotes(trace, answers)) counts[found]++;
  return counts;
}

/** A judgement with its trace. */
export function traceView(point: Point, judged: JudgedLine, answers: Answers | null): Html {
  const trace = readTrace(judged);
  const result = resultOf(judged);
  const { outcome, tokens, finish, text } = judged;
  const said = outcome.kind === "none" ? outcome.reason : `verdict ${outcome.kind}`;
  const quotes: readonly (Pick<CheckedQuote, "start" | "end"> & { readonly found: Mark })[] = answers === null
    ? trace.quotes.map((quote) => ({ ...quote, found: "unchecked" }))
    : checkQuotes(trace, answers);
  const name = POINT_NAMES[point];
  return markup`<section class="trace ${result}">
<h5>${name}</h5>
<p><span class="badge ${result}">${result}</span> ${said}</p>
<p class="meta">${formatFigure(tokens)} tokens${finish === null ? "" : `, ended by ${finish}`}${
    trace.type === null ? "" : `, task type ${trace.type}`
  }</p>
${rubricView(trace)}
${problemsView(trace)}
${
    text === ""
      ? markup`<p class="meta">This judge writes no text.</p>`
      : markup`<div class="text" tabindex="0" role="region" aria-label="${`Text, ${name}`}">${
        markedText(text, quotes)
      }</div>`
  }
</section>`;
}

function rubricView({ rubric }: Trace): Html | string {
  if (rubric === null) return "";
  const rows = rubric.items.map(({ text, weight }) => [
    text,
    weight === null ? "–" : `${formatFigure(100 * weight)}\u00a0%`,
  ]);
  return table("Rubric", ["Criterion", "Weight"], rows);
}

function problemsView({ problems }: Trace): Html | string {
  if (problems.length === 0) return "";
  const items = problems.map(({ kind, detail }) => markup`<li>${kind}: <q>${detail}</q></li>`);
  const heading = `Form: ${problems.length} ${problems.length === 1 ? "fault" : "faults"}`;
  return markup`<details><summary>${heading}</summary><ul>${items}</ul></details>`;
}

function markedText(
  text: string,
  quotes: readonly { readonly start: number; readonly end: number; readonly found: Mark }[],
): Html {
  const parts: (Html | string)[] = [];
  let from = 0;
  for (const { start, end, found } of quotes.toSorted((x, y) => x.start - y.start)) {
    parts.push(
      text.slice(from, start),
      markup`<mark class="quote ${found}">${text.slice(start, end)}${signOf(found)}</mark>`,
    );
    from = end;
  }
  return markup`${[...parts, text.slice(from)]}`;
}

function signOf(mark: Mark): Html {
  const { sign, words } = MARKS[mark];
  return markup`<span class="sign" title="${words}"> ${sign}<span class="hidden"> (${words})</span></span>`;
}
