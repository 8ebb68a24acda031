import { expect } from "expect";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BenchSet, describeMalformed } from "../benchmark.ts";
import { figuresOf, repeated } from "../testing/estimates.ts";
import { PREFERENCES } from "./benchmark.ts";

async function load(records: readonly object[]): Promise<BenchSet> {
  const path = join(await mkdtemp(join(tmpdir(), "preferences-")), "pairs.jsonl");
  await writeFile(path, records.map((record) => JSON.stringify(record)).join("\n"));
  return await PREFERENCES.load(path);
}

const turn = (role: string, content: string): object => ({ role, content });

Deno.test("a prompt may be a text, messages, or what both conversations begin with", async () => {
  const { items, malformed } = await load([
    { prompt: "q", chosen: "a", rejected: "b" },
    { prompt: [turn("system", "s"), turn("user", "q")], chosen: [turn("assistant", "a")], rejected: "b" },
    {
      chosen: [turn("user", "q"), turn("assistant", "a")],
      rejected: [turn("user", "q"), turn("assistant", "b")],
      source: "web",
    },
  ]);
  expect(malformed).toEqual([]);
  expect(items.map(({ conversation }) => conversation.map(({ content }) => content))).toEqual([
    ["q"],
    ["s", "q"],
    ["q"],
  ]);
  for (const { answers } of items) expect(answers.map(({ text }) => text)).toEqual(["a", "b"]);
  expect(items.map(({ key, subset }) => [key, subset])).toEqual([
    ["pairs.jsonl:0", "all"],
    ["pairs.jsonl:1", "all"],
    ["pairs.jsonl:2", "web"],
  ]);
});

Deno.test("what is wrong with a record is named", async () => {
  const conversation = [turn("user", "q"), turn("assistant", "a")];
  const { items, malformed } = await load([
    { chosen: "a", rejected: "b" },
    { chosen: conversation, rejected: [turn("user", "other"), turn("assistant", "b")] },
    { chosen: conversation.slice(1), rejected: conversation.slice(1) },
    { prompt: "q", chosen: [turn("assistant", " ")], rejected: "b" },
    { prompt: "q", chosen: "", rejected: "b" },
    { prompt: "q", chosen: "a", rejected: "b" },
  ]);
  expect(items.length).toBe(1);
  expect(malformed.map(describeMalformed).map((text) => text.slice(text.indexOf("field")))).toEqual([
    'field "prompt": found nothing, expected a prompt, or answers that are conversations',
    'field "rejected": found another conversation, expected the turns that chosen begins with',
    'field "chosen": found its turns, expected turns that end with the user\'s before the answer',
    'field "chosen": found "", expected an answer that is not blank',
    'field "chosen": found "", expected a non-empty text',
  ]);
});

Deno.test("overall is the mean over all pairs, whatever their subset", () => {
  const { overall, sections } = figuresOf(PREFERENCES, [...repeated("x", 3, 1), ...repeated("y", 1, 0)]);
  expect(overall.score).toBe(0.75);
  expect(sections).toMatchObject({ x: { score: 1, n: 3 }, y: { score: 0, n: 1 } });
});
