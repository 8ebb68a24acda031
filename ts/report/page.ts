/**
 * The page of a run.
 *
 * @module
 */
import { formatDuration } from "../train/mod.ts";
import { configSection, differencesTable } from "./config_section.ts";
import { accuracyFigures, type NamedHistory, stageFigures } from "./curves.ts";
import { type History, historyOf, type SessionEnd } from "./history.ts";
import { countLedger, rolloutOutcomes } from "./ledger.ts";
import { type Html, markup, raw } from "./markup.ts";
import { formatFigure, formatShare, formatTime, grouped, percent } from "./numbers.ts";
import type { Pairs } from "./pairs.ts";
import { POINTS, type RunRecords, type StageNumber } from "./records.ts";
import { STYLE } from "./style.ts";
import { type StepCount, summarise } from "./summary.ts";
import { table } from "./table.ts";
import { POINT_NAMES } from "./trace_view.ts";
import { tracesSection } from "./traces_section.ts";

/** What the page begins with, so that one can be told from any other file. */
export const PAGE_OPENING: string = "<!doctype html>\n<!-- rm-r1 report -->\n";

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/** What a page is made of. */
export interface PageParts {
  readonly run: RunRecords;
  /** Runs whose curves and figures are shown beside. Their judgements are not looked at. */
  readonly others: readonly RunRecords[];
  readonly pairs: Pairs;
  /** Most pairs whose traces are shown. */
  readonly traces: number;
  /** The time of the page; it decides whether a run counts as running. */
  readonly now: Date;
  /** The version that makes the page. */
  readonly code: string;
}

interface Section {
  readonly id: string;
  readonly title: string;
  readonly content: Html;
}

/**
 * One HTML page, whole in itself: no script, no network, everything that is from a run escaped. The policy in its head
 * lets a browser run or load nothing, should an escape ever be missing.
 */
export async function renderPage(parts: PageParts): Promise<string> {
  const { run, now, code } = parts;
  const sections = sectionsOf(parts);
  const links = sections.map(({ id, title }) => markup`<li><a href="#${id}">${title}</a></li>`);
  const contents = sections.map(({ id, title, content }) =>
    markup`<section id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">${title}</h2>
${content}</section>
`
  );
  const page = markup`<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Run ${run.name}</title>
<style>${raw(STYLE)}</style>
</head>
<body>
<header>
<h1>Run ${run.name}</h1>
${headline(run, now)}
<nav aria-label="Sections"><ul>${links}</ul></nav>
</header>
<main>
${contents}</main>
<footer><p class="meta">Made ${formatTime(now.toISOString())} by rm-r1 ${code}</p></footer>
</body>
</html>
`;
  return `${PAGE_OPENING}${await page}`;
}

function sectionsOf({ run, others, pairs, traces, now }: PageParts): Section[] {
  const runs = namesApart([run, ...others]);
  const histories = runs.map((each): NamedHistory => ({ name: each.name, history: historyOf(each, now) }));
  const { history } = histories[0]!;
  const stages: readonly { readonly number: StageNumber; readonly title: string }[] = [
    { number: 1, title: "Stage 1: distillation" },
    { number: 2, title: "Stage 2: reinforcement" },
  ];
  const figures = (drawn: readonly Html[]): Html => markup`<div class="figures">${drawn}</div>`;
  return [
    ...(history.warnings.length === 0
      ? []
      : [{ id: "warnings", title: "Warnings", content: warningsList(history) }]),
    { id: "accuracy", title: "Accuracy", content: accuracySection(histories) },
    ...(others.length === 0
      ? []
      : [{ id: "comparison", title: "Comparison", content: comparison(runs, now) }]),
    ...stages.flatMap(({ number, title }) => {
      const drawn = stageFigures(histories, number);
      return drawn.length === 0 ? [] : [{ id: `stage-${number}`, title, content: figures(drawn) }];
    }),
    { id: "ledger", title: "Left out and cut short", content: ledgerSection(run, history) },
    { id: "traces", title: "Traces", content: tracesSection(run, pairs, traces) },
    { id: "configuration", title: "Configuration", content: configSection(run) },
    { id: "evidence", title: "Hashes, versions and sessions", content: evidenceSection(run, history) },
  ];
}

/** The runs with names that differ: of two folders of the same name, the paths. */
function namesApart(runs: readonly RunRecords[]): RunRecords[] {
  const names = runs.map(({ name }) => name);
  return runs.map((run) =>
    names.filter((name) => name === run.name).length > 1 ? { ...run, name: run.path } : run
  );
}

function headline(run: RunRecords, now: Date): Html {
  const { state, model, judge, steps, accuracy, seconds, lastActivity } = summarise(run, now);
  const tiles = POINTS.map((point) => {
    const share = accuracy[point];
    const value = share === null ? "–" : `${percent(share.value)}\u00a0%`;
    const interval = share === null
      ? "not evaluated"
      : `95 % interval ${percent(share.interval[0])} to ${percent(share.interval[1])}`;
    return markup`<div class="card"><dt>${
      POINT_NAMES[point]
    }</dt><dd>${value}<small>${interval}</small></dd></div>`;
  });
  const facts = [
    `${judge} from ${model}`,
    `stage 1: ${stepWords(steps.stage1)}`,
    `stage 2: ${stepWords(steps.stage2)}`,
    formatDuration(seconds),
    ...(lastActivity === null ? [] : [`last activity ${formatTime(lastActivity)}`]),
  ];
  return markup`<p><span class="badge ${state}">${state}</span> ${facts.join(" · ")}</p>
<dl class="tiles" aria-label="Accuracy on held-out pairs">${tiles}</dl>`;
}

