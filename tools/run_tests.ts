/**
 * Runs the gate and every test, and ends with one line that sums them up. A step that breaks before it counts
 * its tests, and a gate that refuses, count as one failure each, so that the line never reads better than it is.
 *
 * @module
 */
import process from "node:process";
import { cargo, type Command, deno, runCommand } from "./command.ts";
import {
  countCargoTests,
  countDenoTests,
  countKernelChecks,
  sumCounts,
  type TestCounts,
} from "./test_counts.ts";

const FAILURE: TestCounts = { passed: 0, failed: 1, skipped: 0 };
const NOTHING: TestCounts = { passed: 0, failed: 0, skipped: 0 };

interface Step {
  readonly command: Command;
  /** Reads the step's summary; absent for one that has no tests. */
  readonly count?: (output: string) => TestCounts | null;
}

const STEPS: readonly Step[] = [
  { command: deno("check", "task", "--quiet", "check") },
  { command: deno("setup", "task", "--quiet", "setup") },
  { command: deno("wasm", "task", "--quiet", "wasm", "--if-possible") },
  { command: cargo("cargo test", ["test", "--locked", "--quiet", "--no-fail-fast"]), count: countCargoTests },
  { command: deno("cuda:check", "task", "--quiet", "cuda:check"), count: countKernelChecks },
  {
    command: deno("examples", "test", "--quiet", "--allow-all", "--doc", "ts/api/judge.ts"),
    count: countDenoTests,
  },
  { command: deno("deno test", "test", "--quiet", "--allow-all", "--no-check"), count: countDenoTests },
];

async function runStep({ command, count }: Step): Promise<TestCounts> {
  process.stdout.write(`\n== ${command.name}\n`);
  const { ok, stdout } = await runCommand(command);
  if (count === undefined) return ok ? NOTHING : FAILURE;
  const counts = count(stdout);
  if (counts === null) return FAILURE;
  return !ok && counts.failed === 0 ? sumCounts([counts, FAILURE]) : counts;
}

const results: TestCounts[] = [];
for (const step of STEPS) results.push(await runStep(step));
const { passed, failed, skipped } = sumCounts(results);
process.stdout.write(`\n${passed} passed, ${failed} failed, ${skipped} skipped\n`);
if (failed > 0) process.exitCode = 1;
