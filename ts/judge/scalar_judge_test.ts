import { expect } from "expect";
import { generateTasks } from "../data/mod.ts";
import { TabularEngine } from "../train/testing/tabular_engine.ts";
import { isScorer, type Judgement } from "./judge.ts";
import { ScalarJudge } from "./scalar_judge.ts";

const tasks = generateTasks({ seed: 0, split: "train", count: 8 });
const inputs = tasks.map(({ conversation, chosen: a, rejected: b }) => ({ conversation, a, b }));

/** A model whose scores are not zeros. */
async function scoring(options: { contextLength?: number } = {}): Promise<TabularEngine> {
  const engine = TabularEngine.fresh(1, options);
  await engine.addScoreHead();
  const parameters = engine.bytes.length / 4;
  for (let place = parameters - 1024; place < parameters; place++) engine.nudge(place, Math.sin(place));
  return engine;
}

async function judged(judge: ScalarJudge): Promise<Judgement[]> {
  const found: Judgement[] = [];
  for await (const { index, answer, error } of judge.judge(inputs)) {
    if (error !== undefined) throw error;
    found[index] = answer;
  }
  return found;
}

Deno.test("the verdict is the higher score, and each score is that of the answer alone", async () => {
  const judge = new ScalarJudge(await scoring());
  expect(isScorer(judge)).toBe(true);
  const alone = new Map<number, number>();
  const answers = inputs.flatMap(({ conversation, a, b }) =>
    [a, b].map((response) => ({ conversation, response }))
  );
  for await (const { index, answer } of judge.score(answers)) alone.set(index, answer!);
  for (const [index, { outcome, scores, text }] of (await judged(judge)).entries()) {
    expect(scores).toEqual({ A: alone.get(2 * index), B: alone.get(2 * index + 1) });
    expect(outcome).toEqual({ kind: scores!.A > scores!.B ? "A" : "B" });
    expect(text).toBe("");
  }
});

Deno.test("how answers are batched changes no score", async () => {
  const [together, apart] = [
    new ScalarJudge(await scoring()),
    new ScalarJudge(await scoring(), { maxConcurrent: 1, tokenBudget: 1 }),
  ];
  expect((await judged(apart)).map(({ scores }) => scores)).toEqual(
    (await judged(together)).map(({ scores }) => scores),
  );
});

Deno.test("equal scores are no verdict", async () => {
  const engine = TabularEngine.fresh();
  await engine.addScoreHead();
  for (const { outcome } of await judged(new ScalarJudge(engine))) {
    expect(outcome).toEqual({ kind: "none", reason: "tie" });
  }
});

Deno.test("what does not fit into the context is not cut, and is no verdict", async () => {
  const judge = new ScalarJudge(await scoring({ contextLength: 20 }));
  for (const { outcome } of await judged(judge)) {
    expect(outcome).toEqual({ kind: "none", reason: "prompt-too-long" });
  }
  const [input] = inputs;
  for await (const { answer } of judge.score([{ conversation: input!.conversation, response: "x" }])) {
    expect(answer).toBeNull();
  }
});

Deno.test("a model without a score head, and options out of range, are refused", async () => {
  expect(() => new ScalarJudge(TabularEngine.fresh())).toThrow('Model "fresh" has no score head');
  const engine = await scoring();
  expect(() => new ScalarJudge(engine, { maxConcurrent: 0 })).toThrow('Option maxConcurrent is "0"');
});
