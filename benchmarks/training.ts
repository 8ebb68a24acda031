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
  /** Leaves out what the stored report has. */
  readonly missing: boolean;
}

/** A variant to train from a seed. */
interface Job {
  readonly variant: Variant;
  readonly seed: number;
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
      missing: { type: "boolean", default: false },
    },
  });
  const chosen = chosenOf("variants", values.variants, VARIANTS.map(({ id }) => id));
  return {
    variants: VARIANTS.filter(({ id }) => chosen.includes(id)),
    seeds: wholeNumber("seeds", values.seeds),
    json: values.json,
    writeDocs: values["write-docs"],
    evenIfBusy: values["even-if-busy"],
    missing: values.missing,
  };
}

/** Whether its time is compared with another's. What the others come to does not depend on who else computes. */
function isTimed({ id, continued }: Variant): boolean {
  return id === "default" || continued !== undefined;
}

/** What is timed comes first, so that the machine need not be at rest for all of it. */
function jobsOf({ variants, seeds }: Options): Job[] {
  const all = Array.from({ length: seeds }, (_, seed) => variants.map((variant) => ({ variant, seed })))
    .flat();
  return [
    ...all.filter(({ variant }) => isTimed(variant)),
    ...all.filter(({ variant }) => !isTimed(variant)),
  ];
}

await runBenchmark(async () => {
  const args = process.argv.slice(2);
  const options = readOptions(args);
  const command = ["deno task bench:training", ...args].join(" ");
  const reportOf = (runs: readonly TrainedRun[]): TrainingReport => ({
    kind: "training",
    machine: thisMachine(),
    command,
    runs,
  });
  const stored = (await readReport(TRAINING_FILE, trainingReportSchema))?.runs ?? [];
  const runs: TrainedRun[] = [];
  const find = (variant: string, seed: number): TrainedRun | undefined =>
    [...stored, ...runs].findLast((run) => run.variant === variant && run.seed === seed);
  for (const { variant, seed } of jobsOf(options)) {
    if (options.missing && find(variant.id, seed) !== undefined) continue;
    if (isTimed(variant)) await awaitRest(options);
    const run = await trainVariant(variant, seed, find(variant.config, seed)?.seconds ?? null);
    process.stderr.write(`${JSON.stringify(run)}\n`);
    runs.push(run);
    if (!options.writeDocs) continue;
    const kept = await readReport(TRAINING_FILE, trainingReportSchema);
    await writeReport(TRAINING_FILE, kept === null ? reportOf([run]) : mergeRuns(kept, reportOf([run])));
    await writeResultsPage();
  }
  const report = reportOf(runs);
  process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : `${trainingSection(report, "")}\n`);
  return true;
});
