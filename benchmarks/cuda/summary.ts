/**
 * Prints what a folder of results says, as Markdown:
 *
 *     deno run -A benchmarks/cuda/summary.ts FOLDER
 *
 * @module
 */
import process from "node:process";
import { runBenchmark } from "../command.ts";
import { readRecords } from "./records.ts";
import { cudaSection } from "./section.ts";
import { readTraining } from "./training.ts";

await runBenchmark(async () => {
  const [folder] = process.argv.slice(2);
  if (folder === undefined) throw new RangeError("No folder was named, expected one with results.jsonl");
  const [records, training] = [await readRecords(folder), await readTraining(folder)];
  process.stdout.write(cudaSection({ kind: "cuda", records, training }, []));
  return true;
});