function stepWords(steps: StepCount | null): string {
  return steps === null ? "left out" : `${steps.done} of ${steps.planned ?? "?"} steps`;
}

function warningsList({ warnings }: History): Html {
  return markup`<ul>${
    warnings.map(({ time, message }) =>
      markup`<li><span class="meta">${formatTime(time)}</span> ${message}</li>`
    )
  }</ul>`;
}

function accuracySection(runs: readonly NamedHistory[]): Html {
  const figures = accuracyFigures(runs);
  if (figures.length === 0) return markup`<p>Nothing has been evaluated yet.</p>`;
  const { history: { evaluations } } = runs[0]!;
  const rows = POINTS.flatMap((point) => {
    const evaluation = evaluations[point];
    if (evaluation === undefined) return [];
    const { accuracy, parsedAccuracy, parseRate, examples, unparsable } = evaluation;
    const reasons = Object.entries(unparsable).map(([reason, count]) => `${grouped(count)} ${reason}`);
    return [[
      POINT_NAMES[point],
      formatShare(accuracy),
      formatShare(parsedAccuracy),
      formatShare(parseRate),
      grouped(examples),
      reasons.join(", ") || "–",
    ]];
  });
  return markup`${
    table("Held-out pairs, per cent with 95 % intervals", [
      "Point",
      "Accuracy",
      "Of the readable",
      "Readable",
      "Pairs",
      "Not readable",
    ], rows)
  }
<div class="figures">${figures}</div>`;
}

function comparison(runs: readonly RunRecords[], now: Date): Html {
  const rows = runs.map((run) => {
    const { state, steps, accuracy, seconds } = summarise(run, now);
    const shares = POINTS.map((point) => formatShare(accuracy[point]));
    const stages = [steps.stage1, steps.stage2].map(stepWords);
    return [run.name, state, ...shares, ...stages, formatDuration(seconds)];
  });
  const held = new Set(runs.map(({ provenance }) => provenance["evaluation data"]));
  return markup`${
    held.size > 1
      ? markup`<p class="notice">The runs were not evaluated on the same held-out pairs: their accuracies are not of the
same thing.</p>`
      : ""
  }
${
    table(
      "The runs, accuracy in per cent with 95 % intervals",
      ["Run", "State", ...POINTS.map((point) => POINT_NAMES[point]), "Stage 1", "Stage 2", "Took"],
      rows,
    )
  }
${differencesTable(runs)}`;
}

function ledgerSection(run: RunRecords, history: History): Html {
  const counts = countLedger(run.ledger, history);
  const rows = counts.map(({ stage, what, reason, count, examples }) => [
    stage === null ? "data" : `stage ${stage}`,
    what,
    reason,
    grouped(count),
    examples === null ? "–" : grouped(examples),
  ]);
  const outcomes = Object.entries(rolloutOutcomes(history)).sort(([, x], [, y]) => y - x);
  const all = outcomes.reduce((total, [, count]) => total + count, 0);
  const { data } = history;
  return markup`${
    data === null
      ? ""
      : markup`<p>${grouped(data.train)} records to train on, ${grouped(data.evaluation)} held out; ${
        history.stages.map(({ stage, examples }) => `stage ${stage} has ${grouped(examples)} examples`).join(
          ", ",
        )
      }.</p>`
  }
${
    run.ledger === null
      ? markup`<p class="notice">This run kept no ledger: the counts are the journal's.</p>`
      : ""
  }
${
    rows.length === 0
      ? markup`<p>No example was left out, cut short or unreadable.</p>`
      : table("Examples by what became of them", ["Where", "What", "Reason", "Times", "Examples"], rows)
  }
${
    outcomes.length === 0 ? "" : table(
      "Rollouts by what became of them",
      ["Outcome", "Rollouts", "Share"],
      outcomes.map(([outcome, count]) => [
        outcome,
        grouped(count),
        `${formatFigure(100 * count / all)}\u00a0%`,
      ]),
    )
  }`;
}

const ENDS: { readonly [end in SessionEnd]: string } = {
  "finished": "finished",
  "interrupted": "interrupted; what was done is saved",
  "broken-off": "broken off without a word: killed, or failed",
  "running": "running",
};

function evidenceSection({ provenance }: RunRecords, history: History): Html {
  const hashes = Object.entries(provenance);
  const sessions = history.sessions.map(({ began, seconds, code, backend, last, repeated, end }, index) => [
    index + 1,
    formatTime(began),
    formatDuration(seconds),
    code,
    backend,
    last === null ? "–" : `stage ${last.stage}, step ${last.step}`,
    grouped(repeated),
    ENDS[end],
  ]);
  const chosen = history.stages.filter((stage) => stage.chosen !== null).map(({ stage, chosen }) =>
    markup`<p>Stage ${stage} ended with the weights of step ${chosen}, the best on validation pairs.</p>`
  );
  return markup`${
    hashes.length === 0
      ? markup`<p>The run has no provenance.json yet.</p>`
      : table("What the run depends on", ["What", "Version or hash"], hashes, "config")
  }
${chosen}
${
    table("Sessions", [
      "Session",
      "Began",
      "Took",
      "Code",
      "Computed on",
      "Last step",
      "Steps done again",
      "End",
    ], sessions)
  }`;
}
