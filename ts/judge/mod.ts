/**
 * Judges of two answers to one question, behind one interface.
 *
 * @module
 */
export * from "./baseline.ts";
export * from "./judge.ts";
export * from "./open_judge.ts";
export * from "./rm_r1_judge.ts";
export * from "./scalar_judge.ts";
export * from "./weights_hash.ts";
