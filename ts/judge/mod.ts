/**
 * Judges of two answers to one question, behind one interface.
 *
 * @module
 */
export * from "./baseline.ts";
export * from "./best_of_n.ts";
export * from "./endpoint_judge.ts";
export * from "./endpoint_writer.ts";
export * from "./engine_writer.ts";
export * from "./judge.ts";
export * from "./judge_card.ts";
export * from "./judge_spec_error.ts";
export * from "./open_judge.ts";
export * from "./pair_protocol.ts";
export * from "./rating_judge.ts";
export * from "./rewardbench_prompt.ts";
export * from "./rm_r1_judge.ts";
export * from "./scalar_judge.ts";
export * from "./served_writer.ts";
export * from "./server_writer.ts";
export * from "./weights_hash.ts";
