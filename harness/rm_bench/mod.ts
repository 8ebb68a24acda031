/**
 * RM-Bench.
 *
 * @module
 */
export { type OrderFigures, ORDERS, type Orders } from "./compare.ts";
export * from "./figures.ts";
export * from "./items.ts";
export * from "./report.ts";
export * from "./run.ts";
