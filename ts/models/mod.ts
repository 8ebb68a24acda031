/**
 * Models by name: where they come from, and where they are.
 *
 * @module
 */
export * from "./catalog.ts";
export * from "./fetch.ts";
export * from "./model_error.ts";
export * from "./resolve.ts";
