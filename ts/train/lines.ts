/**
 * Files of JSON objects, one a line, that are only ever appended to.
 *
 * @module
 */
import { type FileHandle, open, readFile } from "node:fs/promises";
import { RunError } from "./run_error.ts";

/** Appends to such a file; each append is on the disk before the next thing happens. */
export class Lines implements AsyncDisposable {
  readonly #handle: FileHandle;
  readonly #path: string;

  private constructor(handle: FileHandle, path: string) {
    this.#handle = handle;
    this.#path = path;
  }

  /**
   * Opens a file to append to, a new one where there is none; cuts a last line that was torn when its process ended.
   *
   * @throws {RunError} A line before the last is not JSON.
   */
  static async open(path: string): Promise<Lines> {
    const handle = await open(path, "a+");
    try {
      await handle.truncate(splitLines(path, await readFile(path)).bytes);
    } catch (error) {
      await handle.close();
      throw error;
    }
    return new Lines(handle, path);
  }

  async append(objects: readonly object[]): Promise<void> {
    if (objects.length === 0) return;
    try {
      await this.#handle.appendFile(objects.map((object) => `${JSON.stringify(object)}\n`).join(""));
      await this.#handle.sync();
    } catch (error) {
      throw new RunError(`Could not write to "${this.#path}": ${(error as Error).message}`, { cause: error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}

/**
 * Reads such a file; a torn last line is left out.
 *
 * @throws {RunError} A line before the last is not JSON.
 */
export async function readLines<T>(path: string): Promise<T[]> {
  return splitLines<T>(path, await readFile(path)).records;
}

/** The records, and the length in bytes of what is whole. */
function splitLines<T>(path: string, content: Uint8Array): { records: T[]; bytes: number } {
  const decoder = new TextDecoder();
  const records: T[] = [];
  let start = 0;
  for (let end = content.indexOf(10); end >= 0; end = content.indexOf(10, start)) {
    try {
      records.push(JSON.parse(decoder.decode(content.subarray(start, end))));
    } catch (error) {
      if (end + 1 === content.length) break;
      throw new RunError(
        `${path}:${records.length + 1}: Expected a JSON object: ${(error as Error).message}`,
        { cause: error },
      );
    }
    start = end + 1;
  }
  return { records, bytes: start };
}
