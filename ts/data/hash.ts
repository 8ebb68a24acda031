/**
 * Random choices that depend on names alone, not on the order in which they are made.
 *
 * @module
 */
import { createHash } from "node:crypto";

/** A number from 0 up to, not including, 1 that a seed and a name determine (the first 32 bits of a SHA-256). */
export function hashFraction(seed: number, name: string): number {
  return createHash("sha256").update(`${seed}\0${name}`).digest().readUInt32BE() / 2 ** 32;
}
