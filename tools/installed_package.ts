/**
 * The npm package as its users have it: packed, and installed from the tarball into an empty project.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const WASM = join(ROOT, "target", "wasm", "rmr1_core_bg.wasm");
const run = promisify(execFile);

/** Why the package cannot be built here; null where it can. */
export const missing: string | null = existsSync(WASM)
  ? null
  : 'the core has not been built for WebAssembly; build it with "deno task wasm"';

/** Options of a test that needs the package. */
export function needsPackage(): { readonly ignore: boolean } {
  if (missing !== null) process.stderr.write(`SKIPPED: ${missing}\n`);
  return { ignore: missing !== null };
}

/** A project with the package and what it needs beside it. */
export interface Project {
  readonly folder: string;
  /** Bytes of the tarball. */
  readonly packed: number;
  /** Runs a program in the project. */
  run(program: string, ...args: readonly string[]): Promise<string>;
}

/** Builds, packs and installs the package. */
export async function installPackage(...beside: readonly string[]): Promise<Project> {
  await run(process.execPath, ["task", "--quiet", "npm:pack"], { cwd: ROOT });
  const { version } = JSON.parse(await readFile(join(ROOT, "npm", "package", "package.json"), "utf8"));
  const tarball = join(ROOT, "npm", `rm-r1-${version}.tgz`);
  const folder = await mkdtemp(join(tmpdir(), "rm-r1-package-"));
  await writeFile(join(folder, "package.json"), '{ "private": true, "type": "module" }');
  const quiet = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts"];
  await run("npm", ["install", ...quiet, tarball, ...beside], { cwd: folder });
  return {
    folder,
    packed: (await stat(tarball)).size,
    run: async (program, ...args) => (await run(program, args, { cwd: folder, maxBuffer: 1 << 26 })).stdout,
  };
}
