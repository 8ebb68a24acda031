/**
 * Reads a benchmark's files as upstream has them: JSON arrays, JSON Lines and Parquet, in a folder or one file; the texts
 * among them may be compressed by gzip.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, extname, join, relative, sep } from "node:path";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { showValue } from "rm-r1/data";
import type { Message } from "rm-r1/engine";
import * as z from "zod";
import {
  type BenchItem,
  BenchmarkDataError,
  type BenchSet,
  describeMalformed,
  type MalformedRecord,
} from "./benchmark.ts";

/** What is wrong with a record. */
export type Fault = Pick<MalformedRecord, "field" | "value" | "expected">;

/** How a benchmark's records become items. */
export interface SetReader<T> {
  /** Of the benchmark, for errors. */
  readonly title: string;
  /** Whether a file is one of the benchmark's, by its path within the folder, with slashes. */
  readonly accepts: (file: string) => boolean;
  /** What is accepted, for errors. */
  readonly expected: string;
  /** The form of a file's records. Messages of its checks say what is expected. */
  readonly schemaOf: (file: string) => z.ZodType<T>;
  /** @param index of the record in its file, from 0 */
  readonly itemOf: (record: T, file: string, index: number) => BenchItem | Fault;
}

/** A text that is not blank. */
export const filledText: z.ZodType<string> = z.string({ error: "a non-empty text" }).refine(
  (text) => text.trim() !== "",
  "a non-empty text",
);

/** An id: a number becomes text. */
export const recordId: z.ZodType<string> = z.union([z.string().min(1), z.int().transform(String)], {
  error: "a string or an integer",
});

/** An optional name. */
export const optionalName: z.ZodType<string | undefined> = z.string({ error: "a text" }).nullish().transform(
  (name) => name ?? undefined,
);

/** Messages of which the last is the user's. */
export const messages: z.ZodType<Message[]> = z.array(
  z.object({
    role: z.enum(["system", "user", "assistant"], { error: '"system", "user" or "assistant"' }),
    content: z.string({ error: "a text" }),
  }),
  { error: "an array of messages" },
).refine((turns) => turns.at(-1)?.role === "user", "messages that end with the user's");

const EXTENSIONS = [".json", ".jsonl", ".ndjson", ".parquet"];

const COMPRESSED = ".gz";

/** A file's kind by its name, whether or not it is compressed. */
function kindOf(name: string): string {
  return extname(basename(name, COMPRESSED));
}

interface RawRecord {
  readonly value: unknown;
  /** In the place of a value that could not be read. */
  readonly fault?: Fault;
}

/**
 * Reads all records into items. What is malformed, or has the key of an earlier one, is listed and left out.
 *
 * @param path a folder, or one file
 * @throws {BenchmarkDataError} There is no such file, a file cannot be read at all, or no record becomes an item.
 */
export async function loadSet<T>(path: string, reader: SetReader<T>): Promise<BenchSet> {
  const { title, schemaOf, itemOf } = reader;
  const { folder, files } = await filesOf(path, reader);
  const items: BenchItem[] = [];
  const malformed: MalformedRecord[] = [];
  const hashes: Record<string, string> = {};
  const keys = new Set<string>();
  for (const file of files) {
    const place = join(folder, file);
    hashes[file] = await hashOf(place);
    const schema = schemaOf(file);
    for (const [index, { value, fault }] of (await recordsOf(place)).entries()) {
      const read = fault ?? readRecord(value, schema, (record) => itemOf(record, file, index), keys);
      if ("key" in read) items.push(read);
      else malformed.push({ file, index, ...read });
    }
  }
  if (items.length > 0) return { items, malformed, files: hashes };
  const first = malformed[0];
  throw new BenchmarkDataError(
    `No item of ${title} in "${path}", ${malformed.length} records are malformed${
      first === undefined ? "" : `: ${describeMalformed(first)}`
    }`,
  );
}

function readRecord<T>(
  value: unknown,
  schema: z.ZodType<T>,
  itemOf: (record: T) => BenchItem | Fault,
  keys: Set<string>,
): BenchItem | Fault {
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    const found = path.reduce<unknown>((at, name) => (at as Record<PropertyKey, unknown>)?.[name], value);
    const expected = path.length === 0 ? "an object" : message;
    return { field: path.join("."), value: showValue(found), expected };
  }
  const item = itemOf(parsed.data);
  if (!("key" in item)) return item;
  if (keys.has(item.key)) {
    return { field: "id", value: showValue(item.key), expected: "an id that no earlier record has" };
  }
  keys.add(item.key);
  return item;
}

async function filesOf(
  path: string,
  { title, accepts, expected }: Pick<SetReader<unknown>, "title" | "accepts" | "expected">,
): Promise<{ readonly folder: string; readonly files: readonly string[] }> {
  const found = await stat(path).catch(() => null);
  if (found === null) throw new BenchmarkDataError(`No file or folder "${path}", expected data of ${title}`);
  if (!found.isDirectory()) return { folder: dirname(path), files: [basename(path)] };
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && EXTENSIONS.includes(kindOf(entry.name)))
    .map(({ parentPath, name }) => relative(path, join(parentPath, name)).split(sep).join("/"))
    .filter(accepts).sort();
  if (files.length > 0) return { folder: path, files };
  throw new BenchmarkDataError(`Nothing of ${title} in folder "${path}", expected ${expected}`);
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest("hex");
}

async function recordsOf(path: string): Promise<readonly RawRecord[]> {
  switch (kindOf(path)) {
    case ".parquet":
      return await readParquet(path);
    case ".jsonl":
    case ".ndjson":
      return (await readText(path)).split("\n").filter((line) => line.trim() !== "").map(readLine);
    default:
      return await readArray(path);
  }
}

/** A file's text without a byte order mark. */
async function readText(path: string): Promise<string> {
  const content = await readFile(path);
  if (!path.endsWith(COMPRESSED)) return content.toString("utf8").replace(/^\uFEFF/, "");
  try {
    return (await promisify(gunzip)(content)).toString("utf8").replace(/^\uFEFF/, "");
  } catch (error) {
    throw new BenchmarkDataError(`File "${path}" is not whole gzip: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function readLine(line: string): RawRecord {
  try {
    return { value: JSON.parse(line) };
  } catch {
    return {
      value: null,
      fault: { field: "", value: showValue(line), expected: "a whole JSON value on one line" },
    };
  }
}

async function readArray(path: string): Promise<RawRecord[]> {
  let content: unknown;
  try {
    content = JSON.parse(await readText(path));
  } catch (error) {
    throw new BenchmarkDataError(`File "${path}" is not JSON: ${(error as Error).message}`, { cause: error });
  }
  if (Array.isArray(content)) return content.map((value) => ({ value }));
  throw new BenchmarkDataError(`File "${path}" holds ${showValue(content)}, expected an array of records`);
}

async function readParquet(path: string): Promise<RawRecord[]> {
  try {
    const file = await asyncBufferFromFile(path);
    return (await parquetReadObjects({ file, compressors })).map((value) => ({ value: plain(value) }));
  } catch (error) {
    throw new BenchmarkDataError(`File "${path}" is not Parquet: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** Parquet's 64-bit integers as numbers. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object" || value instanceof Date) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plain(each)]));
}
