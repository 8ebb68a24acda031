/**
 * Preference data: the record, readers, placement and traces made from the data.
 *
 * @module
 */
export { DataError, showValue } from "./data_error.ts";
export * from "./gsm8k.ts";
export { hashFraction } from "./hash.ts";
export { type JsonLine, readJsonLines } from "./json_lines.ts";
export * from "./jsonl.ts";
export * from "./placement.ts";
export * from "./record.ts";
export * from "./trace_file.ts";
export * from "./traces.ts";
export {
  drawTasks,
  type Fault,
  generateTasks,
  HELD_RANGES,
  type Task,
  type TaskOptions,
} from "./tasks/mod.ts";
