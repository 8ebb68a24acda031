/**
 * What is trained on the embedded model to compare algorithms, kinds of judges and ablations.
 *
 * @module
 */

/** Groups of variants, each a table of its own. */
export const GROUPS = ["algorithms", "kinds", "ablations", "continued"] as const;

/** One of {@link GROUPS}. */
export type Group = (typeof GROUPS)[number];

/** A configuration that is trained from several seeds. */
export interface Variant {
  readonly id: string;
  readonly group: Group;
  /** In a table. */
  readonly title: string;
  /** Name of the file in `configs`, without its ending. */
  readonly config: string;
  /** Trains stage 1 for as long as the configuration's two stages took from the same seed, instead of stage 2. */
  readonly continued?: "same traces" | "new traces";
}

/** Every variant, in the order of the tables. */
export const VARIANTS: readonly Variant[] = [
  { id: "default", group: "algorithms", title: "GRPO", config: "default" },
  { id: "dr-grpo", group: "algorithms", title: "Dr. GRPO", config: "dr-grpo" },
  { id: "dapo", group: "algorithms", title: "DAPO", config: "dapo" },
  { id: "gspo", group: "algorithms", title: "GSPO", config: "gspo" },
  { id: "ppo", group: "algorithms", title: "PPO with a critic", config: "ppo" },
  { id: "lora", group: "algorithms", title: "GRPO, low-rank adapters", config: "lora" },
  { id: "scalarrm", group: "kinds", title: "ScalarRM, Bradley–Terry", config: "scalarrm" },
  { id: "genrm", group: "kinds", title: "GenRM, NLL then GRPO", config: "genrm" },
  { id: "cold-start", group: "ablations", title: "cold start: no stage 1", config: "ablation-cold-start" },
  { id: "no-rubrics", group: "ablations", title: "no rubrics, no task types", config: "ablation-no-rubrics" },
  { id: "no-task-types", group: "ablations", title: "no task types", config: "ablation-no-task-types" },
  {
    id: "distillation-only",
    group: "ablations",
    title: "distillation only: no stage 2",
    config: "ablation-distillation-only",
  },
  {
    id: "continued-same",
    group: "continued",
    title: "stage 1 continued on the same traces",
    config: "default",
    continued: "same traces",
  },
  {
    id: "continued-new",
    group: "continued",
    title: "stage 1 continued on new traces",
    config: "default",
    continued: "new traces",
  },
];

/** Sizes of stage 1. */
export interface Stage1Size {
  readonly examples: number;
  readonly epochs: number;
  readonly batchExamples: number;
}

/**
 * Stage 1 made so long that it takes at least the time of both stages, at the rate that it had in them.
 *
 * @param seconds of training steps, without evaluations
 * @throws {RangeError} One of the stages took no time.
 */
export function continuedSize(
  { examples, epochs, batchExamples }: Stage1Size,
  traces: "same traces" | "new traces",
  seconds: { readonly stage1: number; readonly stage2: number },
): { readonly examples: number; readonly epochs: number } {
  const times = (seconds.stage1 + seconds.stage2) / seconds.stage1;
  if (!(times > 1 && times < Infinity)) {
    throw new RangeError(
      `The stages took "${seconds.stage1}" and "${seconds.stage2}" s, expected both above 0`,
    );
  }
  if (traces === "same traces") return { examples, epochs: Math.ceil(epochs * times) };
  return { examples: Math.ceil(examples * times / batchExamples) * batchExamples, epochs };
}
