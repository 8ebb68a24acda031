/**
 * Prefill, decoding and the first token.
 *
 * @module
 */
import type { Engine } from "../../ts/engine/mod.ts";
import type { DecodeJob, RolloutJob } from "../protocol.ts";

/** Seconds of some work and its tokens. */
export interface Timed {
  readonly seconds: number;
  readonly tokens: number;
  /** Mean tokens that a sampled token was drawn behind; of rollouts alone. */
  readonly meanContext?: number;
}

/** Generates one token, so that logits are needed of the last position alone. Gives the tokens of the input. */
export async function prefill(engine: Engine, input: readonly (readonly number[])[]): Promise<number> {
  const requests = input.map((ids) => ({
    prompt: Uint32Array.from(ids),
    maxTokens: 1,
    temperature: 0,
    ignoreEos: true,
  }));
  for await (const _ of engine.generate(requests));
  return input.reduce((sum, ids) => sum + ids.length, 0);
}

/**
 * Decodes greedily. Time and tokens count from when every sequence has its first token: before that, prompts are
 * read.
 *
 * @throws {RangeError} A sequence ended early.
 */
export async function decode(
  engine: Engine,
  { newTokens }: DecodeJob,
  input: readonly (readonly number[])[],
): Promise<Timed> {
  const requests = input.map((ids) => ({
    prompt: Uint32Array.from(ids),
    maxTokens: newTokens,
    temperature: 0,
    ignoreEos: true,
  }));
  const waiting = new Set(requests.keys());
  let began = 0;
  let tokens = 0;
  for await (const event of engine.generate(requests, { stream: true })) {
    if (event.type === "done") {
      if (event.tokens.length === newTokens) continue;
      throw new RangeError(
        `Sequence ${event.request} has "${event.tokens.length}" tokens, expected ${newTokens}`,
      );
    }
    if (waiting.size === 0) {
      tokens++;
      continue;
    }
    waiting.delete(event.request);
    if (waiting.size === 0) began = performance.now();
  }
  return { seconds: (performance.now() - began) / 1000, tokens };
}

/**
 * Samples behind all prompts. Time and tokens count while every sequence goes on: an engine may begin some while it
 * still reads the prompts of others, and then ends them first.
 *
 * @throws {RangeError} At no time did every sequence go on.
 */
export async function rollout(
  engine: Engine,
  { newTokens }: RolloutJob,
  input: readonly (readonly number[])[],
): Promise<Timed> {
  const requests = input.map((ids, index) => ({
    prompt: Uint32Array.from(ids),
    maxTokens: newTokens,
    temperature: 1,
    ignoreEos: true,
    key: { seed: 0, step: 0, prompt: index, rollout: 0 },
  }));
  const lengths = input.map((ids) => ids.length);
  let unbegun = input.length;
  let [began, ended, tokens, context] = [0, 0, 0, 0];
  for await (const event of engine.generate(requests, { stream: true })) {
    if (ended > 0) continue;
    if (event.type === "done") {
      ended = performance.now();
      continue;
    }
    const index = event.request;
    if (unbegun === 0) {
      tokens++;
      context += lengths[index]!;
    } else if (lengths[index] === input[index]!.length && --unbegun === 0) {
      began = performance.now();
    }
    lengths[index]!++;
  }
  if (tokens === 0) {
    throw new RangeError(
      `Of "${input.length}" sequences the first ended before the last began: take more than ${newTokens} new tokens`,
    );
  }
  return { seconds: (ended - began) / 1000, tokens, meanContext: context / tokens };
}
