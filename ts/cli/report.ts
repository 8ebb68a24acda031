/**
 * `report`: shows a run on one HTML page.
 *
 * @module
 */
import { open } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { exists, writeFileDurably } from "../train/durable.ts";
import { codeVersion } from "../train/mod.ts";
import { UsageError } from "./errors.ts";
import {
  anyText,
  type Command,
  defaulted,
  defineCommand,
  optional,
  positional,
  repeated,
  wholeNumber,
} from "./parser.ts";
import { RUNS } from "./run_names.ts";
import { megabytes } from "./units.ts";

/** The command. */
export const report: Command = defineCommand({
  name: "report",
  brief: "Write one HTML page of a run: curves, traces, configuration, hashes",
  options: {
    run: positional(anyText("RUN"), "Name of the run, or its folder"),
    file: optional("--out", anyText("FILE"), "The page; report.html in the run's folder if not given"),
    compare: repeated("--compare", anyText("RUN"), "A run to show beside; may be given again"),
    traces: defaulted("--traces", wholeNumber({ min: 0 }), 12, "Most pairs whose traces are shown"),
  },
  async run({ run: name, file, compare, traces }, { out }) {
    // Drawing takes its libraries a while to load, which no other command should wait for.
    const { COLOURS, loadPairs, PAGE_OPENING, readRun, renderPage } = await import("../report/mod.ts");
    if (compare.length >= COLOURS) {
      throw new UsageError(
        `There are ${compare.length} runs to compare with, expected at most ${COLOURS - 1}`,
      );
    }
    const run = await readRun(folderOf(name));
    const others = await Promise.all(compare.map((each) => readRun(folderOf(each), { judgements: false })));
    const target = file ?? join(run.path, "report.html");
    await refuseOther(target, PAGE_OPENING);
    const pairs = await loadPairs(run);
    const page = await renderPage({
      run,
      others,
      pairs,
      traces,
      now: new Date(),
      code: await codeVersion(),
    });
    await writeFileDurably(target, page);
    const bytes = new TextEncoder().encode(page).length;
    out(`Wrote ${target} (${megabytes(bytes)})\n`);
    if (pairs.kind === "missing") out(`The pairs that were judged are not on it: ${pairs.reason}\n`);
    return {
      run: run.path,
      file: target,
      bytes,
      compared: others.map(({ path }) => path),
      pairs: pairs.kind,
    };
  },
});

/** A name is of a folder in `runs`; what has slashes is a path. */
function folderOf(run: string): string {
  return basename(run) === run && run !== "." && run !== ".." ? join(RUNS, run) : run;
}

/** Refuses a place that holds another file than an earlier page, or that has no folder. */
async function refuseOther(path: string, opening: string): Promise<void> {
  if (!(await exists(dirname(path)))) {
    throw new UsageError(`Folder "${dirname(path)}" is not there, expected it to hold "${basename(path)}"`);
  }
  if (!(await exists(path))) return;
  const handle = await open(path, "r");
  try {
    const expected = new TextEncoder().encode(opening);
    const { buffer } = await handle.read(new Uint8Array(expected.length), 0, expected.length, 0);
    if (buffer.every((byte, index) => byte === expected[index])) return;
  } finally {
    await handle.close();
  }
  throw new UsageError(`File "${path}" exists already and is no report; name a new file`);
}
