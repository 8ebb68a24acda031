/**
 * What a harness and its workers say to each other: one JSON object a line. The harness writes the job, the worker
 * answers with {@link Ready} once it has warmed up; then, for each request, one {@link Sample}. A worker ends with its
 * input. The peers' twin of the worker's side is `peers/worker.py`.
 *
 * @module
 */
import * as z from "zod";
import type { Arithmetic, Device, InferencePrecision, Precision } from "../ts/engine/mod.ts";

/** Random weights of a named shape, without a tokenizer. Ours knows shapes by name; peers are told more. */
export interface ShapeSource {
  readonly shape: string;
  /** Its `config.json`. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Folder of a tokenizer of fewer tokens than the model has, for a peer that reads prompts as text. */
  readonly tokenizer?: string;
}

/** Where a job's model comes from: a file or folder, or random weights. */
export type ModelSource = { readonly path: string } | ShapeSource;

interface JobBase<P = Precision> {
  /** What matrix products read, on both sides; a quantised file stays quantised where it is not trained. */
  readonly precision: P;
  readonly threads: number;
  /** Default "cpu". */
  readonly device?: Exclude<Device, "auto">;
  /** How ours multiplies on a CUDA device. Default "exact". */
  readonly arithmetic?: Arithmetic;
  readonly model: ModelSource;
  /** Token ids: of each repetition, of each sequence. The first repetition is the warm-up. */
  readonly inputs: readonly (readonly (readonly number[])[])[];
}

/** A step of distillation on whole sequences: forward, backward, AdamW. */
export interface SftStepJob extends JobBase {
  readonly kind: "sft_step";
  readonly recompute: boolean;
  /** Most tokens of a forward pass. Default all. */
  readonly microBatchTokens?: number;
}

/** A step of GRPO, inputs being prompts: sampling, old and reference log-probabilities, forward, backward, AdamW. */
export interface GrpoStepJob extends JobBase {
  readonly kind: "grpo_step";
  /** Of each prompt. */
  readonly rollouts: number;
  /** Of each rollout, exactly. */
  readonly newTokens: number;
  readonly recompute: boolean;
  /** Most tokens of a forward pass. Default the trainer's own. */
  readonly microBatchTokens?: number;
}

/** A forward pass over one sequence, up to the logits of its last token. */
export interface PrefillJob extends JobBase {
  readonly kind: "prefill";
}

/** Greedy decoding of all inputs at once; only the time after every input has its first token counts. */
export interface DecodeJob extends JobBase<InferencePrecision> {
  readonly kind: "decode";
  /** Of each sequence, exactly. */
  readonly newTokens: number;
}

/**
 * Sampling at temperature 1 behind all inputs at once; only the time in which every input is being continued counts:
 * from when each has its first token until the first has all.
 */
export interface RolloutJob extends JobBase {
  readonly kind: "rollout";
  /** Of each sequence, exactly. */
  readonly newTokens: number;
}

/** Opening the model and taking one token after the prompt; without a warm-up. */
export interface FirstTokenJob extends JobBase {
  readonly kind: "first_token";
}

/** Forward and backward of a GRPO update, inputs being prompts, on random responses. Ours alone. */
export interface UpdateJob extends JobBase {
  readonly kind: "update";
  readonly rollouts: number;
  readonly newTokens: number;
  readonly recompute: boolean;
  /** `forest` stores what sequences share once, `flat` stores each whole. */
  readonly layout: "forest" | "flat";
  /** Most tokens of a forward pass. */
  readonly microBatchTokens: number;
}

/** A piece of work that is measured. */
export type Job = SftStepJob | GrpoStepJob | PrefillJob | DecodeJob | RolloutJob | FirstTokenJob | UpdateJob;

/** A worker is ready to measure. */
export interface Ready {
  /** Versions and what else names the program that is measured. */
  readonly about: Readonly<Record<string, string>>;
}

/** One measured repetition. */
export interface Sample {
  readonly seconds: number;
  /** Tokens that were computed in that time. */
  readonly tokens: number;
  /** Highest resident memory of the process so far, in bytes; on a GPU, of the device's memory. */
  readonly peakBytes: number;
  /** Mean tokens that a sampled token was drawn behind; of rollouts alone. */
  readonly meanContext?: number;
  /** From the start of the process to its answer; the harness adds it where each repetition has its own process. */
  readonly processSeconds?: number;
  /** Time within `seconds` in which TypeScript did not wait for the core. */
  readonly overheadSeconds?: number;
}

/** The schema of a sample. */
export const sampleSchema: z.ZodType<Sample> = z.strictObject({
  seconds: z.number().positive(),
  tokens: z.int().positive(),
  peakBytes: z.int().positive(),
  meanContext: z.number().positive().exactOptional(),
  processSeconds: z.number().positive().exactOptional(),
  overheadSeconds: z.number().min(0).exactOptional(),
});

const answerSchema = z.union([
  z.strictObject({ ready: z.strictObject({ about: z.record(z.string(), z.string()) }) }),
  z.strictObject({ sample: sampleSchema }),
  z.strictObject({ unavailable: z.string() }),
]);

/** A line that a worker writes. `unavailable`: it cannot do the job, with the reason. */
export type Answer = { readonly ready: Ready } | { readonly sample: Sample } | {
  readonly unavailable: string;
};

/**
 * Reads a worker's line.
 *
 * @throws {SyntaxError} It is no answer.
 */
export function parseAnswer(line: string): Answer {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new SyntaxError(`A worker wrote "${line.slice(0, 200)}", expected an answer as one JSON object`);
  }
  const { data, error } = answerSchema.safeParse(value);
  if (error !== undefined) {
    throw new SyntaxError(
      `A worker wrote "${line.slice(0, 200)}", expected an answer: ${z.prettifyError(error)}`,
    );
  }
  return data;
}
