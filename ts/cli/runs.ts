/**
 * `runs`: lists the runs of training.
 *
 * @module
 */
// Not by its module as a whole, which loads what pages are drawn with.
import { formatShare } from "../report/numbers.ts";
import { readRuns } from "../report/read_run.ts";
import { type RunSummary, type StepCount, summarise } from "../report/summary.ts";
import { formatDuration, RunError } from "../train/mod.ts";
import { anyText, type Command, defaulted, defineCommand, type JsonObject } from "./parser.ts";
import { RUNS } from "./run_names.ts";

/** The command. */
export const runs: Command = defineCommand({
  name: "runs",
  brief: "List the runs of training: their state, steps, accuracy and time",
  options: { folder: defaulted("--dir", anyText("DIR"), RUNS, "Folder of the runs") },
  async run({ folder }, { out, log }) {
    const found = await readRuns(folder);
    const now = new Date();
    const summaries: RunSummary[] = [];
    const damaged: { name: string; error: string }[] = [];
    for (const { name, run } of found) {
      if (run instanceof RunError) damaged.push({ name, error: run.message });
      else summaries.push(summarise(run, now));
    }
    if (found.length === 0) out(`There are no runs of training in "${folder}"\n`);
    else out(`${formatColumns([HEAD, ...summaries.map(rowOf)])}\n`);
    for (const { name, error } of damaged) log(`Damaged run "${printable(name)}": ${printable(error)}\n`);
    return { runs: summaries as unknown as JsonObject[], damaged };
  },
});

const HEAD = [
  "RUN",
  "STATE",
  "MODEL",
  "JUDGE",
  "STAGE 1",
  "STAGE 2",
  "BASE %",
  "DISTILLED %",
  "FINAL %",
  "TIME",
  "LAST ACTIVITY",
];

function rowOf({ name, state, model, judge, steps, accuracy, seconds, lastActivity }: RunSummary): string[] {
  const { base, distilled, final } = accuracy;
  return [
    printable(name),
    state,
    printable(model),
    printable(judge),
    stepsOf(steps.stage1),
    stepsOf(steps.stage2),
    ...[base, distilled, final].map(formatShare),
    formatDuration(seconds),
    lastActivity === null ? "–" : lastActivity.slice(0, 16).replace("T", " "),
  ];
}

function stepsOf(steps: StepCount | null): string {
  return steps === null ? "–" : `${steps.done}/${steps.planned ?? "?"}`;
}

/** Without what moves a terminal's cursor or changes its colours. */
function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, "�");
}

/** Rows as columns, two spaces apart. */
function formatColumns(rows: readonly (readonly string[])[]): string {
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd())
    .join("\n");
}
