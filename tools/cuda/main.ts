/**
 * Compiles the CUDA kernels without a device: `build` for machines that have no compiler, `check` to hold what they use
 * to the committed table.
 *
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";
import process from "node:process";
import { parseArgs } from "node:util";
import { buildKernels } from "./build.ts";
import { fetchNvrtc, nvrtcFolder } from "./nvrtc.ts";
import { goneFaults, readLog, readTable, resourceFaults, type Resources, writeTable } from "./resources.ts";

const TABLE = "core-rs/src/backend/cuda/resources.tsv";
const OUTPUT = "target/cuda";

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function build(): Promise<void> {
  // A compiler that the user names goes before the pinned one.
  const named = process.env["RMR1_CUDA_LIBRARIES"];
  const missing = named ? null : await fetchNvrtc();
  if (missing !== null) {
    throw new Error(`${missing}; name the folder of another NVRTC by RMR1_CUDA_LIBRARIES`);
  }
  const built = await buildKernels({ profile: "release", libraries: named || nvrtcFolder(), output: OUTPUT });
  const bytes = built.reduce((sum, each) => sum + each.bytes, 0);
  say(`${built.length} files, ${(bytes / 2 ** 20).toFixed(1)} MiB of code, are in "${OUTPUT}"`);
  say(`Name that folder by RMR1_CUDA_KERNELS where the kernels are used`);
}

async function check(renew: boolean): Promise<void> {
  const missing = await fetchNvrtc();
  if (missing !== null) {
    process.stderr.write(`SKIPPED: registers and spills of the CUDA kernels are not checked: ${missing}\n`);
    return say("kernels: 0 passed, 0 failed, 1 skipped");
  }
  const built = await buildKernels({ profile: "test", libraries: nvrtcFolder(), output: OUTPUT });
  const found = built.flatMap(readLog);
  if (renew) await writeFile(TABLE, writeTable(found));
  const table = readTable(await readFile(TABLE, "utf8"));
  const failed = report(found, (each) => resourceFaults(each, table));
  const gone = goneFaults(found, table);
  gone.forEach(say);
  if (failed + gone.length > 0) {
    say(`"deno task cuda:check --write" renews "${TABLE}"; spills and stacks fail all the same`);
    process.exitCode = 1;
  }
  say(`kernels: ${found.length - failed} passed, ${failed + gone.length} failed, 0 skipped`);
}

function report(found: readonly Resources[], faultsOf: (each: Resources) => string[]): number {
  const faults = found.map(faultsOf);
  faults.flat().forEach(say);
  return faults.filter((each) => each.length > 0).length;
}

const { positionals: [command], values } = parseArgs({
  options: { write: { type: "boolean", default: false } },
  allowPositionals: true,
});
if (command === "build") await build();
else if (command === "check") await check(values.write);
else throw new Error(`Unknown command "${command}", expected "build" or "check"`);
