/**
 * Files whose content git's object id vouches for.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { keep, reasonOf } from "./download.ts";
import { ModelError } from "./model_error.ts";

/** Options of {@link downloadGitBlob}. */
export interface GitBlobOptions {
  readonly signal?: AbortSignal;
  /** Seconds until a file must be there. Default 300. */
  readonly seconds?: number;
  /** Times that a file is asked for. Default 3. */
  readonly attempts?: number;
  /** Seconds between two of them. Default 1. */
  readonly pauseSeconds?: number;
}

/** Git's object id of a file's content: the SHA-1 of it behind a header with its length. */
export function gitBlobId(content: Uint8Array): string {
  return createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
}

/** What is wrong with a file; null where it is as expected, `absent` where it is not there. */
export async function findBlobFault(path: string, id: string): Promise<string | "absent" | null> {
  const content = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (content === null) return "absent";
  const found = gitBlobId(content);
  return found === id ? null : `File "${path}" has git object id "${found}", expected "${id}"`;
}

/**
 * Downloads a file of a size that memory holds. It appears under its name only if it has the object id.
 *
 * @throws {ModelError} `unreachable` where the server does not answer or does not have it, `damaged` where it gives
 * something else.
 */
export async function downloadGitBlob(
  url: string,
  path: string,
  id: string,
  options: GitBlobOptions = {},
): Promise<void> {
  const content = await load(url, options);
  const found = gitBlobId(content);
  if (found !== id) {
    throw new ModelError("damaged", `"${url}" gives a file with git object id "${found}", expected "${id}"`);
  }
  await mkdir(dirname(path), { recursive: true });
  const part = `${path}.part`;
  try {
    await writeFile(part, content);
    await keep(part, path);
  } finally {
    await rm(part, { force: true });
  }
}

async function load(url: string, options: GitBlobOptions): Promise<Uint8Array> {
  const { signal, seconds = 300, attempts = 3, pauseSeconds = 1 } = options;
  for (let attempt = 1;; attempt++) {
    signal?.throwIfAborted();
    const limit = AbortSignal.timeout(1000 * seconds);
    try {
      const response = await fetch(url, {
        signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
      });
      if (response.ok) return new Uint8Array(await response.arrayBuffer());
      await response.body?.cancel();
      const reason = `Cannot download "${url}": the server answers with status ${response.status}`;
      // Others than these do not pass.
      if (response.status < 500 && response.status !== 429 && response.status !== 408) {
        throw new ModelError("unreachable", reason);
      }
      if (attempt >= attempts) throw new ModelError("unreachable", reason);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof ModelError) throw error;
      if (attempt >= attempts) {
        throw new ModelError("unreachable", `Cannot download "${url}": ${reasonOf(error)}`, { cause: error });
      }
    }
    await sleep(1000 * pauseSeconds, undefined, signal === undefined ? {} : { signal });
  }
}
