/**
 * A run as one HTML page to browse.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { type Html, markup, raw, STYLE } from "rm-r1/report/parts";
import { pageWithScript } from "../page.ts";
import { interval, percent } from "../report.ts";
import type { BenchResult } from "../result.ts";
import type { StoredRun } from "../stored_run.ts";
import * as browser from "./browser/mod.ts";
import { viewData } from "./data.ts";

/** The style of {@link viewBrowser}, beside that of reports. */
export const VIEW_LAYOUT = `
form { display: flex; flex-wrap: wrap; gap: 0.4rem 0.9rem; align-items: end; margin: 0.75rem 0; }
form label { display: grid; font-size: 0.8rem; color: var(--quiet); }
select, input, button { font: inherit; font-size: 0.875rem; color: var(--ink); background: var(--raised);
  border: 1px solid var(--line); border-radius: 0.35rem; padding: 0.2rem 0.45rem; }
form select, form input { max-width: 16rem; }
#browser:not([hidden]) { display: grid; gap: 1.25rem; grid-template-columns: minmax(15rem, 22rem) minmax(0, 1fr); }
#browser > form { grid-column: 1 / -1; }
#list { position: relative; overflow-y: auto; height: 80vh; border: 1px solid var(--line); border-radius: 0.5rem; }
.sizer { position: relative; }
.row { position: absolute; left: 0; right: 0; padding: 0.35rem 0.6rem; border-bottom: 1px solid var(--line);
  border-left: 4px solid transparent; cursor: pointer; overflow: hidden; font-size: 0.82rem; line-height: 1.4; }
.row > span { display: block; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.row .asked { color: var(--quiet); }
.row.right { border-left-color: var(--good); } .row.wrong { border-left-color: var(--bad); }
.row.mixed, .row.unreadable { border-left-color: var(--odd); }
.row[aria-selected="true"] { background: var(--raised); box-shadow: inset 0 0 0 2px var(--link); }
#detail { min-width: 0; }
#detail h2 { margin-top: 0; padding-top: 0; border: 0; }
.tabs { display: flex; flex-wrap: wrap; gap: 0.4rem; margin: 0.75rem 0; }
.tabs button { cursor: pointer; }
.tabs [aria-selected="true"] { background: var(--link); color: var(--ground); border-color: var(--link); }
.rubric { width: 100%; margin-bottom: 0.75rem; }
.rubric td { width: 7rem; text-align: right; }
.bar { display: block; height: 0.35rem; background: var(--link); border-radius: 0.2rem; }
.quotes { list-style: none; margin: 0; padding: 0; font-size: 0.875rem; }
.quotes li { margin: 0.35rem 0; }
.quotes button { text-align: left; cursor: pointer; background: var(--good-ground); overflow-wrap: anywhere; }
.quotes button.missing, .quotes button.empty { background: var(--bad-ground); text-decoration: underline wavy var(--bad); }
mark.quote.missing, mark.quote.empty { text-decoration: underline wavy var(--bad); }
mark.shown { outline: 2px solid var(--link); }
@media (max-width: 50rem) {
  #browser:not([hidden]) { grid-template-columns: minmax(0, 1fr); }
  #list { height: 40vh; }
}
`;

const CHOICES: Readonly<
  Record<string, { readonly label: string; readonly options: readonly (readonly [string, string])[] }>
> = {
  outcome: {
    label: "Outcome",
    options: [
      ["disagreements", "Disagreements"],
      ["", "All"],
      ["right", "Right"],
      ["wrong", "Wrong"],
      ["mixed", "Right in one order alone"],
      ["unreadable", "No verdict"],
    ],
  },
  subset: { label: "Subset", options: [["", "All"]] },
  order: { label: "Order", options: [["", "Any"], ["flip", "Verdict flipped"], ["steady", "Did not flip"]] },
  length: {
    label: "The better answer is",
    options: [["", "Of any length"], ["shorter", "The shorter"], ["longer", "The longer"]],
  },
  quotes: {
    label: "Quotes",
    options: [["", "Any"], ["invented", "Some invented"], ["true", "All true"]],
  },
  sort: {
    label: "Sorted by",
    options: [["", "The data's order"], ["tokens", "Tokens written"], ["length", "Difference in length"]],
  },
};

/**
 * One page, whole in itself: nothing is loaded from elsewhere, and texts are set as text alone. The run must have been
 * read with its texts.
 */
export async function viewPage(run: StoredRun): Promise<string> {
  const { result, benchmark } = run;
  const data = (await promisify(gzip)(Buffer.from(JSON.stringify(viewData(run))))).toString("base64");
  const functions = Object.values(browser).map((each) => `${each}`);
  return await pageWithScript({
    title: `${result.judge.name} on ${benchmark.title}`,
    style: STYLE + VIEW_LAYOUT,
    script: `"use strict";\n${functions.join("\n")}\nstartView();\n`,
    body: markup`<header><h1>${result.judge.name} on ${benchmark.title}</h1>
<p>${aboutOf(result)}</p></header>
<main>
<p id="state" role="status">Reading the run…<noscript> This page needs JavaScript.</noscript></p>
<div id="browser" hidden>${viewBrowser()}</div>
</main>
<script type="application/octet-stream" id="data">${raw(data)}</script>`,
  });
}

/** What cases are browsed with: filters, their list, and one of them. */
export function viewBrowser(): Html {
  return markup`<form id="filters" aria-label="Filters">${Object.entries(CHOICES).map(chooser)}
<label>Search<input type="search" name="search" placeholder="In all texts"></label>
<button type="reset">Reset</button>
<output id="count" aria-live="polite"></output></form>
<div id="list" role="listbox" tabindex="0" aria-label="Cases"></div>
<section id="detail" aria-label="Case"></section>`;
}

function chooser([name, { label, options }]: readonly [string, (typeof CHOICES)[string]]): Html {
  return markup`<label>${label}<select name="${name}">${
    options.map(([value, text]) => markup`<option value="${value}">${text}</option>`)
  }</select></label>`;
}

function aboutOf(result: BenchResult): string {
  const { overall, items, judgements, pairwise, scope } = result;
  const part = { full: "", partial: " (a part of the benchmark)", sample: " (a sample)", own: "" }[scope];
  const range = interval(result);
  return [
    `${percent(overall)} %${range === "–" ? "" : ` ${range}`} on ${items.toLocaleString("en")} items${part}`,
    `${judgements.toLocaleString("en")} ${pairwise === null ? "comparisons of scores" : "judgements"}`,
    ...(pairwise === null || result.orders !== "both"
      ? []
      : [`${pairwise.flips} of ${pairwise.readable} pairs flipped with their order`]),
  ].join("; ");
}
