/**
 * Builds the native core for another platform and packs it for npm: `--target aarch64-unknown-linux-gnu`, for example.
 *
 * @module
 */
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { PackageError, readJson } from "./npm_packages.ts";
import { packTarget } from "./npm_platform.ts";

try {
  const { target } = parseArgs({ options: { target: { type: "string" } } }).values;
  if (target === undefined) throw new PackageError("Name a platform with --target, as rustc names it");
  const { version, license } = await readJson(join("ts", "deno.json"));
  await mkdir("npm", { recursive: true });
  const about = { folder: "npm", version: String(version), license: String(license) };
  const tarball = await packTarget(target, about);
  process.stdout.write(`${tarball}: ${((await stat(tarball)).size / 1e6).toFixed(2)} MB\n`);
} catch (error) {
  if (!(error instanceof Error)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
