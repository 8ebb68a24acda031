import { expect } from "expect";
import fc from "fast-check";
import { publishedForm } from "../cor/mod.ts";
import { generateTasks, place, type PreferenceRecord } from "../data/mod.ts";
import { countReasons, encodeTraces, placeTurns, usablePrompts, usableTraces } from "./examples.ts";
import { TabularEngine } from "./testing/tabular_engine.ts";
import { tracesFromData } from "./traces.ts";

const FORM = publishedForm("compact");
const SOURCE = tracesFromData(FORM);
const engine = TabularEngine.fresh();
const tasks = generateTasks({ seed: 0, split: "train", count: 12 });
const limits = { form: FORM, source: SOURCE, maxTokens: 4096, examples: null } as const;

function lengthOf(record: PreferenceRecord): Promise<number> {
  return encodeTraces(engine, FORM, [place(record, "A"), place(record, "B")], SOURCE).then((both) =>
    Math.max(...both.map(({ prompt, target }) => prompt.length + target.length))
  );
}

Deno.test("a target is the trace of its pair and ends with the end of sequence, once", async () => {
  const pairs = tasks.map((task, index) => place(task, index % 2 === 0 ? "A" : "B"));
  for (const { pair, prompt, target } of await encodeTraces(engine, FORM, pairs, SOURCE)) {
    expect([...target].filter((token) => token === 0)).toEqual([0]);
    expect(target.at(-1)).toBe(0);
    const [text, asked] = await engine.decode([target, prompt]);
    expect(text).toContain(`<answer>[[${pair.gold}]]</answer>`);
    expect(asked).toContain(pair.record.chosen);
    expect(asked!.endsWith("<assistant>")).toBe(true);
    expect(asked).not.toContain("<answer>");
  }
});

Deno.test("examples that are too long are left out and counted, never cut", async () => {
  const lengths = await Promise.all(tasks.map(lengthOf));
  const maxTokens = lengths.toSorted((x, y) => x - y)[5]!;
  const { records, leftOut } = await usableTraces(engine, tasks, { ...limits, maxTokens });
  expect(records).toEqual(tasks.filter((_, index) => lengths[index]! <= maxTokens));
  expect(countReasons(leftOut)).toEqual({ "too-long": 12 - records.length });
});

Deno.test("the model's context is a limit, too", async () => {
  const small = TabularEngine.fresh(1, { contextLength: 100 });
  const { records, leftOut } = await usableTraces(small, tasks, limits);
  expect(records).toEqual([]);
  expect(countReasons(leftOut)).toEqual({ "too-long": 12 });
  expect(leftOut.map(({ id }) => id)).toEqual(tasks.map(({ id }) => id));
  const prompts = { form: FORM, maxPromptTokens: 4096, maxNewTokens: 99, examples: 12 } as const;
  const asked = await usablePrompts(small, tasks, prompts);
  expect(asked.records).toEqual([]);
  expect(countReasons(asked.leftOut)).toEqual({ "prompt-too-long": 12 });
});

Deno.test("a record without a trace is left out by its reason, and others take its place", async () => {
  const { solution: _, ...untraceable } = tasks[0]!;
  const found = await usableTraces(engine, [untraceable, ...tasks.slice(1)], { ...limits, examples: 3 });
  expect(found).toEqual({
    records: tasks.slice(1, 4),
    leftOut: [{ id: tasks[0]!.id, reason: "no-solution" }],
  });
});

Deno.test("a trace that holds the end of sequence inside is left out: the model would learn to stop there", async () => {
  const [task] = tasks as [PreferenceRecord];
  const spoilt = { ...task, solution: `\0${task.solution}` };
  const { leftOut } = await usableTraces(engine, [spoilt], limits);
  expect(countReasons(leftOut)).toEqual({ "end-of-sequence-in-trace": 1 });
});

Deno.test("the better answer stands at A for half of the records, and changes its place each epoch", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 12 }), fc.nat(3), (count, epoch) => {
    const turns = Array.from({ length: count }, (_, index) => ({ index, epoch }));
    const golds = placeTurns(tasks, turns).map(({ gold }) => gold);
    const next = placeTurns(tasks, turns.map(({ index }) => ({ index, epoch: epoch + 1 })));
    expect(Math.abs(golds.filter((gold) => gold === "A").length - count / 2)).toBeLessThanOrEqual(0.5);
    expect(next.every(({ gold }, index) => gold !== golds[index])).toBe(true);
  }));
});
