import { expect } from "expect";
import type { DoneEvent, Engine, TokenEvent } from "../../ts/engine/mod.ts";
import type { RolloutJob } from "../protocol.ts";
import { rollout } from "./generate.ts";

const NEW_TOKENS = 6;

/** An engine whose request `r` has its first token at step `starts[r]`, and one a step after it. */
function staggered(starts: readonly number[]): Engine {
  async function* generate(): AsyncGenerator<TokenEvent | DoneEvent> {
    const last = Math.max(...starts) + NEW_TOKENS;
    for (let step = 0; step < last; step++) {
      await Promise.resolve();
      const going = [...starts.entries()].filter(([, start]) => start <= step && step < start + NEW_TOKENS);
      for (const [request] of going) yield { type: "token", request, token: 1, logprob: -1 };
      for (const [request] of going.filter(([, start]) => step === start + NEW_TOKENS - 1)) {
        yield { type: "done", request } as DoneEvent;
      }
    }
  }
  return { generate } as unknown as Engine;
}

function jobOf(prompts: readonly number[]): readonly [RolloutJob, number[][]] {
  const input = prompts.map((length) => new Array<number>(length).fill(1));
  const model = { shape: "tiny" };
  return [
    { kind: "rollout", precision: "f32", threads: 1, model, newTokens: NEW_TOKENS, inputs: [input] },
    input,
  ];
}

Deno.test("a rollout counts while every sequence goes on", async () => {
  const [job, input] = jobOf([10, 20]);
  const together = await rollout(staggered([0, 0]), job, input);
  expect(together.tokens).toBe(2 * (NEW_TOKENS - 1));
  expect(together.meanContext).toBe(15 + NEW_TOKENS / 2);
  // From step 3, after which the first has 2 tokens left, and the second 1 of its own.
  const apart = await rollout(staggered([0, 3]), job, input);
  expect(apart.tokens).toBe(2 * 2);
  expect(apart.meanContext).toBe((14 + 15 + 21 + 22) / 4);
  expect(apart.seconds).toBeGreaterThan(0);
});

Deno.test("sequences that never go on together are told", async () => {
  const [job, input] = jobOf([10, 20]);
  await expect(rollout(staggered([0, NEW_TOKENS]), job, input)).rejects.toThrow('Of "2" sequences');
});
