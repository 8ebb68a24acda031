/**
 * Rollouts by the policy itself or, by choice, by a copy of it in 8-bit integers. Where the sampler's arithmetic is not
 * the trainer's, its draws are corrected for.
 *
 * @module
 */
import { addGapTotals, type GapTotals, NO_GAP_TOTALS, truncatedImportance } from "../algorithms/mod.ts";
import type { TrainableEngine } from "../engine/mod.ts";
import { gatherResponses, microBatches } from "./batching.ts";
import type { Stage2Config } from "./config.ts";
import type { PromptExample } from "./examples.ts";
import { type Rollout, type RolloutGroup, sampleGroups, type SamplingConfig } from "./rollouts.ts";
import type { StepRunOptions } from "./stage.ts";

/** What {@link sampleStep} gives. */
export interface SampledStep {
  readonly groups: readonly RolloutGroup[];
  /** How far the sampler was from the policy; null where it was the policy. */
  readonly gap: GapTotals | null;
}

/** Options of {@link sampleStep}. */
export interface SampleOptions extends Pick<SamplingConfig, "seed" | "step" | "firstPrompt"> {
  readonly stage: Stage2Config;
}

/**
 * Samples the groups of a step. Old log-probabilities are the trainer's: as sampled where the policy samples itself
 * bit for bit, and computed again where a copy does or where the engine is not exact.
 */
export async function sampleStep(
  engine: TrainableEngine,
  examples: readonly PromptExample[],
  { stage, ...names }: SampleOptions,
  options: StepRunOptions,
): Promise<SampledStep> {
  const config = { ...stage, ...names };
  const { sampler } = stage;
  if (sampler === "policy" && engine.info.exact) {
    return { groups: await sampleGroups(engine, examples, config, options), gap: null };
  }
  const groups = await (async () => {
    if (sampler === "policy") return await sampleGroups(engine, examples, config, options);
    await using copy = await engine.reference({ precision: sampler });
    return await sampleGroups(copy, examples, config, options);
  })();
  return await correct(engine, groups, stage, options);
}

/** Replaces old log-probabilities by the policy's, and weighs each token. */
async function correct(
  engine: TrainableEngine,
  groups: readonly RolloutGroup[],
  { temperature, microBatchTokens, importanceCap }: Stage2Config,
  { signal, onProgress }: StepRunOptions,
): Promise<SampledStep> {
  const sampled = groups.flatMap(({ rollouts }) => rollouts);
  const rollouts = new Map<Rollout, Rollout>();
  let totals = NO_GAP_TOTALS;
  for (const batch of microBatches(sampled, microBatchTokens)) {
    signal?.throwIfAborted();
    const options = { temperature, select: batch.select };
    const current = gatherResponses(batch, await engine.logprobs(batch.layout.forest, options));
    const pairs = batch.sequences.map(({ oldLogprobs }, index) => ({
      oldLogprobs: current[index]!,
      samplerLogprobs: oldLogprobs,
    }));
    const result = truncatedImportance(pairs, importanceCap);
    totals = addGapTotals(totals, result.totals);
    for (const [index, rollout] of batch.sequences.entries()) {
      const importance = result.weights[index]!;
      rollouts.set(rollout, { ...rollout, oldLogprobs: current[index]!, importance });
    }
    onProgress?.({ phase: "scoring", done: rollouts.size, of: sampled.length });
  }
  return {
    groups: groups.map((group) => ({
      ...group,
      rollouts: group.rollouts.map((rollout) => rollouts.get(rollout)!),
    })),
    gap: totals,
  };
}
