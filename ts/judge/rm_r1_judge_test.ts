import { expect } from "expect";
import fc from "fast-check";
import type { Answered, JudgeInput, Judgement } from "./judge.ts";
import { RmR1Judge } from "./rm_r1_judge.ts";
import { ScriptedEngine } from "./scripted_engine.ts";

function pair(a: string, b: string, question = "Which?"): JudgeInput {
  return { conversation: [{ role: "user", content: question }], a, b };
}

/** Says A where the first answer is "good". */
function sayGood(prompt: string): string {
  return prompt.includes("A's Response]\ngood") ? "x<answer>[[A]]</answer>" : "x<answer>[[B]]</answer>";
}

async function byIndex(results: AsyncIterable<Answered<Judgement>>): Promise<Answered<Judgement>[]> {
  return (await Array.fromAsync(results)).toSorted((x, y) => x.index - y.index);
}

Deno.test("RmR1Judge judges every pair once, with what it wrote", async () => {
  const engine = new ScriptedEngine(sayGood);
  const judge = new RmR1Judge(engine, { protocol: "compact", maxConcurrent: 3, maxNewTokens: 10 });
  await fc.assert(fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 60 }), async (goods) => {
    const inputs = goods.map((good, i) => good ? pair("good", `bad ${i}`) : pair(`bad ${i}`, "good"));
    const results = await byIndex(judge.judge(inputs));
    expect(results.map(({ index }) => index)).toEqual([...goods.keys()]);
    for (const [i, { answer }] of results.entries()) {
      const side = goods[i] ? "A" : "B";
      expect(answer).toMatchObject({
        outcome: { kind: side },
        text: `x<answer>[[${side}]]</answer>`,
        tokens: 23,
        finish: "eos",
      });
      expect(answer).not.toHaveProperty("logprobs");
    }
  }));
  expect(Math.max(...engine.calls.map((requests) => requests.length))).toBeLessThanOrEqual(3);
});

Deno.test("RmR1Judge puts pairs that share a prefix in one call", async () => {
  const engine = new ScriptedEngine(sayGood);
  const judge = new RmR1Judge(engine, { protocol: "compact", maxConcurrent: 2, maxNewTokens: 10 });
  await byIndex(
    judge.judge([pair("a", "b", "one"), pair("a", "b", "two"), pair("a", "c", "one"), pair("a", "c", "two")]),
  );
  const questions = await Promise.all(engine.calls.map(async (requests) => {
    const texts = await engine.decode(requests.map(({ prompt }) => prompt as Uint32Array));
    return texts.map((text) => text.includes("one") ? "one" : "two");
  }));
  expect(questions).toEqual([["one", "one"], ["two", "two"]]);
});

Deno.test("RmR1Judge gives a prompt without room in the context its own outcome and asks nothing", async () => {
  const short = pair("a", "b");
  const probe = new RmR1Judge(new ScriptedEngine(sayGood), { protocol: "compact" });
  const [{ answer }] = await byIndex(probe.judge([short])) as [Answered<Judgement>];
  const engine = new ScriptedEngine(sayGood, { contextLength: answer!.promptTokens + 1 });
  const judge = new RmR1Judge(engine, { protocol: "compact" });
  const [fits, long] = await byIndex(judge.judge([short, pair("a", "b!")]));
  expect(fits!.answer!.outcome).toEqual({ kind: "B" });
  expect(long!.answer).toEqual({
    outcome: { kind: "none", reason: "prompt-too-long" },
    text: "",
    tokens: 0,
    promptTokens: answer!.promptTokens + 1,
    finish: null,
  });
  expect(engine.calls.flat().length).toBe(1);
});

Deno.test("RmR1Judge gives an engine's failure as an error, never as a verdict, and goes on", async () => {
  const engine = new ScriptedEngine((prompt) => {
    if (prompt.includes("boom")) throw new Error("Out of memory");
    return sayGood(prompt);
  });
  const judge = new RmR1Judge(engine, { protocol: "compact", maxConcurrent: 1 });
  const results = await byIndex(judge.judge([pair("good", "b"), pair("boom", "b"), pair("c", "good")]));
  expect(results.map(({ answer, error }) => answer?.outcome.kind ?? error?.message)).toEqual([
    "A",
    "Out of memory",
    "B",
  ]);
});

