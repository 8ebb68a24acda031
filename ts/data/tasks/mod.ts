/**
 * Generated verifiable tasks for the embedded default.
 *
 * @module
 */
export { drawTasks, generateTasks, type Task, type TaskOptions } from "./tasks.ts";
export type { Fault } from "./answers.ts";
export { HELD_RANGES, type Operation, type Problem, type Step } from "./problem.ts";
