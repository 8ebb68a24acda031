/**
 * `deno task bench:speed`: ours beside each peer, in turn, on the same work.
 *
 * @module
 */
import process from "node:process";
import { codeVersion } from "../ts/train/version.ts";
import { runBenchmark } from "./command.ts";
import { thisMachine } from "./machine.ts";
import { measureRow, type Outcome } from "./measure.ts";
import { type BenchmarkOptions, parseOptions } from "./options.ts";
import type { Prepared } from "./ours/prepare.ts";
import { awaitRest, BusyError } from "./rest.ts";
import { readReport, SPEED_FILE, writeReport, writeResultsPage } from "./results.ts";
import { type Row, ROWS } from "./rows.ts";
import { peersState, prepare, sidesOf } from "./sides.ts";
import {
  markdownTable,
  mergeReports,
  type RowReport,
  type SpeedReport,
  speedReportSchema,
  TABLE_HEAD,
  tableRows,
} from "./speed_report.ts";

const IDS = ROWS.map(({ id }) => id);

function log(line: string): void {
  process.stderr.write(`${line}\n`);
}

function prepareRows(rows: readonly Row[], { repetitions, threads }: BenchmarkOptions): Promise<Prepared> {
  const inputs = Object.fromEntries(
    rows.map(({ id, inputs, warmUp = inputs, discarded }) => [
      id,
      { warmUp, each: inputs, repetitions: discarded + repetitions },
    ]),
  );
  return prepare({ threads, inputs });
}

async function outcomeOf(
  row: Row,
  { repetitions, threads }: BenchmarkOptions,
  ready: { readonly prepared: Prepared; readonly peersFault: string | null },
): Promise<Outcome> {
  const { peer, lifetime, discarded, metrics } = row;
  return await measureRow(sidesOf(row, { ...ready, threads }), {
    lifetime,
    repetitions,
    discarded,
    metrics,
    onPair: (repetition, ours, other) =>
      log(
        `  ${repetition + 1} of ${repetitions}: ours ${ours.seconds.toFixed(3)} s, ` +
          `${peer} ${other.seconds.toFixed(3)} s`,
      ),
  });
}

/** Keeps what was measured at once, so that a run that is broken off loses nothing. */
async function store(report: SpeedReport): Promise<void> {
  const stored = await readReport(SPEED_FILE, speedReportSchema);
  await writeReport(SPEED_FILE, stored === null ? report : mergeReports(stored, report, IDS));
  await writeResultsPage();
}

await runBenchmark(async () => {
  const args = process.argv.slice(2);
  const options = parseOptions(args, { name: "rows", ids: IDS, repetitions: 5 });
  const { repetitions, threads, evenIfBusy } = options;
  const chosen = ROWS.filter(({ id }) => options.chosen.includes(id));
  await awaitRest({ evenIfBusy });
  const ready = { peersFault: await peersState(), prepared: await prepareRows(chosen, options) };
  const code = await codeVersion();
  const command = ["deno task bench:speed", ...args].join(" ");
  const rows: RowReport[] = [];
  const reportOf = (measured: readonly RowReport[]): SpeedReport => ({
    kind: "speed",
    machine: thisMachine(),
    command,
    rows: measured,
  });
  for (const row of chosen) {
    const { id, work, peer } = row;
    log(`${id}: ${work}`);
    const { rest, fault } = await awaitRest({ evenIfBusy }).then(
      (rest) => ({ rest, fault: null }),
      (error: unknown) => {
        if (!(error instanceof BusyError)) throw error;
        return { rest: error.rest, fault: error.message };
      },
    );
    const outcome = fault === null
      ? await outcomeOf(row, options, ready)
      : { status: "failed", reason: fault } as const;
    if (outcome.status !== "measured") log(`  ${outcome.status}: ${outcome.reason}`);
    const measuredAt = new Date().toISOString();
    const report: RowReport = { id, work, peer, outcome, measuredAt, code, threads, repetitions, rest };
    rows.push(report);
    if (options.writeDocs) await store(reportOf([report]));
  }
  process.stdout.write(
    options.json
      ? `${JSON.stringify(reportOf(rows))}\n`
      : markdownTable(TABLE_HEAD, rows.flatMap((row) => tableRows(row))),
  );
  return rows.every(({ outcome }) => outcome.status !== "failed");
});
