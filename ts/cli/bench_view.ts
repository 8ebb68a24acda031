/**
 * `bench view RUN`: a run as a page to browse.
 *
 * @module
 */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { readStoredRun, viewPage } from "rm-r1-harness";
import { anyText, type Command, defineCommand, optional, positional } from "./parser.ts";

/** Name of the page in a run's folder. */
const PAGE = "view.html";

/** The command. */
export const benchView: Command = defineCommand({
  name: "bench view",
  brief: "Write a run as one HTML page: answers, traces, rubrics and quotes, with filters",
  options: {
    run: positional(anyText("RUN"), "The run's folder"),
    file: optional(
      "--out",
      anyText("FILE"),
      `Where to write the page; ${PAGE} in the run's folder if not given`,
    ),
    data: optional("--data", anyText("PATH"), "Where the data are, if no longer where the run read them"),
  },
  async run({ run: directory, file = join(directory, PAGE), data }, { out }) {
    const run = await readStoredRun(directory, { texts: true, ...(data !== undefined && { data }) });
    const page = await viewPage(run);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, page);
    out(`Wrote ${file}\n`);
    return { file, items: run.items.length, judgements: run.result.judgements };
  },
});
