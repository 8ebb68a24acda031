/**
 * RM-Bench.
 *
 * @module
 */
export * from "./figures.ts";
export * from "./items.ts";
export * from "./report.ts";
export * from "./run.ts";
