/**
 * Packages from npm for what is built of this workspace.
 *
 * @module
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runCommand } from "./command.ts";

/** What the engine, the judges and the prompts import, at the versions of deno.json. */
const DEPENDENCIES = ["@huggingface/jinja", "@noble/hashes", "eventsource-parser", "zod"];

/** What stands in the way of a build. */
export class PackageError extends Error {}

/** A file of JSON. */
export async function readJson(file: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(file, "utf8"));
}

/** Versions of the dependencies, as the workspace has them. */
export async function dependencies(): Promise<Record<string, string>> {
  const imports = (await readJson("deno.json"))["imports"] as Record<string, string>;
  return Object.fromEntries(DEPENDENCIES.map((name) => {
    const version = new RegExp(`^npm:${name}@(.+)$`).exec(imports[name] ?? "")?.[1];
    if (version === undefined) throw new PackageError(`deno.json names no version of "${name}"`);
    return [name, `^${version}`];
  }));
}

/** Runs a program, which must not fail. */
export async function run(program: string, ...args: string[]): Promise<void> {
  const { ok } = await runCommand({ name: program, program, args });
  if (!ok) throw new PackageError(`"${[program, ...args].join(" ")}" failed`);
}

/** Installs the dependencies and more in a folder, and gives the path of its modules. */
export async function installPackages(folder: string, more: readonly string[]): Promise<string> {
  const packages = Object.entries(await dependencies()).map(([name, version]) => `${name}@${version}`);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "package.json"), '{ "private": true, "type": "module" }');
  const quiet = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts"];
  await run("npm", "install", ...quiet, "--prefix", folder, ...packages, ...more);
  return join(folder, "node_modules");
}