Deno.test("RmR1Judge stops at its signal with the signal's reason", async () => {
  const controller = new AbortController();
  const engine = new ScriptedEngine((prompt) => {
    controller.abort(new Error("Stopped by the user"));
    return sayGood(prompt);
  });
  const judge = new RmR1Judge(engine, { protocol: "compact", maxConcurrent: 4 });
  const inputs = ["a", "b", "c"].map((text) => pair("good", text));
  await expect(byIndex(judge.judge(inputs, { signal: controller.signal }))).rejects.toThrow(
    "Stopped by the user",
  );
});

Deno.test("RmR1Judge wants closed thinking where the chat template opens it", async () => {
  const text = "no end of thought <answer>[[A]]</answer>";
  class OpensThinking extends ScriptedEngine {
    override renderChat(): string {
      return "assistant:<think>\n";
    }
  }
  const judge = new RmR1Judge(new OpensThinking(() => text), { protocol: "reasoning" });
  const [result] = await byIndex(judge.judge([pair("a", "b")]));
  expect(result!.answer!.outcome).toEqual({ kind: "unparsable", reason: "unfinished-thinking" });
});

Deno.test("RmR1Judge's draws depend on the seed and the prompt, not on the company", async () => {
  const keys = async (inputs: JudgeInput[], seed: number): Promise<Map<string, unknown>> => {
    const engine = new ScriptedEngine(sayGood);
    const judge = new RmR1Judge(engine, { protocol: "compact", temperature: 1, seed });
    await byIndex(judge.judge(inputs));
    return new Map(engine.calls.flat().map(({ prompt, key }) => [String(prompt), key]));
  };
  const [one, two] = [pair("a", "b"), pair("c", "d")];
  const alone = await keys([one], 5);
  const together = await keys([two, one], 5);
  for (const [prompt, key] of alone) expect(together.get(prompt)).toEqual(key);
  expect([...await keys([one], 6)]).not.toEqual([...alone]);
  expect(new Set([...together.values()].map((key) => JSON.stringify(key))).size).toBe(2);
});

Deno.test("RmR1Judge's identity tells apart what changes its answers, and nothing else", () => {
  const engine = new ScriptedEngine(sayGood);
  const identity = (options: object, asked = engine): string =>
    new RmR1Judge(asked, { protocol: "compact", ...options }).identity;
  const plain = identity({});
  expect(identity({ maxConcurrent: 3, tokenBudget: 99, name: "other", seed: 4 })).toBe(plain);
  for (
    const options of [{ protocol: "instruct" }, { weights: "w" }, { temperature: 1 }, { maxNewTokens: 5 }]
  ) {
    expect(identity(options)).not.toBe(plain);
  }
  expect(identity({ temperature: 1, seed: 1 })).not.toBe(identity({ temperature: 1, seed: 2 }));
  const at = (["f32", "bf16", "int8"] as const).map((precision) =>
    identity({}, new ScriptedEngine(sayGood, { precision }))
  );
  expect(new Set(at).size).toBe(3);
});

Deno.test("RmR1Judge refuses a model that cannot be asked and options out of range", () => {
  const make = (info: object, options: object) => () =>
    new RmR1Judge(new ScriptedEngine(sayGood, info), { protocol: "compact", ...options });
  expect(make({ chatTemplate: null }, {})).toThrow('Model "scripted" has no chat template');
  expect(make({ hasTokenizer: false }, {})).toThrow('Model "scripted" has no tokenizer');
  expect(make({}, { maxNewTokens: 0 })).toThrow('Option maxNewTokens is "0", expected a positive integer');
  expect(make({}, { temperature: NaN })).toThrow('Option temperature is "NaN"');
});
