/**
 * Whether a run's passes fit into the device's memory, before it begins.
 *
 * @module
 */
import type { ModelInfo, TrainingMemory } from "../engine/mod.ts";
import type { TrainConfig } from "./config.ts";
import { RunError } from "./run_error.ts";

/** Passes are proposed in multiples of so many tokens. */
const TOKEN_STEP = 256;

interface Need {
  readonly stage: 1 | 2;
  /** Of the largest pass that the configuration allows. */
  readonly tokens: number;
  /** Of the longest sequence, which a pass holds whole. */
  readonly longest: number;
  readonly recompute: boolean;
  /** Whether a frozen copy of the weights lies beside the model. */
  readonly reference: boolean;
  /** Whether a critic of its own is trained beside the model. */
  readonly critic: boolean;
}

/**
 * Refuses a configuration whose largest pass does not fit.
 *
 * @throws {RunError} It says what is needed, what is free, and what to lower.
 */
export function assertFits(
  config: TrainConfig,
  memory: TrainingMemory,
  { backend, contextLength }: Pick<ModelInfo, "backend" | "contextLength">,
): void {
  for (const need of needs(config, contextLength)) {
    const fixed = memory.state + memory.pass + (need.reference ? memory.reference : 0) +
      (need.critic ? memory.state + memory.reference : 0);
    const total = fixed + need.tokens * perToken(memory, need.recompute);
    if (total <= memory.free) continue;
    throw new RunError(
      `Stage ${need.stage} needs ${gibibytes(total)}, ${gibibytes(memory.free)} are free on ${backend}: ` +
        advice(need, memory, memory.free - fixed),
    );
  }
}

function needs({ judge, stage1, stage2 }: TrainConfig, contextLength: number): Need[] {
  const needs: Need[] = [];
  if (stage1 !== null) {
    const { maxTokens, batchExamples, microBatchTokens, recompute } = stage1;
    // A pass of a scalarrm holds both answers of a pair.
    const longest = Math.min(maxTokens, contextLength) * (judge === "scalarrm" ? 2 : 1);
    const tokens = Math.max(longest, Math.min(microBatchTokens, batchExamples * longest));
    needs.push({ stage: 1, tokens, longest, recompute, reference: false, critic: false });
  }
  if (stage2 !== null) {
    const { maxPromptTokens, maxNewTokens, prompts, rollouts, microBatchTokens, recompute, kl, critic } =
      stage2;
    const longest = Math.min(maxPromptTokens + maxNewTokens, contextLength);
    const tokens = Math.max(longest, Math.min(microBatchTokens, prompts * rollouts * longest));
    needs.push({
      stage: 2,
      tokens,
      longest,
      recompute,
      reference: kl.coefficient > 0,
      critic: critic?.trunk === "own",
    });
  }
  return needs;
}

function perToken({ token, recomputedToken }: TrainingMemory, recompute: boolean): number {
  return recompute ? recomputedToken : token;
}

/** What makes the stage fit into `room` bytes of passes. */
function advice({ stage, longest, recompute }: Need, memory: TrainingMemory, room: number): string {
  const fitting = (recomputed: boolean): number =>
    Math.floor(room / perToken(memory, recomputed) / TOKEN_STEP) * TOKEN_STEP;
  const lower = (tokens: number): string =>
    `lower "stage${stage}.microBatchTokens" to ${tokens.toLocaleString("en-US")}`;
  if (fitting(recompute) >= longest) return lower(fitting(recompute));
  if (!recompute && fitting(true) >= longest) {
    return `set "stage${stage}.recompute" to true and ${lower(fitting(true))}`;
  }
  const most = Math.max(0, fitting(true));
  return `its longest sequence has ${longest.toLocaleString("en-US")} tokens, and ${
    most.toLocaleString("en-US")
  } fit, "stage${stage}.recompute" set to true; take shorter sequences, a smaller model or a larger device`;
}

function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
