/**
 * The benchmarks by name.
 *
 * @module
 */
import type { Benchmark, BenchmarkName } from "./benchmark.ts";
import { JUDGEBENCH } from "./judgebench/benchmark.ts";
import { PREFERENCES } from "./preferences/benchmark.ts";
import { rewardBench } from "./rewardbench/benchmark.ts";
import { REWARDBENCH_2 } from "./rewardbench2/benchmark.ts";
import { rmBench } from "./rm_bench/benchmark.ts";
import { RMB } from "./rmb/benchmark.ts";

/** The benchmarks by name, each by its usual rule. */
export const BENCHMARKS: Readonly<Record<BenchmarkName, Benchmark>> = {
  "rewardbench": rewardBench(),
  "rewardbench-2": REWARDBENCH_2,
  "rm-bench": rmBench(),
  "rmb": RMB,
  "judgebench": JUDGEBENCH,
  "preferences": PREFERENCES,
};
