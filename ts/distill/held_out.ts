/**
 * Keeps prompts that are measured on, or trained on elsewhere, out of distillation.
 *
 * Two prompts are compared by the words of their user messages, whatever the case, punctuation and Unicode form. A
 * prompt is held out if a file has the same text, or if enough of its 8-grams occur in the file (PaLM, Chowdhery et
 * al. 2022, arXiv:2204.02311, section 8, takes 70 %).
 *
 * @module
 */
import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { DataError, type PreferenceRecord, readJsonLines, showValue } from "../data/mod.ts";

/** Words of an n-gram. */
const GRAM = 8;

/** Share of a prompt's 8-grams from which on it is held out, unless another is asked for. */
export const DEFAULT_OVERLAP = 0.7;

/** A prompt that a held-out file has, too. */
export interface HeldOutHit {
  /** Of the record. */
  readonly id: string;
  readonly file: string;
  /** The whole text, or enough of its n-grams. */
  readonly kind: "same-text" | "overlap";
  /** Share of the prompt's distinct 8-grams that occur in the file; 1 for the same text. */
  readonly overlap: number;
}

/** What a held-out file came to. */
export interface HeldOutReport {
  readonly file: string;
  /** Prompts that the file holds. */
  readonly prompts: number;
  readonly sameText: number;
  readonly overlapping: number;
  /** Records by their share of 8-grams that occur in the file: of 0, up to each tenth, and over nine tenths. */
  readonly histogram: readonly number[];
}

/** Options of {@link checkHeldOut}. */
export interface HeldOutOptions {
  /** Files (JSON Lines, or a JSON array of records), or folders of such files. */
  readonly files: readonly string[];
  /** Share of 8-grams from which on a prompt is held out. Default {@link DEFAULT_OVERLAP}. */
  readonly overlap?: number;
}

/** The words of a text: compatibility forms folded, in lower case, runs of letters, marks and digits. */
export function wordsOf(text: string): string[] {
  return text.normalize("NFKC").toLowerCase().match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];
}

/**
 * Finds the records whose prompts are in a held-out file. A record is listed once for each file that has it.
 *
 * @throws {DataError} A file is missing or malformed, or a record of it has no prompt.
 */
export async function checkHeldOut(
  records: readonly PreferenceRecord[],
  { files, overlap = DEFAULT_OVERLAP }: HeldOutOptions,
): Promise<{ readonly hits: readonly HeldOutHit[]; readonly reports: readonly HeldOutReport[] }> {
  const hashing = new WordHashes();
  const prompts = records.map(({ id, conversation }) => {
    const words = wordsOf(userText(conversation));
    return { id, text: words.join(" "), grams: [...new Set(hashing.grams(words))] };
  });
  const hits: HeldOutHit[] = [];
  const reports: HeldOutReport[] = [];
  for (const file of files) {
    const texts = new Set<string>();
    const collected: number[][] = [];
    for (const prompt of (await Promise.all((await filesOf(file)).map(readPrompts))).flat()) {
      const words = wordsOf(prompt);
      texts.add(words.join(" "));
      collected.push(hashing.grams(words));
    }
    const held = Float64Array.from(collected.flat()).sort();
    const histogram = new Array<number>(11).fill(0);
    const found = prompts.flatMap(({ id, text, grams }): HeldOutHit[] => {
      const known = grams.filter((gram) => includes(held, gram)).length;
      const share = texts.has(text) ? 1 : grams.length === 0 ? 0 : known / grams.length;
      histogram[Math.ceil(share * 10)]!++;
      if (texts.has(text)) return [{ id, file, kind: "same-text", overlap: 1 }];
      return grams.length > 0 && share >= overlap ? [{ id, file, kind: "overlap", overlap: share }] : [];
    });
    hits.push(...found);
    const sameText = found.filter(({ kind }) => kind === "same-text").length;
    reports.push({
      file,
      prompts: collected.length,
      sameText,
      overlapping: found.length - sameText,
      histogram,
    });
  }
  return { hits, reports };
}

