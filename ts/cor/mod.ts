/**
 * Chain of rubrics: the prompts that judges read, and the verdicts and traces that they write.
 *
 * @module
 */
export * from "./form.ts";
export * from "./format.ts";
export * from "./prompts.ts";
export * from "./published_prompt.ts";
export type { RubricItem } from "./rubric.ts";
export * from "./trace.ts";
export * from "./verdict.ts";
