/**
 * The benchmarks by name.
 *
 * @module
 */
import type { Benchmark, BenchmarkName } from "./benchmark.ts";
import { JUDGEBENCH } from "./judgebench/benchmark.ts";
import { PREFERENCES } from "./preferences/benchmark.ts";
import { REWARDBENCH } from "./rewardbench/benchmark.ts";
import { REWARDBENCH_2 } from "./rewardbench2/benchmark.ts";
import { rmBench } from "./rm_bench/benchmark.ts";
import { RMB } from "./rmb/benchmark.ts";

/** The benchmarks by name, RM-Bench by its standard rule. */
export const BENCHMARKS: Readonly<Record<BenchmarkName, Benchmark>> = {
  "rewardbench": REWARDBENCH,
  "rewardbench-2": REWARDBENCH_2,
  "rm-bench": rmBench(),
  "rmb": RMB,
  "judgebench": JUDGEBENCH,
  "preferences": PREFERENCES,
};
