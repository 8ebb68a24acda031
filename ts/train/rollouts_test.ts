import { expect } from "expect";
import { place } from "../data/mod.ts";
import { generateTasks } from "../data/tasks/mod.ts";
import type { DoneEvent, Engine, GenerateRequest } from "../engine/mod.ts";
import { sampleGroups } from "./rollouts.ts";

/** Ends every rollout with its key's numbers as text, last request first. */
function keyed(requests: GenerateRequest[]): Engine {
  async function* generate(asked: readonly GenerateRequest[]): AsyncGenerator<DoneEvent> {
    requests.push(...asked);
    for (const [request, { key, maxTokens }] of [...asked.entries()].reverse()) {
      yield await Promise.resolve({
        type: "done",
        request,
        tokens: new Uint32Array(maxTokens),
        logprobs: new Float32Array(maxTokens),
        text: `${key!.seed} ${key!.step} ${key!.prompt} ${key!.rollout}`,
        finish: "length",
        promptTokens: 1,
      });
    }
  }
  return { generate } as unknown as Engine;
}

const [record] = generateTasks({ seed: 0, split: "train", count: 1 });
const example = { pair: place(record!, "A"), prompt: Uint32Array.of(1), opensThinking: false };
const config = { seed: 3, step: 4, rollouts: 2, temperature: 1, maxNewTokens: 5, decodeBatch: 4 };

Deno.test("a rollout's draws are named by its place, whatever is sampled at once", async () => {
  for (const decodeBatch of [1, 4, 100]) {
    const groups = await sampleGroups(keyed([]), [example, example, example], { ...config, decodeBatch });
    expect(groups.map(({ rollouts }) => rollouts.map(({ text }) => text))).toEqual([
      ["3 4 0 0", "3 4 0 1"],
      ["3 4 1 0", "3 4 1 1"],
      ["3 4 2 0", "3 4 2 1"],
    ]);
  }
});

Deno.test("the end of sequence is sampled unless it is to be ignored", async () => {
  const requests: GenerateRequest[] = [];
  await sampleGroups(keyed(requests), [example], config);
  await sampleGroups(keyed(requests), [example], { ...config, ignoreEos: true });
  expect(requests.map(({ ignoreEos }) => ignoreEos)).toEqual([false, false, true, true]);
});
