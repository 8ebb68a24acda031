/**
 * Models by name in Deno, Node and Bun.
 *
 * @module
 */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { ModelError } from "../models/model_error.ts";
import { resolveModel } from "../models/resolve.ts";
import { IN_WORKSPACE } from "../workspace.ts";

export { environment } from "../environment.ts";

/**
 * The path of a model that is given by its path, or in this repository by its name.
 *
 * @throws {ModelError} There is none.
 */
export async function resolveSource(name: string): Promise<string> {
  if (IN_WORKSPACE) return await resolveModel(name);
  if (await stat(name).then(() => true, () => false)) return name;
  throw new ModelError("unknown", `No model "${name}", expected the path of a folder or GGUF file, or a URL`);
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