/** Whether a sorted array holds a number. */
function includes(sorted: Float64Array, value: number): boolean {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return sorted[low] === value;
}

/** Polynomial hashes of n-grams over words that are hashed to 45 bits, so that no product leaves 53 bits. */
class WordHashes {
  static readonly #modulus = 2 ** 45 - 55;
  static readonly #base = 251;
  readonly #words = new Map<string, number>();

  grams(words: readonly string[]): number[] {
    const values = words.map((word) => this.#hash(word));
    return Array.from({ length: Math.max(0, words.length - GRAM + 1) }, (_, start) => {
      let hash = 0;
      for (let at = start; at < start + GRAM; at++) {
        hash = (hash * WordHashes.#base + values[at]!) % WordHashes.#modulus;
      }
      return hash;
    });
  }

  #hash(word: string): number {
    const known = this.#words.get(word);
    if (known !== undefined) return known;
    const value = createHash("sha256").update(word).digest().readUIntBE(0, 6) % WordHashes.#modulus;
    this.#words.set(word, value);
    return value;
  }
}

function userText(messages: readonly { readonly role: string; readonly content: string }[]): string {
  return messages.filter(({ role }) => role === "user").map(({ content }) => content).join("\n");
}

const messages = z.array(z.looseObject({ role: z.string(), content: z.string() })).min(1);
/** Where public preference sets and benchmarks keep their prompts. */
const PROMPT_FIELDS = [
  "conversation",
  "conversation_input",
  "prompt",
  "question",
  "instruction",
  "input",
] as const;
const holder = z.looseObject(
  Object.fromEntries(PROMPT_FIELDS.map((field) => [field, z.union([z.string(), messages]).optional()])),
);

/** The file, or the files of JSON and JSON Lines in the folder and its folders. */
async function filesOf(path: string): Promise<string[]> {
  let isFolder: boolean;
  try {
    isFolder = (await stat(path)).isDirectory();
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    throw new DataError(path, null, missing ? "File not found" : (cause as Error).message, { cause });
  }
  if (!isFolder) return [path];
  const names = await readdir(path, { recursive: true });
  const files = names.filter((name) => /\.jsonl?$/.test(name)).sort().map((name) => join(path, name));
  if (files.length === 0) throw new DataError(path, null, "Expected files of .json or .jsonl, found none");
  return files;
}

/** The prompts of a file of JSON Lines, or of a JSON array. */
async function readPrompts(file: string): Promise<string[]> {
  const prompts: string[] = [];
  const add = (value: Record<string, unknown>, line: number | null, where: string): void => {
    const field = PROMPT_FIELDS.find((name) => value[name] !== undefined);
    if (field === undefined) {
      const expected = PROMPT_FIELDS.map((name) => `"${name}"`).join(", ");
      throw new DataError(file, line, `${where}: expected a prompt in one of ${expected}, found none`);
    }
    const prompt = value[field] as string | z.infer<typeof messages>;
    prompts.push(typeof prompt === "string" ? prompt : userText(prompt));
  };
  const array = await readArray(file);
  if (array !== null) {
    for (const [index, value] of array.entries()) {
      const parsed = holder.safeParse(value);
      if (!parsed.success) {
        throw new DataError(file, null, `Record ${index + 1}: expected a prompt, found ${showValue(value)}`);
      }
      add(parsed.data, null, `Record ${index + 1}`);
    }
  } else {
    for await (const { line, value } of readJsonLines(file, holder)) add(value, line, "Record");
  }
  if (prompts.length === 0) throw new DataError(file, null, "Expected at least one prompt, found none");
  return prompts;
}

/** The values of a file that is one JSON array; null where it is not. */
async function readArray(file: string): Promise<unknown[] | null> {
  const text = await readFile(file, "utf8");
  if (!/^\uFEFF?\s*\[/.test(text)) return null;
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (error) {
    throw new DataError(file, null, `Expected a JSON array: ${(error as Error).message}`, { cause: error });
  }
}
