/**
 * `deno task bench:scaling`: how time and memory of training grow with sequence, batch, size, threads and rollouts.
 *
 * @module
 */
import process from "node:process";
import { codeVersion } from "../ts/train/version.ts";
import { thisMachine } from "./machine.ts";
import { parseOptions } from "./options.ts";
import type { Sample, Setup } from "./protocol.ts";
import { awaitRest } from "./rest.ts";
import { readReport, SCALING_FILE, writeReport, writeResultsPage } from "./results.ts";
import { jobOf, type Point, pointsOf, repetitionsOf, STUDIES, type Study } from "./scaling_points.ts";
import {
  mergeStudies,
  outcomeOf,
  type PointOutcome,
  type ScalingReport,
  scalingReportSchema,
  type StudyReport,
} from "./scaling_report.ts";
import { scalingTable } from "./scaling_table.ts";
import { OUR_WORKER } from "./sides.ts";
import { UnavailableError } from "./unavailable.ts";
import { WorkerError, WorkerProcess } from "./worker_process.ts";

const args = process.argv.slice(2);
const options = parseOptions(args, { name: "studies", ids: STUDIES, repetitions: 3 });
const { repetitions, threads, precision, evenIfBusy } = options;
const setup: Setup = { precision, weights: "expanded", activations: precision };
const code = await codeVersion();
const log = (line: string): void => void process.stderr.write(`${line}\n`);

async function measurePoint(point: Point): Promise<PointOutcome> {
  const count = repetitionsOf(point, repetitions);
  try {
    const { worker } = await WorkerProcess.start(
      "ours",
      OUR_WORKER,
      jobOf(point, { setup, repetitions: count }),
    );
    await using _ = worker;
    const samples: Sample[] = [];
    for (let repetition = 1; repetition <= count; repetition++) {
      samples.push(await worker.measure(repetition));
    }
    return outcomeOf(samples);
  } catch (error) {
    if (error instanceof UnavailableError) return { status: "not available", reason: error.message };
    if (error instanceof WorkerError) return { status: "failed", reason: error.message };
    throw error;
  }
}

async function measureStudy(study: Study): Promise<StudyReport> {
  const rest = await awaitRest({ evenIfBusy });
  const points = [];
  for (const point of pointsOf(study, threads)) {
    const outcome = await measurePoint(point);
    log(`${study}: ${JSON.stringify({ ...point, outcome })}`);
    points.push({ ...point, outcome });
  }
  return { study, precision, repetitions, code, measuredAt: new Date().toISOString(), rest, points };
}

const studies: StudyReport[] = [];
for (const study of STUDIES) if (options.chosen.includes(study)) studies.push(await measureStudy(study));
const command = ["deno task bench:scaling", ...args].join(" ");
const report: ScalingReport = { kind: "scaling", machine: thisMachine(), command, studies };
if (options.writeDocs) {
  const stored = await readReport(SCALING_FILE, scalingReportSchema);
  await writeReport(SCALING_FILE, stored === null ? report : mergeStudies(stored, report));
  await writeResultsPage();
}
process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : studies.map(scalingTable).join("\n"));
if (studies.some(({ points }) => points.some(({ outcome }) => outcome.status === "failed"))) {
  process.exitCode = 1;
}
