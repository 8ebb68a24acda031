/**
 * `deno task bench:scaling`: how time and memory of training grow with sequence, batch, size, threads and rollouts.
 *
 * @module
 */
import process from "node:process";
import { codeVersion } from "../ts/train/version.ts";
import { runBenchmark } from "./command.ts";
import { thisMachine } from "./machine.ts";
import { type BenchmarkOptions, parseOptions } from "./options.ts";
import type { Sample } from "./protocol.ts";
import { awaitRest } from "./rest.ts";
import { readReport, SCALING_FILE, writeReport, writeResultsPage } from "./results.ts";
import { jobOf, type Point, pointsOf, repetitionsOf, STUDIES, type Study } from "./scaling_points.ts";
import {
  mergeStudies,
  outcomeOf,
  type PointOutcome,
  type PointReport,
  type ScalingReport,
  scalingReportSchema,
  type StudyReport,
} from "./scaling_report.ts";
import { scalingTable } from "./scaling_table.ts";
import { OUR_WORKER } from "./sides.ts";
import { UnavailableError } from "./unavailable.ts";
import { WorkerError, WorkerProcess } from "./worker_process.ts";

async function measurePoint(
  point: Point,
  { precision, repetitions }: BenchmarkOptions,
): Promise<PointOutcome> {
  const count = repetitionsOf(point, repetitions);
  try {
    const job = jobOf(point, { precision, repetitions: count });
    const { worker } = await WorkerProcess.start("ours", OUR_WORKER, job);
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

async function measureStudy(study: Study, options: BenchmarkOptions): Promise<StudyReport> {
  const { precision, repetitions, threads, evenIfBusy } = options;
  const rest = await awaitRest({ evenIfBusy });
  const points: PointReport[] = [];
  for (const point of pointsOf(study, threads)) {
    const outcome = await measurePoint(point, options);
    process.stderr.write(`${study}: ${JSON.stringify({ ...point, outcome })}\n`);
    points.push({ ...point, outcome });
  }
  const measuredAt = new Date().toISOString();
  return { study, precision, repetitions, code: await codeVersion(), measuredAt, rest, points };
}

/** Keeps what was measured at once, so that a run that is broken off loses nothing. */
async function store(report: ScalingReport): Promise<void> {
  const stored = await readReport(SCALING_FILE, scalingReportSchema);
  await writeReport(SCALING_FILE, stored === null ? report : mergeStudies(stored, report));
  await writeResultsPage();
}

await runBenchmark(async () => {
  const args = process.argv.slice(2);
  const options = parseOptions(args, { name: "studies", ids: STUDIES, repetitions: 3 });
  const command = ["deno task bench:scaling", ...args].join(" ");
  const reportOf = (studies: readonly StudyReport[]): ScalingReport => ({
    kind: "scaling",
    machine: thisMachine(),
    command,
    studies,
  });
  const studies: StudyReport[] = [];
  for (const study of STUDIES.filter((each) => options.chosen.includes(each))) {
    const report = await measureStudy(study, options);
    studies.push(report);
    if (options.writeDocs) await store(reportOf([report]));
  }
  process.stdout.write(
    options.json ? `${JSON.stringify(reportOf(studies))}\n` : studies.map(scalingTable).join("\n"),
  );
  return studies.every(({ points }) => points.every(({ outcome }) => outcome.status !== "failed"));
});
