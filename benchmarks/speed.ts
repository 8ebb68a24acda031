/**
 * `deno task bench:speed`: ours beside each peer, in turn, on the same work.
 *
 * @module
 */
import process from "node:process";
import { codeVersion } from "../ts/train/version.ts";
import { thisMachine } from "./machine.ts";
import { measureRow } from "./measure.ts";
import { parseOptions } from "./options.ts";
import { awaitRest } from "./rest.ts";
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

const args = process.argv.slice(2);
const options = parseOptions(args, { name: "rows", ids: IDS, repetitions: 5 });
const { repetitions, threads, evenIfBusy } = options;
const chosen: readonly Row[] = ROWS.filter(({ id }) => options.chosen.includes(id));
const log = (line: string): void => void process.stderr.write(`${line}\n`);

const peersFault = await peersState();
const prepared = await prepare({
  threads,
  inputs: Object.fromEntries(
    chosen.map(({ id, inputs, warmUp = inputs, discarded }) => [
      id,
      { warmUp, each: inputs, repetitions: discarded + repetitions },
    ]),
  ),
});
const code = await codeVersion();

async function measure(row: Row): Promise<RowReport> {
  const { id, work, peer, lifetime, discarded, metrics } = row;
  const rest = await awaitRest({ evenIfBusy });
  log(`${id}: ${work}`);
  const outcome = await measureRow(sidesOf(row, { prepared, threads, peersFault }), {
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
  if (outcome.status !== "measured") log(`  ${outcome.status}: ${outcome.reason}`);
  const measuredAt = new Date().toISOString();
  return { id, work, peer, outcome, measuredAt, code, threads, repetitions, rest };
}

const rows: RowReport[] = [];
for (const row of chosen) rows.push(await measure(row));
const command = ["deno task bench:speed", ...args].join(" ");
const report: SpeedReport = { kind: "speed", machine: thisMachine(), command, rows };
if (options.writeDocs) {
  const stored = await readReport(SPEED_FILE, speedReportSchema);
  await writeReport(SPEED_FILE, stored === null ? report : mergeReports(stored, report, IDS));
  await writeResultsPage();
}
process.stdout.write(
  options.json
    ? `${JSON.stringify(report)}\n`
    : markdownTable(TABLE_HEAD, rows.flatMap((row) => tableRows(row))),
);
if (rows.some(({ outcome }) => outcome.status === "failed")) process.exitCode = 1;
