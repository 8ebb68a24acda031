/**
 * Reads RM-Bench's own files (Liu et al. 2024, "RM-Bench: Benchmarking Reward Models of Language Models with Subtlety
 * and Style").
 *
 * @module
 */
import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { showValue } from "rm-r1/data";
import { z } from "zod";

/** The four domains that RM-Bench's overall figure is the mean of. */
export type Domain = "chat" | "math" | "code" | "safety";

/** All domains. */
export const DOMAINS: readonly Domain[] = ["chat", "math", "code", "safety"];

/** The sets that upstream keeps in files of their own; the two of safety are pooled. */
export type Subset = "chat" | "math" | "code" | "safety-refuse" | "safety-response";

/** Domain and whole number of items of each subset. */
export const SUBSETS: { readonly [subset in Subset]: { readonly domain: Domain; readonly items: number } } = {
  "chat": { domain: "chat", items: 129 },
  "math": { domain: "math", items: 529 },
  "code": { domain: "code", items: 228 },
  "safety-refuse": { domain: "safety", items: 284 },
  "safety-response": { domain: "safety", items: 157 },
};

const SUBSET_NAMES = Object.keys(SUBSETS) as Subset[];

/** A prompt with three better and three worse answers, each in the styles concise, detailed plain, detailed markdown. */
export interface RmBenchItem {
  /** `subset:id`, unique in the benchmark. */
  readonly key: string;
  readonly subset: Subset;
  readonly domain: Domain;
  readonly prompt: string;
  /** By style. */
  readonly chosen: readonly string[];
  /** By style. */
  readonly rejected: readonly string[];
}

/** A record that is left out, and why. */
export interface MalformedRecord {
  readonly file: string;
  /** From 0. */
  readonly index: number;
  /** Path of the field, "" for the whole record. */
  readonly field: string;
  /** The field's value in quotation marks, shortened; `nothing` where it is missing. */
  readonly value: string;
  readonly expected: string;
}

/** What {@link loadRmBench} read. */
export interface RmBenchSet {
  readonly items: readonly RmBenchItem[];
  readonly malformed: readonly MalformedRecord[];
  /** SHA-256 of each file that was read, by its name. */
  readonly files: Readonly<Record<string, string>>;
}

/** RM-Bench data that cannot be read. */
export class RmBenchDataError extends Error {
  override readonly name = "RmBenchDataError";
}

const TEXT = z.string().refine((text) => text.trim() !== "");
const RECORD = z.object({
  id: z.union([z.string().min(1), z.int()]),
  prompt: TEXT,
  chosen: z.array(TEXT).length(3),
  rejected: z.array(TEXT).length(3),
});
const TOTAL_RECORD = RECORD.extend({ domain: z.enum(SUBSET_NAMES) });

function fileOf(subset: Subset): string {
  return `${subset}_filtered.json`;
}

/**
 * Reads RM-Bench from a folder with upstream's files (`chat_filtered.json`, …, each subset in its own) or from one
 * file: one of those, or the total file, whose records name their `domain`. Records that are malformed are listed and
 * left out.
 *
 * @throws {RmBenchDataError} There is nothing that could be read, or a file is not a JSON array.
 */
export async function loadRmBench(path: string): Promise<RmBenchSet> {
  const found = await stat(path).catch(() => null);
  if (found === null) throw new RmBenchDataError(`No file or folder "${path}", expected RM-Bench data`);
  const files = found.isDirectory() ? await filesIn(path) : [basename(path)];
  const folder = found.isDirectory() ? path : dirname(path);
  const items: RmBenchItem[] = [];
  const malformed: MalformedRecord[] = [];
  const hashes: Record<string, string> = {};
  const seen = new Set<string>();
  for (const file of files) {
    const bytes = await readFile(join(folder, file));
    hashes[file] = createHash("sha256").update(bytes).digest("hex");
    const subset = SUBSET_NAMES.find((name) => fileOf(name) === file);
    for (const [index, record] of parseArray(bytes, join(folder, file)).entries()) {
      const read = readRecord(record, subset, seen);
      if ("key" in read) items.push(read);
      else malformed.push({ file, index, ...read });
    }
  }
  if (items.length === 0) {
    const first = malformed[0];
    const why = first === undefined ? "" : `: ${describeMalformed(first)}`;
    throw new RmBenchDataError(
      `No RM-Bench item in "${path}", ${malformed.length} records are malformed${why}`,
    );
  }
  return { items, malformed, files: hashes };
}

async function filesIn(folder: string): Promise<string[]> {
  const names = new Set(await readdir(folder));
  const files = SUBSET_NAMES.map(fileOf);
  const present = files.filter((file) => names.has(file));
  if (present.length > 0) return present;
  throw new RmBenchDataError(
    `Nothing of RM-Bench in folder "${folder}", expected one or more of ${files.join(", ")}`,
  );
}

function parseArray(bytes: Buffer, path: string): unknown[] {
  let content: unknown;
  try {
    content = JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw new RmBenchDataError(`File "${path}" is not JSON: ${(error as Error).message}`, { cause: error });
  }
  if (Array.isArray(content)) return content;
  throw new RmBenchDataError(`File "${path}" holds ${showValue(content)}, expected an array of records`);
}

/** @param subset of the file; where the file does not tell it, the record's `domain` has to */
function readRecord(
  record: unknown,
  subset: Subset | undefined,
  seen: Set<string>,
): RmBenchItem | Omit<MalformedRecord, "file" | "index"> {
  const parsed = subset === undefined
    ? TOTAL_RECORD.safeParse(record)
    : TOTAL_RECORD.safeParse(isObject(record) ? { ...record, domain: subset } : record);
  if (!parsed.success) {
    const { path } = parsed.error.issues[0]!;
    const value = path.reduce<unknown>((at, name) => (at as Record<PropertyKey, unknown>)[name], record);
    return { field: path.join("."), value: showValue(value), expected: expectedOf(path.map(String)) };
  }
  const { id, domain, ...texts } = parsed.data;
  const key = `${domain}:${id}`;
  if (seen.has(key)) {
    return { field: "id", value: showValue(id), expected: "an id that no earlier record has" };
  }
  seen.add(key);
  return { key, subset: domain, domain: SUBSETS[domain].domain, ...texts };
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function expectedOf([field, ...rest]: readonly string[]): string {
  if (field === undefined) return "an object";
  if (field === "id") return "a string or an integer";
  if (field === "domain") return `one of ${SUBSET_NAMES.join(", ")}`;
  return field === "prompt" || rest.length > 0 ? "a non-empty text" : "an array of 3 texts";
}

/** A malformed record as a line for people. */
export function describeMalformed({ file, index, field, value, expected }: MalformedRecord): string {
  const where = field === "" ? `record ${index}` : `record ${index}, field "${field}"`;
  return `file "${file}", ${where}: found ${value}, expected ${expected}`;
}

/** What is missing from the whole benchmark, a line for each subset; empty where all is there. */
export function missingParts(items: readonly RmBenchItem[]): string[] {
  return SUBSET_NAMES.flatMap((subset) => {
    const have = items.filter((item) => item.subset === subset).length;
    const want = SUBSETS[subset].items;
    return have === want ? [] : [`${subset}: ${have} of ${want} items`];
  });
}
