/**
 * The data sets that can be fetched, and where their authors keep them.
 *
 * @module
 */
import type { BenchmarkName } from "../benchmark.ts";
import { JUDGEBENCH_BLOBS, RM_BENCH_BLOBS, RMB_BLOBS } from "./github_blobs.ts";

/** A data set in a repository on GitHub, at one commit. */
export interface GithubData {
  readonly home: "github";
  readonly repository: string;
  readonly revision: string;
  /** Git's object ids by path. */
  readonly blobs: Readonly<Record<string, string>>;
}

/**
 * A data set on the Hugging Face hub. The hub names the commit and each file's SHA-256 when it is fetched first; from
 * then on they are pinned in the folder it came to.
 */
export interface HubData {
  readonly home: "hub";
  readonly repository: string;
  readonly accepts: (path: string) => boolean;
}

/** A data set by its benchmark's name. */
export interface DataSet {
  readonly name: BenchmarkName;
  readonly from: GithubData | HubData;
  /** What of its folder the benchmark reads; all if not given. */
  readonly part?: string;
}

/** All that can be fetched. */
export const DATA_SETS: readonly DataSet[] = [
  {
    name: "rewardbench",
    from: {
      home: "hub",
      repository: "allenai/reward-bench",
      accepts: (path) => /^data\/filtered-.*\.parquet$/.test(path),
    },
  },
  {
    name: "rewardbench-2",
    from: {
      home: "hub",
      repository: "allenai/reward-bench-2",
      accepts: (path) => /^data\/test-.*\.parquet$/.test(path),
    },
  },
  {
    name: "rm-bench",
    from: {
      home: "github",
      repository: "THU-KEG/RM-Bench",
      revision: "73c52d7b27b361621361ec959ac6c0eb9bb7a689",
      blobs: RM_BENCH_BLOBS,
    },
  },
  {
    name: "rmb",
    from: {
      home: "github",
      repository: "Zhou-Zoey/RMB-Reward-Model-Benchmark",
      revision: "2be3180857f2190b7ffa929d43190835627f1f4d",
      blobs: RMB_BLOBS,
    },
  },
  {
    name: "judgebench",
    from: {
      home: "github",
      repository: "ScalerLab/JudgeBench",
      revision: "e2c52c284e735e139b3daa61c206ee208f36c461",
      blobs: JUDGEBENCH_BLOBS,
    },
    // The half whose answers are GPT-4o's, which published figures are of.
    part: "data/dataset=judgebench,response_model=gpt-4o-2024-05-13.jsonl",
  },
];
