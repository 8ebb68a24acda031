/**
 * The rows of the comparison with peers: the work, how it is compared, and what is aimed at.
 *
 * @module
 */
import type { Drawn } from "./inputs.ts";
import type { DecodeJob, FirstTokenJob, GrpoStepJob, PrefillJob, Setup, SftStepJob } from "./protocol.ts";
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
  /** `original` is the quantised file, `expanded` the folder in f32 that was made of it. */
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

const F32: Setup = { precision: "f32", weights: "expanded", activations: "f32" };
const BF16: Setup = { precision: "bf16", weights: "expanded", activations: "bf16" };
const KEPT: Setup = { precision: "f32", weights: "kept", activations: "int8" };

const EXPANDED = { ours: "expanded", peer: "expanded" } as const;
const ORIGINAL = { ours: "original", peer: "original" } as const;

const SEQUENCES: Drawn = { kind: "ids", count: 4, tokens: 256 };
const SHORT_PROMPTS: Drawn = { kind: "text", count: 2, tokens: 66 };
const ONE_PROMPT: Drawn = { kind: "text", count: 1, tokens: 66 };

const LASTING = { lifetime: "row", discarded: 0 } as const;

function sft(id: string, work: string, setup: Setup, goal: number): Row {
  return {
    id,
    work,
    peer: "PyTorch",
    script: "sft_step.py",
    job: { kind: "sft_step", setup, recompute: false },
    model: EXPANDED,
    inputs: SEQUENCES,
    ...LASTING,
    metrics: [{ kind: "rate", goal: { atLeast: goal } }],
  };
}

function grpo(id: string, work: string, setup: Setup, goals: readonly [speed: number, memory: number]): Row {
  return {
    id,
    work,
    peer: "TRL",
    script: "grpo_step.py",
    job: { kind: "grpo_step", setup, rollouts: 8, newTokens: 64, recompute: false },
    model: EXPANDED,
    inputs: SHORT_PROMPTS,
    ...LASTING,
    metrics: [{ kind: "step", goal: { atLeast: goals[0] } }, { kind: "memory", goal: { atMost: goals[1] } }],
  };
}

function prefill(id: string, work: string, setup: Setup): Row {
  return {
    id,
    work,
    peer: "PyTorch",
    script: "prefill.py",
    job: { kind: "prefill", setup },
    model: EXPANDED,
    inputs: { kind: "ids", count: 1, tokens: 512 },
    ...LASTING,
    metrics: [{ kind: "rate", goal: { atLeast: 1.2 } }],
  };
}

function decode(id: string, work: string, setup: Setup, goal: number | null): Row {
  return {
    id,
    work,
    peer: "llama.cpp",
    script: "gguf_decode.py",
    job: { kind: "decode", setup, newTokens: 129 },
    model: ORIGINAL,
    inputs: ONE_PROMPT,
    ...LASTING,
    metrics: [{ kind: "rate", goal: goal === null ? null : { atLeast: goal } }],
  };
}

function open(id: string, work: string, setup: Setup, goal: number | null): Row {
  return {
    id,
    work,
    peer: "llama.cpp",
    script: "gguf_first_token.py",
    job: { kind: "first_token", setup },
    model: ORIGINAL,
    inputs: ONE_PROMPT,
    lifetime: "repetition",
    discarded: 1,
    metrics: [
      { kind: "first token", goal: goal === null ? null : { atMost: goal } },
      { kind: "process", goal: null },
    ],
  };
}

/** All rows, in the order of the table. */
export const ROWS: readonly Row[] = [
  sft("sft-f32", "training step, 4 × 256 tokens, f32", F32, 1.3),
  sft("sft-bf16", "training step, 4 × 256 tokens, bf16", BF16, 1.2),
  {
    ...sft("sft-memory", "training step, 4 × 256 tokens, f32, recomputing", F32, 1),
    job: { kind: "sft_step", setup: F32, recompute: true },
    lifetime: "repetition",
    metrics: [{ kind: "memory", goal: { atMost: 0.5 } }, { kind: "rate", goal: { atLeast: 1 } }],
  },
  {
    ...grpo("grpo-700-bf16", "GRPO step, 2 × 8 × 64 tokens, prompts of 700, bf16", BF16, [10, 0.2]),
    inputs: { kind: "text", count: 2, tokens: 700 },
    warmUp: SHORT_PROMPTS,
    lifetime: "repetition",
  },
  grpo("grpo-66-bf16", "GRPO step, 2 × 8 × 64 tokens, prompts of 66, bf16", BF16, [3, 0.5]),
  grpo("grpo-66-f32", "GRPO step, 2 × 8 × 64 tokens, prompts of 66, f32", F32, [3, 0.5]),
  prefill("prefill-f32", "prefill of 512 tokens, f32", F32),
  prefill("prefill-bf16", "prefill of 512 tokens, bf16", BF16),
  decode("decode-1", "decode, batch 1, Q4_1 kept quantised", KEPT, 1.2),
  decode("decode-1-expanded", "decode, batch 1, Q4_1 expanded to f32 by ours", F32, null),
  {
    ...decode("decode-16", "decode, batch 16, sum, f32", F32, 4),
    peer: "transformers",
    script: "generate.py",
    model: EXPANDED,
    inputs: { kind: "text", count: 16, tokens: 66 },
  },
  open("open", "open the model to the first token, Q4_1 kept quantised", KEPT, 1),
  open("open-expanded", "open the model to the first token, Q4_1 expanded to f32 by ours", F32, null),
];
