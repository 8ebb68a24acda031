/**
 * The held-out pairs on the page: how their judgements changed, how their quotes fared, and a sample side by side.
 *
 * @module
 */
import { place, type PreferenceRecord } from "../data/mod.ts";
import { type Course, coursesOf, type JudgedPair, resultOf, samplePairs } from "./judgements.ts";
import { type Html, markup, raw } from "./markup.ts";
import { formatFigure, grouped } from "./numbers.ts";
import type { Pairs } from "./pairs.ts";
import { POINTS, type RunRecords } from "./records.ts";
import { table } from "./table.ts";
import { type Answers, countQuotes, POINT_NAMES, quoteLegend, readTrace, traceView } from "./trace_view.ts";

/** Pairs that are shown open; the others unfold. */
const OPEN = 2;

/** The section's content; `most` pairs are shown. */
export function tracesSection(run: RunRecords, pairs: Pairs, most: number): Html {
  const courses = coursesOf(run);
  const all = courses.reduce((total, course) => total + course.pairs.length, 0);
  if (all === 0) return markup`<p>There are no judgements of held-out pairs yet.</p>`;
  const sample = samplePairs(courses, most);
  return markup`${coursesTable(courses, all)}
${pairs.kind === "found" ? quotesTable(run, pairs.records) : ""}
${
    pairs.kind === "missing"
      ? markup`<p class="notice">The pairs themselves are not at hand, so that traces stand alone and their quotes are not
checked. ${pairs.reason}</p>`
      : ""
  }
<h3>A sample of the pairs</h3>
<p>${grouped(sample.length)} of ${
    grouped(all)
  } pairs, some of each row above in turn: those whose outcome changed first.
Behind each quote stands whether it is in the answer that it quotes:</p>
${quoteLegend()}
${sample.map((pair, index) => pairView(pair, pairs, index < OPEN))}`;
}

function coursesTable(courses: readonly Course[], all: number): Html {
  const points = POINTS.filter((point) =>
    courses.some(({ results }) => results.some((each) => each.point === point))
  );
  const rows = courses.map(({ results, changed, pairs }) => {
    const of = new Map(results.map(({ point, result }) => [point, result]));
    const cells = points.map((point) => {
      const result = of.get(point);
      return result === undefined ? "–" : markup`<span class="badge ${result}">${result}</span>`;
    });
    const share = `${formatFigure(100 * pairs.length / all)}\u00a0%`;
    return [...cells, changed ? "yes" : "no", grouped(pairs.length), share];
  });
  const names = points.map((point) => POINT_NAMES[point]);
  return table("What became of each pair", [...names, "Changed", "Pairs", "Share"], rows);
}

function quotesTable({ judgements }: RunRecords, records: ReadonlyMap<string, PreferenceRecord>): Html {
  const rows = POINTS.flatMap((point) => {
    const judged = judgements[point];
    if (judged === undefined) return [];
    const counts = { exact: 0, normalised: 0, missing: 0, empty: 0 };
    let quoting = 0;
    for (const each of judged) {
      const record = records.get(each.id);
      if (record === undefined) continue;
      const of = countQuotes(readTrace(each), place(record, each.gold));
      for (const outcome of ["exact", "normalised", "missing", "empty"] as const) {
        counts[outcome] += of[outcome];
      }
      if (Object.values(of).some((count) => count > 0)) quoting++;
    }
    const cells = [quoting, counts.exact, counts.normalised, counts.missing, counts.empty];
    return [[POINT_NAMES[point], ...cells.map(grouped)]];
  });
  return table("Quotes of all judgements", [
    "Point",
    "Judgements with quotes",
    "Verbatim",
    "But for case, spaces, quotation marks",
    "Not in the answer",
    "Empty",
  ], rows);
}

function pairView(pair: JudgedPair, pairs: Pairs, open: boolean): Html {
  const { id, gold, judgements } = pair;
  const record = pairs.kind === "found" ? pairs.records.get(id) : undefined;
  const answers = record === undefined ? null : place(record, gold);
  const course = judgements.map(({ judged }) => resultOf(judged)).join(" → ");
  const texts = record === undefined || answers === null
    ? markup`<p class="meta">The better answer stood at ${gold}.</p>`
    : textsView(record, answers, gold);
  const traces = judgements.map(({ point, judged }) => traceView(point, judged, answers));
  return markup`<details class="pair card"${open ? raw(" open") : ""}>
<summary><h4>${id}</h4> <span>${course}</span></summary>
${texts}
<div class="side-by-side">${traces}</div>
</details>
`;
}

function textsView({ conversation }: PreferenceRecord, { a, b }: Answers, gold: "A" | "B"): Html {
  const turns = conversation.map(({ role, content }) =>
    textView(role === "user" ? "Question" : role, content)
  );
  const answer = (side: "A" | "B", text: string): Html =>
    markup`<section>${textView(`Answer ${side}${side === gold ? ", the better one" : ""}`, text)}</section>`;
  return markup`${turns}<div class="side-by-side">${answer("A", a)}${answer("B", b)}</div>`;
}

function textView(heading: string, text: string): Html {
  return markup`<h5>${heading}</h5>
<div class="text" tabindex="0" role="region" aria-label="${heading}">${text}</div>`;
}
