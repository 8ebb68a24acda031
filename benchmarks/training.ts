/**
 * `deno task bench:training`: what algorithms, kinds of judges and ablations come to on the embedded model.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { runBenchmark } from "./command.ts";
import { thisMachine } from "./machine.ts";
import { chosenOf, wholeNumber } from "./options.ts";
import { awaitRest } from "./rest.ts";
import { readReport, TRAINING_FILE, writeReport, writeResultsPage } from "./results.ts";
import { mergeRuns, type TrainedRun, type TrainingReport, trainingReportSchema } from "./training/report.ts";
import { trainVariant } from "./training/run.ts";
import { trainingSection } from "./training/section.ts";
import { type Variant, VARIANTS } from "./training/variants.ts";

interface Options {
  readonly variants: readonly Variant[];
  readonly seeds: number;
  readonly json: boolean;
  readonly writeDocs: boolean;
  readonly evenIfBusy: boolean;
}

function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      variants: { type: "string" },
      seeds: { type: "string", default: "5" },
      json: { type: "boolean", default: false },
      "write-docs": { type: "boolean", default: false },
      "even-if-busy": { type: "boolean", default: false },
    },
  });
  const chosen = chosenOf("variants", values.variants, VARIANTS.map(({ id }) => id));
  return {
    variants: VARIANTS.filter(({ id }) => chosen.includes(id)),
    seeds: wholeNumber("seeds", values.seeds),
    json: values.json,
    writeDocs: values["write-docs"],
    evenIfBusy: values["even-if-busy"],
  };
}

await runBenchmark(async () => {
  const args = process.argv.slice(2);
  const { variants, seeds, json, writeDocs, evenIfBusy } = readOptions(args);
  const command = ["deno task bench:training", ...args].join(" ");
  const reportOf = (runs: readonly TrainedRun[]): TrainingReport => ({
    kind: "training",
    machine: thisMachine(),
    command,
    runs,
  });
  const stored = await readReport(TRAINING_FILE, trainingReportSchema);
  const runs: TrainedRun[] = [];
  const secondsOf = (variant: string, seed: number): TrainedRun["seconds"] | null =>
    [...stored?.runs ?? [], ...runs].findLast((run) => run.variant === variant && run.seed === seed)
      ?.seconds ??
      null;
  for (let seed = 0; seed < seeds; seed++) {
    for (const variant of variants) {
      // Times are compared between these alone; what the others come to does not depend on who else computes.
      if (variant.id === "default" || variant.continued !== undefined) await awaitRest({ evenIfBusy });
      const run = await trainVariant(variant, seed, secondsOf(variant.config, seed));
      process.stderr.write(`${JSON.stringify(run)}\n`);
      runs.push(run);
      if (!writeDocs) continue;
      const kept = await readReport(TRAINING_FILE, trainingReportSchema);
      await writeReport(TRAINING_FILE, kept === null ? reportOf([run]) : mergeRuns(kept, reportOf([run])));
      await writeResultsPage();
    }
  }
  const report = reportOf(runs);
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : `${trainingSection(report, "")}\n`);
  return true;
});
