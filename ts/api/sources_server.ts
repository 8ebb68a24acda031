/**
 * Models by name in Deno, Node and Bun.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { resolveModel } from "../models/resolve.ts";

/**
 * The path of a model that is named, or given by its path.
 *
 * @throws {ModelError} There is none.
 */
export function resolveSource(name: string): Promise<string> {
  return resolveModel(name);
}

/** A file of a model's folder as text; null where there is none. */
export async function readBeside(folder: string, file: string): Promise<string | null> {
  try {
    return await readFile(join(folder, file), "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw error;
  }
}

/** A variable of the environment. */
export function environment(name: string): string | undefined {
  return process.env[name];
}
