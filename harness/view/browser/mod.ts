/**
 * What runs in the page of a run. The page holds each function's source text, so they rest on each other and on the
 * browser alone.
 *
 * @module
 */
export * from "./browse.ts";
export * from "./case.ts";
export * from "./element.ts";
export * from "./filter.ts";
export * from "./list.ts";
