/**
 * A run as evidence: its folder read and checked, summed up in a line, and shown on one page.
 *
 * @module
 */
export { COLOURS } from "./charts.ts";
export { type RunState } from "./history.ts";
export { formatShare } from "./numbers.ts";
export { PAGE_OPENING, type PageParts, renderPage } from "./page.ts";
export { loadPairs, type Pairs } from "./pairs.ts";
export { type FoundRun, readRun, readRuns } from "./read_run.ts";
export * from "./records.ts";
export { type RunSummary, type StepCount, summarise } from "./summary.ts";
