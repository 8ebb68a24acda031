/**
 * Samples groups of judgements and rewards their verdicts.
 *
 * @module
 */
import { parseVerdict, type Verdict, verdictReward } from "../cor/mod.ts";
import type { Engine, FinishReason } from "../engine/mod.ts";
import type { PromptExample } from "./examples.ts";
import type { StepRunOptions } from "./stage.ts";

/** A sampled judgement. */
export interface Rollout {
  readonly prompt: Uint32Array;
  /** Token ids, the end-of-sequence token included where there is one. */
  readonly response: Uint32Array;
  /** Of each response token under the policy before its update. */
  readonly oldLogprobs: Float32Array;
  /** Of each response token, where another than the policy sampled it. */
  readonly importance?: Float64Array;
  readonly text: string;
  readonly finish: FinishReason;
  readonly verdict: Verdict;
  /** +1 for the gold verdict, −1 for the other and for what cannot be read. */
  readonly reward: number;
}

/** The rollouts of one prompt. */
export interface RolloutGroup {
  readonly example: PromptExample;
  readonly rollouts: readonly Rollout[];
}

/** Options of {@link sampleGroups}. */
export interface SamplingConfig {
  readonly seed: number;
  /** Names the draws together with the seed, the prompt's place in the step, and the rollout's in its group. */
  readonly step: number;
  readonly rollouts: number;
  readonly temperature: number;
  readonly maxNewTokens: number;
  /** Most rollouts generated at once, rounded to whole groups. */
  readonly decodeBatch: number;
  /** Place in the step of the first prompt, which names the draws. Default 0. */
  readonly firstPrompt?: number;
  /** Sample no end-of-sequence token, so that every rollout has `maxNewTokens`. Default false. */
  readonly ignoreEos?: boolean;
}

/** Samples a group for each prompt. An engine that fails is an error, never a reward. */
export async function sampleGroups(
  engine: Engine,
  examples: readonly PromptExample[],
  config: SamplingConfig,
  { signal, onProgress }: StepRunOptions = {},
): Promise<RolloutGroup[]> {
  const { seed, step, rollouts, temperature, maxNewTokens, decodeBatch, firstPrompt = 0, ignoreEos = false } =
    config;
  const groupsAtOnce = Math.max(1, Math.floor(decodeBatch / rollouts));
  const sampled: Rollout[][] = examples.map(() => new Array<Rollout>(rollouts));
  let done = 0;
  for (let first = 0; first < examples.length; first += groupsAtOnce) {
    signal?.throwIfAborted();
    const places = examples.slice(first, first + groupsAtOnce).flatMap((_, offset) =>
      Array.from({ length: rollouts }, (_, rollout) => ({ prompt: first + offset, rollout }))
    );
    const requests = places.map(({ prompt, rollout }) => ({
      prompt: examples[prompt]!.prompt,
      maxTokens: maxNewTokens,
      temperature,
      ignoreEos,
      key: { seed, step, prompt: firstPrompt + prompt, rollout },
    }));
    const open = new Set(places.keys());
    for await (const event of engine.generate(requests, signal === undefined ? {} : { signal })) {
      if (event.type !== "done") continue;
      open.delete(event.request);
      const { prompt, rollout } = places[event.request]!;
      const { pair, prompt: tokens, opensThinking } = examples[prompt]!;
      const verdict = parseVerdict(event.text, { thinking: opensThinking ? "required" : "optional" });
      sampled[prompt]![rollout] = {
        prompt: tokens,
        response: event.tokens,
        oldLogprobs: event.logprobs,
        text: event.text,
        finish: event.finish,
        verdict,
        reward: verdictReward(verdict, pair.gold),
      };
      done++;
      onProgress?.({ phase: "sampling", done, of: examples.length * rollouts });
    }
    if (open.size > 0) {
      throw new Error(`The engine gave no end of ${open.size} of ${requests.length} rollouts`);
    }
  }
  return examples.map((example, index) => ({ example, rollouts: sampled[index]! }));
}
