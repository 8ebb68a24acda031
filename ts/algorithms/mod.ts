/**
 * Learning algorithms as pure functions, from records of per-token log-probabilities to coefficients dL/dlogprob.
 * They keep no state, know of no engine, and compute in f64.
 *
 * @module
 */
export * from "./advantages.ts";
export * from "./bradley_terry.ts";
export * from "./gae.ts";
export * from "./importance.ts";
export * from "./kl.ts";
export * from "./nll.ts";
export * from "./normaliser.ts";
export * from "./overlong.ts";
export * from "./policy.ts";
export * from "./rewards.ts";
export * from "./value.ts";
