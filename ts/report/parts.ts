/**
 * What other pages are made of, too.
 *
 * @module
 */
export * from "./markup.ts";
export * from "./style.ts";
