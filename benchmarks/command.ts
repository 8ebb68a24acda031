/**
 * What the benchmarks' commands have in common.
 *
 * @module
 */
import process from "node:process";

/** Names of errors that are told in one line: the caller can set them right. All others keep their stack. */
const TOLD = new Set(["BusyError", "RangeError", "SyntaxError", "WorkerError"]);

/** Runs a command; it failed where its `main` gives false or throws. */
export async function runBenchmark(main: () => Promise<boolean>): Promise<void> {
  try {
    if (await main()) return;
  } catch (error) {
    if (!(error instanceof Error && TOLD.has(error.name))) throw error;
    process.stderr.write(`${error.message}\n`);
  }
  process.exitCode = 1;
}
