/**
 * The rows of the comparison with peers: the work, how it is compared, and what is aimed at.
 *
 * @module
 */
import type { Drawn } from "./inputs.ts";
import type { InferencePrecision, Precision } from "../ts/engine/mod.ts";
import type { DecodeJob, FirstTokenJob, GrpoStepJob, PrefillJob, SftStepJob } from "./protocol.ts";
import type { Metric } from "./statistics.ts";

type PeerJob = SftStepJob | GrpoStepJob | PrefillJob | DecodeJob | FirstTokenJob;

/** A job without what only a run knows. */
export type Work = PeerJob extends infer Each
  ? Each extends PeerJob ? Omit<Each, "inputs" | "threads" | "model"> : never
  : never;

/** A row of the table. */
export interface Row {
  readonly id: string;
  /** As the table names it. */
  readonly work: string;
  readonly peer: "PyTorch" | "TRL" | "transformers" | "llama.cpp";
  /** File of `peers/` that does it. */
  readonly script: string;
  readonly job: Work;
  /** `original` is the quantised file, which stays quantised; `expanded` the folder in f32 that was made of it. */
  readonly model: { readonly ours: "original" | "expanded"; readonly peer: "original" | "expanded" };
  /** Sequences of a repetition. */
  readonly inputs: Drawn;
  /** Sequences of the warm-up where they differ. */
  readonly warmUp?: Drawn;
  /**
   * `row`: a side's process stays for all repetitions. `repetition`: each repetition has a process of its own, alone
   * on the machine, which a peak of memory that would not leave room for the other side needs.
   */
  readonly lifetime: "row" | "repetition";
  /** Rounds that are run first and thrown away, so that programs and weights are in the page cache. */
  readonly discarded: number;
  readonly metrics: readonly Metric[];
}

const EXPANDED = { ours: "expanded", peer: "expanded" } as const;
const ORIGINAL = { ours: "original", peer: "original" } as const;

const SEQUENCES: Drawn = { kind: "ids", count: 4, tokens: 256 };
const SHORT_PROMPTS: Drawn = { kind: "text", count: 2, tokens: 66 };
const ONE_PROMPT: Drawn = { kind: "text", count: 1, tokens: 66 };

const LASTING = { lifetime: "row", discarded: 0 } as const;

function sft(id: string, work: string, precision: Precision, goal: number): Row {
  return {
    id,
    work,
    peer: "PyTorch",
    script: "sft_step.py",
    job: { kind: "sft_step", precision, recompute: false },
    model: EXPANDED,
    inputs: SEQUENCES,
    ...LASTING,
    metrics: [{ kind: "rate", goal: { atLeast: goal } }],
  };
}

function grpo(
  id: string,
  work: string,
  precision: Precision,
  goals: readonly [speed: number, memory: number],
): Row {
  return {
    id,
    work,
    peer: "TRL",
    script: "grpo_step.py",
    job: { kind: "grpo_step", precision, rollouts: 8, newTokens: 64, recompute: false },
    model: EXPANDED,
    inputs: SHORT_PROMPTS,
    ...LASTING,
    metrics: [{ kind: "step", goal: { atLeast: goals[0] } }, { kind: "memory", goal: { atMost: goals[1] } }],
  };
}

function prefill(id: string, work: string, precision: Precision): Row {
  return {
    id,
    work,
    peer: "PyTorch",
    script: "prefill.py",
    job: { kind: "prefill", precision },
    model: EXPANDED,
    inputs: { kind: "ids", count: 1, tokens: 512 },
    ...LASTING,
    metrics: [{ kind: "rate", goal: { atLeast: 1.2 } }],
  };
}

function decode(id: string, work: string, precision: InferencePrecision, goal: number): Row {
  return {
    id,
    work,
    peer: "llama.cpp",
    script: "gguf_decode.py",
    job: { kind: "decode", precision, newTokens: 129 },
    model: ORIGINAL,
    inputs: ONE_PROMPT,
    ...LASTING,
    metrics: [{ kind: "rate", goal: { atLeast: goal } }],
  };
}

function open(id: string, work: string, precision: Precision, goal: number): Row {
  return {
    id,
    work,
    peer: "llama.cpp",
    script: "gguf_first_token.py",
    job: { kind: "first_token", precision },
    model: ORIGINAL,
    inputs: ONE_PROMPT,
    lifetime: "repetition",
    discarded: 1,
    metrics: [
      { kind: "first token", goal: { atMost: goal } },
      { kind: "process", goal: null },
    ],
  };
}

/** All rows, in the order of the table. */
export const ROWS: readonly Row[] = [
  sft("sft-f32", "training step, 4 × 256 tokens, f32", "f32", 1.3),
  sft("sft-bf16", "training step, 4 × 256 tokens, bf16", "bf16", 1.2),
  {
    ...sft("sft-memory", "training step, 4 × 256 tokens, f32, recomputing", "f32", 1),
    job: { kind: "sft_step", precision: "f32", recompute: true },
    lifetime: "repetition",
    metrics: [{ kind: "memory", goal: { atMost: 0.5 } }, { kind: "rate", goal: { atLeast: 1 } }],
  },
  {
    ...grpo("grpo-700-bf16", "GRPO step, 2 × 8 × 64 tokens, prompts of 700, bf16", "bf16", [10, 0.2]),
    inputs: { kind: "text", count: 2, tokens: 700 },
    warmUp: SHORT_PROMPTS,
    lifetime: "repetition",
  },
  grpo("grpo-66-bf16", "GRPO step, 2 × 8 × 64 tokens, prompts of 66, bf16", "bf16", [3, 0.5]),
  grpo("grpo-66-f32", "GRPO step, 2 × 8 × 64 tokens, prompts of 66, f32", "f32", [3, 0.5]),
  prefill("prefill-f32", "prefill of 512 tokens, f32", "f32"),
  prefill("prefill-bf16", "prefill of 512 tokens, bf16", "bf16"),
  decode("decode-1", "decode, batch 1, Q4_1 kept quantised", "f32", 1.2),
  // llama.cpp rounds activations to 8 bits, too.
  decode("decode-1-int8", "decode, batch 1, Q4_1 kept quantised, activations in 8 bits", "int8", 1.2),
  {
    ...decode("decode-16", "decode, batch 16, sum, f32", "f32", 4),
    peer: "transformers",
    script: "generate.py",
    model: EXPANDED,
    inputs: { kind: "text", count: 16, tokens: 66 },
  },
  open("open", "open the model to the first token, Q4_1 kept quantised", "f32", 1),
];
