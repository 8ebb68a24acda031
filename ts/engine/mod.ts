/**
 * The engine seam and what belongs to it: forests of token segments, chat templates, errors.
 *
 * @module
 */

export * from "./chat_template.ts";
export * from "./engine.ts";
export * from "./error.ts";
export * from "./forest.ts";
