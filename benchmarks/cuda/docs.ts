/**
 * `deno task bench:cuda`: what a machine with a GPU brought back, as a table, or with `--write-docs` as a section of
 * docs/results.md.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { runBenchmark } from "../command.ts";
import { CUDA_FILE, readReport, writeReport, writeResultsPage } from "../results.ts";
import { readRecords } from "./records.ts";
import { cudaReportSchema, mergeCudaReports } from "./report.ts";
import { cudaSection } from "./section.ts";
import { readTraining } from "./training.ts";

await runBenchmark(async () => {
  const { values, positionals } = parseArgs({
    options: { "write-docs": { type: "boolean", default: false } },
    allowPositionals: true,
  });
  const [folder, ...more] = positionals;
  if (folder === undefined || more.length > 0) {
    throw new RangeError(`Folders are "${positionals.join()}", expected one with the results of run.sh`);
  }
  const [records, training] = [await readRecords(folder), await readTraining(folder)];
  const fresh = { kind: "cuda", records, training } as const;
  if (values["write-docs"]) {
    await writeReport(CUDA_FILE, mergeCudaReports(await readReport(CUDA_FILE, cudaReportSchema), fresh));
    await writeResultsPage();
  }
  process.stdout.write(cudaSection(fresh, []));
  return true;
});
