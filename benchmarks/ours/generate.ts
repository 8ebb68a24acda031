/**
 * Prefill, decoding and the first token.
 *
 * @module
 */
import type { Engine } from "../../ts/engine/mod.ts";
import type { DecodeJob } from "../protocol.ts";

/** Seconds of some work and its tokens. */
export interface Timed {
  readonly seconds: number;
  readonly tokens: number;
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
