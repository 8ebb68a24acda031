/**
 * Random choices that depend on names alone, not on the order in which they are made.
 *
 * @module
 */
import { sha256 } from "@noble/hashes/sha2.js";

/** The first 32 bits of a text's SHA-256. */
export function hashWord(text: string): number {
  return new DataView(sha256(new TextEncoder().encode(text)).buffer).getUint32(0);
}

/** A number from 0 up to, not including, 1 that a seed and a name determine (the first 32 bits of a SHA-256). */
export function hashFraction(seed: number, name: string): number {
  return hashWord(`${seed}\0${name}`) / 2 ** 32;
}
