/**
 * Published results, each with its source.
 *
 * @module
 */
import type { BenchmarkName } from "../benchmark.ts";

/** Kinds of reward models, as RM-R1's table groups them; floors read no meaning. */
export type ModelType = "ScalarRM" | "GenRM" | "ReasRM" | "RM-R1" | "Floor";

/** All kinds, in the order of the table. */
export const MODEL_TYPES: readonly ModelType[] = ["ScalarRM", "GenRM", "ReasRM", "RM-R1", "Floor"];

/** What was published of a model. */
export interface PublishedRow {
  readonly name: string;
  readonly type: ModelType;
  readonly source: Source;
  /** Overall figures in per cent, as published. */
  readonly scores: Readonly<Partial<Record<BenchmarkName, number>>>;
  /** Mean of RewardBench, RM-Bench and RMB in per cent, as published: that of two rows is not the mean of their figures. */
  readonly average?: number;
}

/** Where figures are from: the main table of the paper, and the README of the repository. */
export interface Source {
  readonly title: string;
  readonly url: string;
}

const RM_R1_TABLE: Source = {
  title: "RM-R1, Chen et al. 2025",
  url: "https://arxiv.org/abs/2505.02387",
};
const SKYWORK_V2: Source = {
  title: "Skywork-Reward-V2",
  url: "https://github.com/SkyworkAI/Skywork-Reward-V2",
};

/** All published rows. */
export const PUBLISHED: readonly PublishedRow[] = [
  {
    name: "SteerLM-RM-70B",
    type: "ScalarRM",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 88.8, "rm-bench": 52.5, "rmb": 58.2 },
    average: 66.5,
  },
  {
    name: "Eurus-RM-7b",
    type: "ScalarRM",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 82.8, "rm-bench": 65.9, "rmb": 68.3 },
    average: 72.3,
  },
  {
    name: "Internlm2-20b-reward",
    type: "ScalarRM",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 90.2, "rm-bench": 68.3, "rmb": 62.9 },
    average: 73.6,
  },
  {
    name: "Skywork-Reward-Gemma-2-27B",
    type: "ScalarRM",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 93.8, "rm-bench": 67.3, "rmb": 60.2 },
    average: 73.8,
  },
  {
    name: "Internlm2-7b-reward",
    type: "ScalarRM",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 87.6, "rm-bench": 67.1, "rmb": 67.1 },
    average: 73.9,
  },
  {
    name: "ArmoRM-Llama3-8B-v0.1",
    type: "ScalarRM",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 90.4, "rm-bench": 67.7, "rmb": 64.6 },
    average: 74.2,
  },
  {
    name: "Nemotron-4-340B-Reward",
    type: "ScalarRM",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 92.0, "rm-bench": 69.5, "rmb": 69.9 },
    average: 77.1,
  },
  {
    name: "Skywork-Reward-Llama-3.1-8B",
    type: "ScalarRM",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 92.5, "rm-bench": 70.1, "rmb": 69.3 },
    average: 77.5,
  },
  {
    name: "INF-ORM-Llama3.1-70B",
    type: "ScalarRM",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 95.1, "rm-bench": 70.9, "rmb": 70.5 },
    average: 78.8,
  },
  {
    name: "Claude-3.5-sonnet-0620",
    type: "GenRM",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 84.2, "rm-bench": 61.0, "rmb": 70.6 },
    average: 71.9,
  },
  {
    name: "Llama3.1-70B-Instruct",
    type: "GenRM",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 84.0, "rm-bench": 65.5, "rmb": 68.9 },
    average: 72.8,
  },
  {
    name: "Gemini-1.5-pro",
    type: "GenRM",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 88.2, "rm-bench": 75.2, "rmb": 56.5 },
    average: 73.3,
  },
  {
    name: "Skywork-Critic-Llama-3.1-70B",
    type: "GenRM",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 93.3, "rm-bench": 71.9, "rmb": 65.5 },
    average: 76.9,
  },
  {
    name: "GPT-4o-0806",
    type: "GenRM",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 86.7, "rm-bench": 72.5, "rmb": 73.8 },
    average: 77.7,
  },
  {
    name: "JudgeLRM",
    type: "ReasRM",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 75.2, "rm-bench": 64.7, "rmb": 53.1 },
    average: 64.3,
  },
  {
    name: "DeepSeek-GRM-27B",
    type: "ReasRM",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 86.0, "rmb": 69.0 },
  },
  {
    name: "Self-taught-evaluator-70B",
    type: "ReasRM",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 90.2, "rm-bench": 71.4, "rmb": 67.0 },
    average: 76.2,
  },
  {
    name: "RM-R1 DeepSeek-Distilled-Qwen-7B",
    type: "RM-R1",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 80.1, "rm-bench": 72.4, "rmb": 55.1 },
    average: 69.2,
  },
  {
    name: "RM-R1 Qwen-Instruct-7B",
    type: "RM-R1",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 85.2, "rm-bench": 70.2, "rmb": 66.4 },
    average: 73.9,
  },
  {
    name: "RM-R1 Instruct-14B",
    type: "RM-R1",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 88.2, "rm-bench": 76.1, "rmb": 69.2 },
    average: 77.8,
  },
  {
    name: "RM-R1 DeepSeek-14B",
    type: "RM-R1",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 88.9, "rm-bench": 81.5, "rmb": 68.5 },
    average: 79.6,
  },
  {
    name: "RM-R1 Instruct-32B",
    type: "RM-R1",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 91.4, "rm-bench": 79.1, "rmb": 73.0 },
    average: 81.2,
  },
  {
    name: "RM-R1 DeepSeek-32B",
    type: "RM-R1",
    source: RM_R1_TABLE,
    scores: { "rewardbench": 90.9, "rm-bench": 83.9, "rmb": 69.8 },
    average: 81.5,
  },
  {
    name: "Skywork-Reward-V2-Llama-3.1-8B-40M",
    type: "ScalarRM",
    source: SKYWORK_V2,
    scores: { "rewardbench": 97.8, "rewardbench-2": 86.5, "rmb": 89.3, "rm-bench": 96.0, "judgebench": 83.4 },
  },
  {
    name: "Skywork-Reward-V2-Llama-3.1-8B",
    type: "ScalarRM",
    source: SKYWORK_V2,
    scores: { "rewardbench": 96.4, "rewardbench-2": 84.1, "rmb": 86.4, "rm-bench": 92.8, "judgebench": 80.0 },
  },
  {
    name: "Skywork-Reward-V2-Qwen3-8B",
    type: "ScalarRM",
    source: SKYWORK_V2,
    scores: { "rewardbench": 93.7, "rewardbench-2": 78.2, "rmb": 81.2, "rm-bench": 82.6, "judgebench": 73.4 },
  },
];
