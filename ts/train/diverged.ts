/**
 * What tells that training has diverged.
 *
 * @module
 */
import { EngineError, type StepOptions, type TrainableEngine } from "../engine/mod.ts";
import type { MicroBatch, Sequence } from "./batching.ts";

/** Log-probabilities or gradients are no longer numbers: the weights are of no use. */
export class DivergedError extends Error {
  override readonly name = "DivergedError";
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
): Promise<{ readonly gradNorm: number }> {
  try {
    return await engine.step(options);
  } catch (error) {
    if (!(error instanceof EngineError && error.message.includes("gradient norm"))) throw error;
    throw new DivergedError(error.message, { cause: error });
  }
}
