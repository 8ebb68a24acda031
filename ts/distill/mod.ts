/**
 * Trace synthesis: chain-of-rubrics traces by an oracle, by a local model, or from the data.
 *
 * @module
 */
export {
  AdaptiveLimit,
  type AdaptiveLimitOptions,
  type CallEnd,
  type Place,
  retryAfter,
} from "./adaptive_limit.ts";
export { API_NAMES, type ApiName, APIS, type OracleRequest, type OracleSampling } from "./apis.ts";
export type { Answer, CallTokens } from "./journal.ts";
export * from "./assess.ts";
export { type Amount, type BudgetLimits, type Prices } from "./budget.ts";
export type { RetryOptions } from "./caller.ts";
export * from "./distill.ts";
export * from "./distill_error.ts";
export type { Estimate, EstimatedAmount } from "./estimate.ts";
export * from "./held_out.ts";
export * from "./hint_leak.ts";
export { HttpOracle, type HttpOracleOptions } from "./http_oracle.ts";
export * from "./oracle_error.ts";
export type { ChosenPairs, PairOptions } from "./pairs.ts";
export * from "./prompts.ts";
export type { SamplingEngine } from "./rejection_sampling.ts";
export type { DistillStatistics, PairResult, PassName, PassOutcome } from "./statistics.ts";
