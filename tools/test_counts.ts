/**
 * Reads the summaries that test runners print.
 *
 * @module
 */

/** Tests by how they ended. */
export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

// Colour codes, which a runner may write where its output is not a terminal.
// deno-lint-ignore no-control-regex
const COLOR = /\x1b\[[0-9;]*m/g;
const CARGO = /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;/gm;
const DENO =
  /^(?:ok|FAILED) \| (\d+) passed(?: \([^)]*\))? \| (\d+) failed(?: \([^)]*\))?(?: \| (\d+) ignored)?/gm;
const KERNELS = /^kernels: (\d+) passed, (\d+) failed, (\d+) skipped$/gm;

/** Sums the summaries of `cargo test`, which prints one a test program; null where there is none. */
export function countCargoTests(output: string): TestCounts | null {
  return count(output, CARGO);
}

/** Reads the summary of `deno test`; null where there is none. */
export function countDenoTests(output: string): TestCounts | null {
  return count(output, DENO);
}

/** Reads the summary of the check of CUDA kernels; null where there is none. */
export function countKernelChecks(output: string): TestCounts | null {
  return count(output, KERNELS);
}

/** Adds counts up. */
export function sumCounts(counts: readonly TestCounts[]): TestCounts {
  return {
    passed: counts.reduce((sum, each) => sum + each.passed, 0),
    failed: counts.reduce((sum, each) => sum + each.failed, 0),
    skipped: counts.reduce((sum, each) => sum + each.skipped, 0),
  };
}

function count(output: string, pattern: RegExp): TestCounts | null {
  const found = [...output.replaceAll(COLOR, "").matchAll(pattern)].map(([, passed, failed, skipped]) => ({
    passed: Number(passed),
    failed: Number(failed),
    skipped: Number(skipped ?? 0),
  }));
  return found.length === 0 ? null : sumCounts(found);
}
