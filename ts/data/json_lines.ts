/**
 * JSON Lines: one JSON value a line, read and written as a stream.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type * as z from "zod";
import { DataError, showValue } from "./data_error.ts";

/** A value with the line that it stands in. */
export interface JsonLine<T> {
  /** From 1. */
  readonly line: number;
  readonly value: T;
}

const NEWLINE = 0x0a;
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

/**
 * Yields the lines of a UTF-8 file as bytes, without their line feeds and without a byte order mark. `ended` is false
 * for a last line that no line feed ends.
 */
async function* readLines(path: string): AsyncGenerator<{ line: number; bytes: Uint8Array; ended: boolean }> {
  let parts: Uint8Array[] = [];
  let line = 1;
  const finish = (ended: boolean): { line: number; bytes: Uint8Array; ended: boolean } => {
    let bytes: Uint8Array = Buffer.concat(parts);
    if (line === 1 && BYTE_ORDER_MARK.every((byte, index) => bytes[index] === byte)) {
      bytes = bytes.subarray(3);
    }
    parts = [];
    return { line: line++, bytes, ended };
  };
  for await (const chunk of createReadStream(path) as AsyncIterable<Uint8Array>) {
    let from = 0;
    for (let to = chunk.indexOf(NEWLINE); to >= 0; to = chunk.indexOf(NEWLINE, from)) {
      parts.push(chunk.subarray(from, to));
      from = to + 1;
      yield finish(true);
    }
    if (from < chunk.length) parts.push(chunk.subarray(from));
  }
  if (parts.length > 0) yield finish(false);
}

/**
 * Reads a file of JSON Lines value by value. Lines may end with CRLF, the file may begin with a byte order mark, and
 * blank lines are passed over.
 *
 * @throws {DataError} A line that is no UTF-8, no JSON or does not fit the schema: the message names the file, the
 * line, the field, the value found and what was expected.
 */
export async function* readJsonLines<S extends z.ZodType>(
  path: string,
  schema: S,
): AsyncGenerator<JsonLine<z.output<S>>> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  for await (const { line, bytes, ended } of readLines(path)) {
    let text: string;
    try {
      text = decoder.decode(bytes);
    } catch (cause) {
      throw new DataError(path, line, "Expected UTF-8 text, found other bytes", { cause });
    }
    if (text.trim() === "") continue;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      const cut = ended ? "" : "; it is the last line and has no line end, so the file may have been cut off";
      throw new DataError(path, line, `Expected a JSON value, found ${showValue(text.trim())}${cut}`, {
        cause,
      });
    }
    const parsed = schema.safeParse(value);
    if (!parsed.success) throw new DataError(path, line, describe(parsed.error, value));
    yield { line, value: parsed.data };
  }
}

function describe(error: z.ZodError, value: unknown): string {
  return error.issues.map((issue) => {
    const found = issue.path.reduce<unknown>(
      (inside, key) => (inside as Record<PropertyKey, unknown> | null | undefined)?.[key],
      value,
    );
    const field = issue.path.length === 0 ? "record" : issue.path.join(".");
    const expected = issue.code === "invalid_type" ? `expected ${issue.expected}` : issue.message;
    return `Field "${field}": ${expected}, found ${showValue(found)}`;
  }).join("; ");
}

/**
 * Writes values as JSON Lines, whole or not at all: to a temporary file beside `path`, which is flushed to disk and
 * then takes the name. If anything fails, what stood there before stays.
 *
 * @returns The number of lines.
 */
export async function writeJsonl(
  path: string,
  values: Iterable<unknown> | AsyncIterable<unknown>,
): Promise<number> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  let lines = 0;
  try {
    const file = await open(temporary, "wx");
    try {
      for await (const value of values) {
        const json = JSON.stringify(value);
        if (json === undefined) throw new TypeError(`Value ${lines + 1} for "${path}" has no JSON form`);
        await file.write(`${json}\n`);
        lines++;
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  const directory = await open(dirname(path));
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
  return lines;
}
