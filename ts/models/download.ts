/**
 * Downloads one file: resumable, checked, and in its place only when it is whole.
 *
 * @module
 */
import { type FileHandle, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type FileCheck, findFault } from "./checksum.ts";
import { ModelError } from "./model_error.ts";

/** Options of {@link downloadFile}. */
export interface DownloadOptions {
  readonly signal?: AbortSignal;
  /** Seconds until a server must have begun to answer. Default 10. */
  readonly connectSeconds?: number;
  /** Seconds without a byte after which a connection is given up. Default 30. */
  readonly stallSeconds?: number;
  /** Times in a row that a connection may bring nothing. Default 3. */
  readonly attempts?: number;
  /** Seconds to wait after a connection that brought nothing. Default 1. */
  readonly pauseSeconds?: number;
  /** Called with the bytes that are on the disk. */
  readonly onProgress?: (bytes: number) => void;
}

/**
 * Downloads a file to a path. What has arrived is kept beside it as `PATH.part`, and a later call goes on from there.
 * The file appears under its name only after its size and SHA-256 are as expected.
 *
 * @throws {ModelError} `unreachable` where the server does not answer or does not have it, `damaged` where it gives
 * something else; then nothing is kept.
 */
export async function downloadFile(
  url: string,
  path: string,
  expected: FileCheck,
  options: DownloadOptions = {},
): Promise<void> {
  const { signal, attempts = 3, pauseSeconds = 1 } = options;
  const part = `${path}.part`;
  await mkdir(dirname(path), { recursive: true });
  if (await sizeOf(part) > expected.bytes) await rm(part);
  let failures = 0;
  let have = await sizeOf(part);
  while (have < expected.bytes) {
    signal?.throwIfAborted();
    try {
      await receive(url, part, have, expected, options);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof ModelError) throw error;
      const now = await sizeOf(part);
      failures = now > have ? 0 : failures + 1;
      if (failures >= attempts) {
        throw new ModelError("unreachable", `Cannot download "${url}": ${reasonOf(error)}`, { cause: error });
      }
      await sleep(pauseSeconds * 1000, undefined, signal === undefined ? {} : { signal });
    }
    have = await sizeOf(part);
  }
  const fault = await findFault(part, expected);
  if (fault !== null) {
    await rm(part, { force: true });
    throw new ModelError("damaged", `"${url}" does not give what was published: ${fault}`);
  }
  await keep(part, path);
}

/** Moves a finished file to its place, safe against a crash at any moment. */
export async function keep(from: string, to: string): Promise<void> {
  const file = await open(from, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(from, to);
  const folder = await open(dirname(to), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Appends to the part what one connection brings. */
async function receive(
  url: string,
  part: string,
  from: number,
  expected: FileCheck,
  options: DownloadOptions,
): Promise<void> {
  const { connectSeconds = 10, stallSeconds = 30, onProgress } = options;
  using timer = new Deadline(options.signal);
  timer.set(connectSeconds, "no answer");
  const response = await fetch(url, {
    headers: from > 0 ? { range: `bytes=${from}-` } : {},
    signal: timer.signal,
  });
  try {
    if (response.status === 416) {
      await rm(part, { force: true });
      throw new Error("the server refuses to go on from the part that is here");
    }
    if (!response.ok) refuse(url, response.status);
    if (response.body === null) throw new Error("an empty answer");
    const goesOn = response.status === 206 && startOf(response) === from;
    const file: FileHandle = await open(part, goesOn ? "a" : "w");
    try {
      let have = goesOn ? from : 0;
      timer.set(stallSeconds, "the connection stalled");
      for await (const chunk of response.body) {
        timer.set(stallSeconds, "the connection stalled");
        if (have + chunk.length > expected.bytes) {
          throw new ModelError("damaged", `"${url}" gives more than the expected ${expected.bytes} bytes`);
        }
        await file.writeFile(chunk);
        have += chunk.length;
        onProgress?.(have);
      }
      if (have < expected.bytes) throw new Error(`the connection ended after ${have} bytes`);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof ModelError && error.kind === "damaged") await rm(part, { force: true });
    throw error;
  } finally {
    await response.body?.cancel().catch(() => {});
  }
}

/** Throws for a status that is no success: for one that may pass, an error that is tried again. */
function refuse(url: string, status: number): never {
  if (status >= 500 || status === 429 || status === 408) {
    throw new Error(`the server answers with status ${status}`);
  }
  throw new ModelError("unreachable", `Cannot download "${url}": the server answers with status ${status}`);
}

/** First byte of a partial answer; null where it does not say. */
function startOf(response: Response): number | null {
  const start = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1];
  return start === undefined ? null : Number(start);
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => null))?.size ?? 0;
}

/** Why a request failed: with what lies beneath, where the runtime says only that it did. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}

/** Aborts when the caller does, or when a time that can be set anew runs out. */
class Deadline implements Disposable {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #forward = (): void => this.#controller.abort(this.#outer?.reason);

  constructor(outer: AbortSignal | undefined) {
    this.#outer = outer;
    outer?.addEventListener("abort", this.#forward);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  set(seconds: number, reason: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => this.#controller.abort(new Error(`${reason} within ${seconds} s`)),
      seconds * 1000,
    );
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#outer?.removeEventListener("abort", this.#forward);
  }
}
