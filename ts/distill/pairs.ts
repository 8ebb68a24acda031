/**
 * The pairs that traces are wanted for.
 *
 * @module
 */
import { stat } from "node:fs/promises";
import {
  DataError,
  hashFraction,
  placeAll,
  type PlacedPair,
  type PreferenceRecord,
  readPreferences,
} from "../data/mod.ts";
import { checkHeldOut, type HeldOutHit, type HeldOutReport } from "./held_out.ts";

/** Options of {@link choosePairs}. */
export interface PairOptions {
  /** Preference records, JSON Lines. */
  readonly data: string;
  /** Files whose prompts are left out. */
  readonly heldOut: readonly string[];
  /** Share of 8-grams from which on a prompt counts as one of those. */
  readonly overlap?: number;
  /** Most pairs; all where it is left out. */
  readonly limit?: number;
  /** Of the pairs' order. */
  readonly seed: number;
}

/** Pairs with the better answer at A, B, A, B, …, and what was left out. */
export interface ChosenPairs {
  readonly pairs: readonly PlacedPair[];
  /** Records of the file. */
  readonly read: number;
  /** Records whose two answers are the same. */
  readonly identical: number;
  /** Records that a held-out file has, too. */
  readonly heldOut: number;
  /** Records beyond the limit. */
  readonly beyondLimit: number;
  readonly hits: readonly HeldOutHit[];
  readonly reports: readonly HeldOutReport[];
}

/**
 * Chooses the pairs in an order that seed and ids decide. The places alternate in that order, so that a higher limit
 * adds pairs and leaves those before them, and their places, as they were.
 *
 * @throws {DataError} A file is missing or malformed, or no pair is left.
 */
export async function choosePairs(options: PairOptions): Promise<ChosenPairs> {
  const { data, heldOut: files, overlap, limit = Infinity, seed } = options;
  await assertFile(data);
  const { records, identical } = await readPreferences(data);
  const { hits, reports } = await checkHeldOut(records, {
    files,
    ...(overlap !== undefined && { overlap }),
  });
  const held = new Set(hits.map(({ id }) => id));
  const free = ordered(records.filter(({ id }) => !held.has(id)), seed);
  const taken = free.slice(0, limit);
  if (taken.length === 0) {
    throw new DataError(data, null, `Expected pairs to distil, found none: ${held.size} are held out`);
  }
  return {
    pairs: placeAll(taken, { kind: "alternate" }),
    read: records.length + identical.length,
    identical: identical.length,
    heldOut: held.size,
    beyondLimit: free.length - taken.length,
    hits,
    reports,
  };
}

async function assertFile(path: string): Promise<void> {
  try {
    if ((await stat(path)).isFile()) return;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
    throw new DataError(path, null, "File not found", { cause });
  }
  throw new DataError(path, null, "Expected a file of preference records, found a folder");
}

function ordered(records: readonly PreferenceRecord[], seed: number): PreferenceRecord[] {
  return records
    .map((record, index) => ({ record, index, draw: hashFraction(seed, `distil\0${record.id}`) }))
    .sort((x, y) => x.draw - y.draw || x.index - y.index)
    .map(({ record }) => record);
}
