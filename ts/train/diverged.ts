/**
 * What tells that training has diverged.
 *
 * @module
 */
import { EngineError, type StepOptions, type TrainableEngine } from "../engine/mod.ts";
import type { MicroBatch, Sequence } from "./batching.ts";

/** Log-probabilities, scores or gradients are no longer numbers: the weights are of no use. */
export class DivergedError extends Error {
  override readonly name = "DivergedError";
  /** The optimizer's place within its stage's configuration. */
  readonly optimizer: "optimizer" | "critic.optimizer";

  constructor(
    message: string,
    { optimizer = "optimizer", cause }: Partial<Pick<DivergedError, "optimizer" | "cause">> = {},
  ) {
    super(message, cause === undefined ? {} : { cause });
    this.optimizer = optimizer;
  }
}

/**
 * Refuses log-probabilities of response tokens that are not finite.
 *
 * @throws {DivergedError} One is not.
 */
export function assertFinite({ sequences }: MicroBatch<Sequence>, logprobs: readonly Float32Array[]): void {
  for (const [index, values] of logprobs.entries()) {
    const at = values.findIndex((value) => !Number.isFinite(value));
    if (at < 0) continue;
    const { prompt } = sequences[index]!;
    throw new DivergedError(
      `The log-probability of token ${prompt.length + at} of a sequence is "${values[at]}"`,
    );
  }
}

/**
 * Applies the accumulated gradients.
 *
 * @throws {DivergedError} Their norm is not finite; the weights stay as they are.
 */
export async function applyStep(
  engine: TrainableEngine,
  options: StepOptions,
  optimizer: DivergedError["optimizer"] = "optimizer",
): Promise<{ readonly gradNorm: number }> {
  try {
    return await engine.step(options);
  } catch (error) {
    throw asDiverged(error, optimizer) ?? error;
  }
}

/** What the engine says of numbers that are not finite, as a {@link DivergedError}; null for any other error. */
export function asDiverged(
  error: unknown,
  optimizer: DivergedError["optimizer"] = "optimizer",
): DivergedError | null {
  if (error instanceof DivergedError) return error;
  if (!(error instanceof EngineError && error.kind === "not-finite")) return null;
  return new DivergedError(error.message, { optimizer, cause: error });
}
