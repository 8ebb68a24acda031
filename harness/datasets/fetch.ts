/**
 * Fetches a benchmark's data from where their authors keep them.
 *
 * @module
 */
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import {
  cacheFolder,
  downloadFile,
  downloadGitBlob,
  type FileCheck,
  findBlobFault,
  findFault,
  keep,
  ModelError,
  reasonOf,
} from "rm-r1/models";
import * as z from "zod";
import { DATA_SETS, type DataSet, type GithubData, type HubData } from "./catalog.ts";

/** Options of {@link fetchDataSet}. */
export interface FetchDataOptions {
  /** Folder of all that is fetched. Default {@link cacheFolder}. */
  readonly cache?: string;
  /** Address of GitHub's files. Default https://raw.githubusercontent.com. */
  readonly github?: string;
  /** Address of the hub. Default the environment's `HF_ENDPOINT`, else https://huggingface.co. */
  readonly hub?: string;
  /** Default {@link DATA_SETS}. */
  readonly catalog?: readonly DataSet[];
  /** Seconds between two attempts at a file. Default 1. */
  readonly pauseSeconds?: number;
  readonly signal?: AbortSignal;
  /** Called as each file is there. */
  readonly onFile?: (file: string, at: number, of: number) => void;
}

/** A data set in the cache. */
export interface FetchedData {
  readonly name: string;
  /** What `--data` is for it. */
  readonly path: string;
  /** The commit. */
  readonly revision: string;
  readonly files: number;
  /** All was there already, and is as pinned. */
  readonly cached: boolean;
}

/** A file as the pin has it. */
interface PinnedFile extends FileCheck {
  readonly name: string;
}

const PIN = z.object({
  revision: z.string(),
  files: z.array(z.object({ name: z.string(), bytes: z.number().int(), sha256: z.string() })).min(1),
});

type Pin = z.output<typeof PIN>;

const PIN_FILE = "pinned.json";

/** What the hub says of a data set's commit. */
const LISTING = z.object({
  sha: z.string(),
  siblings: z.array(z.object({
    rfilename: z.string(),
    lfs: z.object({ size: z.number().int(), sha256: z.string() }).nullish(),
  })),
});

/** The data set of that name; undefined where none is known. */
export function dataSetNamed(name: string, catalog: readonly DataSet[] = DATA_SETS): DataSet | undefined {
  return catalog.find((each) => each.name === name);
}

/** Folder of a data set in the cache. */
function folderOf(name: string, cache: string): string {
  return join(cache, "data", name);
}

/** The path of a data set that has been fetched; null where it has not. */
export async function fetchedData(name: string, cache: string = cacheFolder()): Promise<string | null> {
  const part = dataSetNamed(name)?.part ?? "";
  const path = join(folderOf(name, cache), part);
  return await stat(path).then(() => path, () => null);
}

/**
 * Fetches a data set, or verifies what is there: by git's object ids at a commit, or by the commit and SHA-256 that the
 * hub named at first. Files that are there and sound are not asked for again.
 *
 * @throws {ModelError} The name is not known, its home does not answer, or what came is not what is pinned.
 */
export async function fetchDataSet(name: string, options: FetchDataOptions = {}): Promise<FetchedData> {
  const { catalog = DATA_SETS, cache = cacheFolder() } = options;
  const found = dataSetNamed(name, catalog);
  if (found === undefined) {
    const known = catalog.map((each) => `"${each.name}"`).join(", ");
    throw new ModelError("unknown", `No data set "${name}" is known to be fetched, expected ${known}`);
  }
  const folder = folderOf(name, cache);
  const { revision, files, fetched } =
    await (found.from.home === "github"
      ? fromGithub(found.from, folder, options)
      : fromHub(found.from, folder, options));
  return { name, path: join(folder, found.part ?? ""), revision, files, cached: fetched === 0 };
}

interface Come {
  readonly revision: string;
  readonly files: number;
  readonly fetched: number;
}

