/**
 * The scaling study: how time and memory of training grow.
 *
 * @module
 */
import { drawIds, type Drawn } from "./inputs.ts";
import type { Precision } from "../ts/engine/mod.ts";
import type { Job } from "./protocol.ts";

/** Names of the studies, in the order of the page. */
export const STUDIES = ["sequence", "batch", "size", "threads", "forest", "overhead"] as const;

/** A study. */
export type Study = typeof STUDIES[number];

/** One measurement of a study, as plain numbers. */
export interface Point {
  readonly study: Study;
  readonly work: "update" | "sft_step" | "grpo_step";
  readonly shape: string;
  readonly threads: number;
  readonly layout: "forest" | "flat";
  readonly recompute: boolean;
  readonly prompts: number;
  readonly promptTokens: number;
  readonly rollouts: number;
  /** Of a rollout. */
  readonly newTokens: number;
}

const BASE: Omit<Point, "study"> = {
  work: "update",
  shape: "135M",
  threads: 2,
  layout: "forest",
  recompute: false,
  prompts: 1,
  promptTokens: 1,
  rollouts: 1,
  newTokens: 255,
};

const LENGTHS = [128, 256, 512, 1024, 2048, 4096, 8192];
const BATCHES = [1, 2, 4, 8, 16];
const SIZES = ["embedded", "135M", "0.5B", "1.5B"];
const PROMPT_LENGTHS = [64, 256, 700, 2000];
const GROUPS = [1, 2, 4, 8, 16, 32];

/** The points of a study on so many threads. */
export function pointsOf(study: Study, threads: number): Point[] {
  const base = { ...BASE, threads, study };
  switch (study) {
    case "sequence":
      return [false, true].flatMap((recompute) =>
        LENGTHS.map((length) => ({ ...base, recompute, newTokens: length - 1 }))
      );
    case "batch":
      return BATCHES.map((prompts) => ({ ...base, prompts }));
    case "size":
      return SIZES.map((shape) => ({ ...base, shape, recompute: true }));
    case "threads":
      return Array.from({ length: threads }, (_, more) => ({ ...base, threads: more + 1, prompts: 4 }));
    case "forest":
      return PROMPT_LENGTHS.flatMap((promptTokens) =>
        GROUPS.flatMap((rollouts) =>
          (["forest", "flat"] as const).map((layout) => ({
            ...base,
            layout,
            recompute: true,
            promptTokens,
            rollouts,
            newTokens: 64,
          }))
        )
      );
    case "overhead":
      return ["embedded", "135M"].flatMap((shape): Point[] => [
        { ...base, shape, work: "sft_step", prompts: 4 },
        { ...base, shape, work: "grpo_step", prompts: 2, promptTokens: 66, rollouts: 8, newTokens: 64 },
      ]);
  }
}

/** Repetitions of a point: more of the embedded model's, whose steps are so short that the first ones still compile. */
export function repetitionsOf({ shape }: Point, repetitions: number): number {
  return shape === "embedded" ? 10 * repetitions : repetitions;
}

/** Tokens of a forward pass, as the trainer cuts them by default. */
const MICRO_BATCH_TOKENS = 16_384;
const WARM_UP_TOKENS = 8;
const SEED = 20261123;

/** The embedded model has 640 tokens; ids of all shapes are drawn from as many. */
const VOCABULARY = 640;

/** The job of a point; inputs 0 are a small warm-up. */
export function jobOf(
  point: Point,
  options: { readonly precision: Precision; readonly repetitions: number },
): Job {
  const { work, shape, threads, layout, recompute, prompts, promptTokens, rollouts, newTokens } = point;
  const { precision, repetitions } = options;
  let seed = SEED;
  const drawn = (count: number, tokens: number): number[][] => {
    const sequences: Drawn = { kind: "ids", count, tokens };
    return drawIds(sequences, { repetitions: 1, vocabulary: VOCABULARY, seed: seed++ })[0]!;
  };
  const input = (promptLength: number, newLength: number): number[][] => {
    switch (work) {
      case "sft_step":
        return drawn(prompts, promptLength + newLength);
      case "grpo_step":
        return drawn(prompts, promptLength);
      case "update":
        return Array.from({ length: prompts }, () => [
          ...drawn(1, promptLength),
          ...drawn(rollouts, newLength),
        ]).flat();
    }
  };
  const inputs = [
    input(Math.min(WARM_UP_TOKENS, promptTokens), Math.min(WARM_UP_TOKENS, newTokens)),
    ...Array.from({ length: repetitions }, () => input(promptTokens, newTokens)),
  ];
  const base = { precision, threads, model: { shape }, inputs, recompute };
  if (work === "sft_step") return { ...base, kind: work };
  if (work === "grpo_step") return { ...base, kind: work, rollouts, newTokens };
  return { ...base, kind: work, rollouts, newTokens, layout, microBatchTokens: MICRO_BATCH_TOKENS };
}
