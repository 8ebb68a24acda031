/**
 * The names of the APIs that model servers speak, for who needs no more of them.
 *
 * @module
 */

/** The APIs by name. */
export type ApiName = "openai" | "anthropic";

/** All APIs. */
export const API_NAMES: readonly ApiName[] = ["openai", "anthropic"];
