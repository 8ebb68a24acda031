import { expect } from "expect";
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RmR1Judge, type ScoreInput, type Scorer } from "rm-r1/judge";
import { Baseline } from "rm-r1/judge";
import { ScriptedEngine } from "../ts/judge/scripted_engine.ts";
import { judgePairs, type PairCall, type Progress, scoreAnswers, UnansweredError } from "./answers.ts";
import { Journal } from "./journal.ts";

const header = { benchmark: "test", judge: "j", data: {}, options: {} };
const verdict = "<answer>[[A]]</answer>";

function temporary(): Promise<string> {
  return mkdtemp(join(tmpdir(), "answers-"));
}

function call(name: string, gold: "A" | "B" = "A"): PairCall {
  const conversation = [{ role: "user", content: "q" } as const];
  return { input: { conversation, a: name, b: "other" }, gold, about: { pair: name } };
}

function judgeOf(engine: ScriptedEngine, options: object = {}): RmR1Judge {
  return new RmR1Judge(engine, { protocol: "compact", maxConcurrent: 1, ...options });
}

/** Requests that reached the engine. */
function asked(engine: ScriptedEngine): number {
  return engine.calls.flat().length;
}

Deno.test("judgePairs asks again for nothing that it has an answer to", async () => {
  const directory = await temporary();
  const calls = ["x", "y", "z"].map((name) => call(name));
  for (const expected of [3, 0]) {
    const engine = new ScriptedEngine(() => verdict);
    using journal = await Journal.open(directory, header);
    const answers = await judgePairs(judgeOf(engine), calls, { journal });
    expect(answers.map(({ outcome }) => outcome.kind)).toEqual(["A", "A", "A"]);
    expect(asked(engine)).toBe(expected);
  }
});

Deno.test("judgePairs knows a call by judge, sampling, seed, prompt and order", async () => {
  const directory = await temporary();
  const variants: [object, PairCall, number][] = [
    [{}, call("x"), 1],
    [{ name: "renamed", maxConcurrent: 2 }, call("x"), 0],
    [{}, call("x", "B"), 1],
    [{}, call("X"), 1],
    [{ protocol: "instruct" }, call("x"), 1],
    [{ weights: "w" }, call("x"), 1],
    [{ maxNewTokens: 9 }, call("x"), 1],
    [{ temperature: 1 }, call("x"), 1],
    [{ temperature: 1, seed: 1 }, call("x"), 1],
    [{ temperature: 1, seed: 1 }, call("x"), 0],
  ];
  for (const [options, one, expected] of variants) {
    const engine = new ScriptedEngine(() => verdict);
    using journal = await Journal.open(directory, header);
    await judgePairs(judgeOf(engine, options), [one], { journal });
    expect([options, asked(engine)]).toEqual([options, expected]);
  }
});

Deno.test("judgePairs makes equal calls once and reports each step", async () => {
  const engine = new ScriptedEngine(() => verdict);
  using journal = await Journal.open(await temporary(), header);
  const steps: Progress[] = [];
  const calls = [call("x"), call("y"), call("x")];
  const answers = await judgePairs(judgeOf(engine), calls, {
    journal,
    onProgress: (step) => steps.push(step),
  });
  expect(answers.length).toBe(3);
  expect(asked(engine)).toBe(2);
  expect(steps.map(({ done, total, tokens }) => [done, total, tokens])).toEqual([[0, 2, 0], [1, 2, 22], [
    2,
    2,
    44,
  ]]);
});

Deno.test("judgePairs never takes a failure for an answer, and the next session asks again", async () => {
  const directory = await temporary();
  const calls = ["x", "boom", "z"].map((name) => call(name));
  {
    const engine = new ScriptedEngine((prompt) => {
      if (prompt.includes("boom")) throw new Error("Out of memory");
      return verdict;
    });
    using journal = await Journal.open(directory, header);
    const failed = judgePairs(judgeOf(engine), calls, { journal });
    await expect(failed).rejects.toThrow(UnansweredError);
    await expect(failed).rejects.toThrow('1 of 3 calls have no answer, the first with "Out of memory"');
    expect(await readFile(journal.path, "utf8")).toContain('"error":"Out of memory"');
  }
  const engine = new ScriptedEngine(() => verdict);
  using journal = await Journal.open(directory, header);
  expect((await judgePairs(judgeOf(engine), calls, { journal })).length).toBe(3);
  expect(asked(engine)).toBe(1);
});

Deno.test("judgePairs gives up on an engine that only fails", async () => {
  const engine = new ScriptedEngine(() => {
    throw new Error("Lost");
  });
  using journal = await Journal.open(await temporary(), header);
  const calls = Array.from({ length: 300 }, (_, i) => call(`x${i}`));
  await expect(judgePairs(judgeOf(engine), calls, { journal })).rejects.toThrow(
    "300 of 300 calls have no answer",
  );
  expect(asked(engine)).toBe(100);
});

Deno.test("judgePairs keeps what was answered before its signal", async () => {
  const directory = await temporary();
  const controller = new AbortController();
  const calls = ["x", "y", "z"].map((name) => call(name));
  {
    using journal = await Journal.open(directory, header);
    const onProgress = ({ done }: Progress): void => {
      if (done === 2) controller.abort(new Error("Stopped"));
    };
    const judge = judgeOf(new ScriptedEngine(() => verdict));
    const run = judgePairs(judge, calls, { journal, signal: controller.signal, onProgress });
    await expect(run).rejects.toThrow("Stopped");
  }
  using journal = await Journal.open(directory, header);
  expect(journal.judgements.size).toBe(2);
});

Deno.test("scoreAnswers scores in the order of the calls and scores nothing twice", async () => {
  const directory = await temporary();
  const inputs = ["aaa", "b", "cc"].map((response): ScoreInput => ({ conversation: [], response }));
  const calls = inputs.map((input) => ({ input, about: {} }));
  const longest = Baseline.longest();
  let scored = 0;
  const judge: Scorer = Object.assign(Object.create(longest), {
    async *score(...args: Parameters<Scorer["score"]>) {
      scored += args[0].length;
      yield* (await Array.fromAsync(longest.score(...args))).toReversed();
    },
  });
  for (let session = 0; session < 2; session++) {
    using journal = await Journal.open(directory, header);
    expect(await scoreAnswers(judge, calls, { journal })).toEqual([3, 1, 2]);
  }
  expect(scored).toBe(3);
});
