/**
 * The preference record: what every loader gives and every trainer and judge takes.
 *
 * @module
 */
import type { Message } from "../engine/engine.ts";

/** A prompt with a better and a worse answer. */
export interface PreferenceRecord {
  /** Unique in its set. */
  readonly id: string;
  /** The conversation so far; its last message is the user's. */
  readonly conversation: readonly Message[];
  /** The better answer. */
  readonly chosen: string;
  /** The worse answer. */
  readonly rejected: string;
  /** Groups pairs of one problem, so that a split never puts it on both sides. Default the id. */
  readonly group?: string;
  /** The problem's own solution, one step a line, where the data have it. */
  readonly solution?: string;
  /** Where the record is from. */
  readonly source?: string;
}

/** The two places an answer can stand in. */
export type Side = "A" | "B";

/** A record with its answers put in places. */
export interface PlacedPair {
  readonly record: PreferenceRecord;
  readonly a: string;
  readonly b: string;
  /** The place of the better answer. */
  readonly gold: Side;
}

/** A set of records. Validation is for choosing settings, test for measuring. */
export type Split = "train" | "validation" | "test";
