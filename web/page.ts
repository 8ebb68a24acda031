/**
 * What stands on the page before its script runs.
 *
 * @module
 */
import { type Html, markup } from "rm-r1/report/parts";
import { VIEW_LAYOUT, viewBrowser } from "../harness/view/page.ts";

/** Added to the style of reports. */
export const LAYOUT = `${VIEW_LAYOUT}
form:not(#filters) { display: grid; gap: 0.6rem; margin: 0.75rem 0; }
label { display: grid; gap: 0.15rem; font-size: 0.85rem; color: var(--quiet); }
label[hidden] { display: none; }
.fields { display: flex; flex-wrap: wrap; gap: 0.6rem 1rem; align-items: end; }
.answers { display: grid; gap: 0.6rem 1rem; grid-template-columns: 1fr 1fr; }
select, input, textarea, button { font: inherit; font-size: 0.9rem; color: var(--ink); background: var(--raised);
  border: 1px solid var(--line); border-radius: 0.35rem; padding: 0.3rem 0.5rem; }
textarea { min-height: 6rem; resize: vertical; }
button { cursor: pointer; }
button:disabled { cursor: default; opacity: 0.5; }
#status { min-height: 1.5em; overflow-wrap: anywhere; }
#status.error { color: var(--bad); }
progress { width: 100%; }
#trace { white-space: pre-wrap; overflow-wrap: anywhere; max-height: 24rem; overflow-y: auto; padding: 0.6rem;
  border: 1px solid var(--line); border-radius: 0.35rem; background: var(--raised); }
.rubric { width: 100%; }
.rubric td { width: 8rem; text-align: right; }
.bar { display: block; height: 0.35rem; background: var(--link); border-radius: 0.2rem; }
.quotes { padding-left: 1.1rem; }
.quotes .missing q, .quotes .empty q { background: var(--bad-ground); text-decoration: underline wavy var(--bad); }
.quotes .exact q, .quotes .normalised q { background: var(--good-ground); }
@media (max-width: 40rem) { .answers { grid-template-columns: minmax(0, 1fr); } }
`;

const EXAMPLE = {
  prompt: "Anna has 57 pens. Later 25 of the pens are sold. How many pens does Anna have now?",
  a: "First 57-25=32.\nSo the answer is 32.",
  b: "First 57-25=42.\nSo the answer is 42.",
};

/** The page. `content`: elements with what it brings along. */
export function pageBody(hasJudge: boolean, content: readonly Html[]): Html {
  const embedded = hasJudge ? markup`<option value="embedded">The small judge on this page</option>` : "";
  return markup`<header><h1>rm-r1: a judge that gives its reasons</h1>
<p>A language model reads a question with two answers, writes down how it judges, and decides. All of it happens in
this page: nothing is sent anywhere.</p></header>
<main>
<section aria-labelledby="model-title"><h2 id="model-title">Model</h2>
<form id="model"><div class="fields">
<label>Source <select id="source">${embedded}<option value="files">Files: a GGUF file, or a judge's folder</option>
<option value="url">The URL of a GGUF file</option></select></label>
<label id="files-field">Files <input id="files" type="file" multiple></label>
<label id="url-field">URL <input id="url" type="url" placeholder="https://…/model.gguf"></label>
<label id="protocol-field">Asked as <select id="protocol"><option value="instruct">RM-R1 asks instruct models</option>
<option value="reasoning">RM-R1 asks reasoning models</option><option value="compact">this project's small judges</option>
</select></label>
<label>Precision <select id="precision"><option value="f32">f32</option><option value="int8">int8, faster</option></select></label>
<label>Most tokens <input id="tokens" type="number" min="1" max="8192" value="1024"></label>
<button id="load">Load</button></div></form></section>
<section aria-labelledby="pair-title"><h2 id="pair-title">Question and answers</h2>
<form id="pair"><label>Question <textarea id="prompt" required>${EXAMPLE.prompt}</textarea></label>
<div class="answers"><label>Answer A <textarea id="a" required>${EXAMPLE.a}</textarea></label>
<label>Answer B <textarea id="b" required>${EXAMPLE.b}</textarea></label></div>
<div class="fields"><label>Orders <select id="orders"><option value="both">both</option>
<option value="given">as given</option></select></label>
<button id="judge" disabled>Judge</button><button id="cancel" type="button" disabled>Cancel</button></div></form></section>
<p id="status" role="status"></p><progress id="progress" hidden></progress>
<section id="result" aria-label="Result"></section>
<section id="traces" aria-labelledby="trace-title" hidden><h2 id="trace-title">Trace</h2>
<div id="trace" tabindex="0" role="region" aria-label="What the judge wrote"></div></section>
<section aria-labelledby="runs-title"><h2 id="runs-title">A run of the harness</h2>
<p>Judgements to browse: the page that <code>deno task bench view RUN</code> wrote.</p>
<label>Page of a run <input id="run-file" type="file" accept=".html"></label>
<p id="run-status" role="status"></p><div id="run"></div>
<template id="run-browser">${viewBrowser()}</template></section>
</main>
${content}`;
}
