/**
 * Trace synthesis: chain-of-rubrics traces by an oracle, by a local model, or from the data.
 *
 * @module
 */
export * from "./assess.ts";
export * from "./distill.ts";
export * from "./distill_error.ts";
export type { Estimate, EstimatedAmount } from "./estimate.ts";
export * from "./held_out.ts";
export * from "./hint_leak.ts";
export type { ChosenPairs, PairOptions } from "./pairs.ts";
export * from "./prompts.ts";
export type { SamplingEngine } from "./rejection_sampling.ts";
export type { DistillStatistics, PairResult, PassName, PassOutcome } from "./statistics.ts";