async function fromGithub(
  { repository, revision, blobs }: GithubData,
  folder: string,
  { github = "https://raw.githubusercontent.com", pauseSeconds, signal, onFile }: FetchDataOptions,
): Promise<Come> {
  const files = Object.entries(blobs);
  let fetched = 0;
  for (const [at, [name, id]] of files.entries()) {
    const path = join(folder, name);
    if (await findBlobFault(path, id) !== null) {
      const url = [github, repository, revision, ...name.split("/").map(encodeURIComponent)].join("/");
      await downloadGitBlob(url, path, id, {
        ...(signal && { signal }),
        ...(pauseSeconds !== undefined && { pauseSeconds }),
      });
      fetched++;
    }
    onFile?.(name, at + 1, files.length);
  }
  return { revision, files: files.length, fetched };
}

async function fromHub(from: HubData, folder: string, options: FetchDataOptions): Promise<Come> {
  const hub = (options.hub ?? (process.env["HF_ENDPOINT"] || "https://huggingface.co")).replace(/\/+$/, "");
  const { pauseSeconds, signal, onFile } = options;
  const pin = await readPin(folder) ?? await pinNow(from, hub, folder, signal);
  let fetched = 0;
  for (const [at, file] of pin.files.entries()) {
    const path = join(folder, file.name);
    if (await findFault(path, file) !== null) {
      const url = `${hub}/datasets/${from.repository}/resolve/${pin.revision}/${file.name}`;
      await downloadFile(url, path, file, {
        ...(signal && { signal }),
        ...(pauseSeconds !== undefined && { pauseSeconds }),
      });
      fetched++;
    }
    onFile?.(file.name, at + 1, pin.files.length);
  }
  return { revision: pin.revision, files: pin.files.length, fetched };
}

async function readPin(folder: string): Promise<Pin | null> {
  const path = join(folder, PIN_FILE);
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (text === null) return null;
  try {
    return PIN.parse(JSON.parse(text));
  } catch (error) {
    throw new ModelError("damaged", `File "${path}" is not a pin; remove it to have the newest data pinned`, {
      cause: error,
    });
  }
}

/** Asks the hub which commit its main branch is at, and which files that has. */
async function pinNow(from: HubData, hub: string, folder: string, signal?: AbortSignal): Promise<Pin> {
  const url = `${hub}/api/datasets/${from.repository}/revision/main?blobs=true`;
  const listing = LISTING.safeParse(await loadJson(url, signal));
  if (!listing.success) throw new ModelError("damaged", `"${url}" gives no listing of a data set's files`);
  const { sha, siblings } = listing.data;
  const files = siblings.filter(({ rfilename }) => from.accepts(rfilename)).map(
    ({ rfilename: name, lfs }): PinnedFile => {
      if (lfs === undefined || lfs === null) {
        throw new ModelError("damaged", `"${url}" gives no SHA-256 of file "${name}"`);
      }
      return { name, bytes: lfs.size, sha256: lfs.sha256 };
    },
  );
  if (files.length === 0) {
    throw new ModelError("damaged", `"${url}" lists none of the benchmark's files among ${siblings.length}`);
  }
  const pin: Pin = { revision: sha, files };
  await mkdir(folder, { recursive: true });
  const path = join(folder, PIN_FILE);
  await writeFile(`${path}.part`, `${JSON.stringify(pin, null, 2)}\n`);
  await keep(`${path}.part`, path);
  return pin;
}

async function loadJson(url: string, signal?: AbortSignal): Promise<unknown> {
  const limit = AbortSignal.timeout(30_000);
  try {
    const response = await fetch(url, {
      signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
    });
    if (response.ok) return await response.json();
    await response.body?.cancel();
    throw new ModelError(
      "unreachable",
      `Cannot ask "${url}": the server answers with status ${response.status}`,
    );
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof ModelError) throw error;
    throw new ModelError("unreachable", `Cannot ask "${url}": ${reasonOf(error)}`, { cause: error });
  }
}
