import { expect } from "expect";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type BenchSet, describeMalformed } from "../benchmark.ts";
import { figuresOf, repeated } from "../testing/estimates.ts";
import { DATA, needs } from "../testing/needs.ts";
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

Deno.test("transcripts become conversations, and compressed files are read", async () => {
  const before = "\n\nHuman: q\n\nAssistant: first\n\nand on\n\nHuman: more";
  const records = [
    { chosen: `${before}\n\nAssistant: a`, rejected: `${before}\n\nAssistant: b` },
    { chosen: `${before}\n\nAssistant: a`, rejected: "\n\nHuman: other\n\nAssistant: b" },
    { chosen: `${before}\n\nAssistant:`, rejected: `${before}\n\nAssistant: b` },
  ];
  const path = join(await mkdtemp(join(tmpdir(), "preferences-")), "pairs.jsonl.gz");
  const content = gzipSync(records.map((record) => JSON.stringify(record)).join("\n"));
  await writeFile(path, content);
  const { items, malformed } = await PREFERENCES.load(path);
  expect(items).toHaveLength(1);
  expect(items[0]!.conversation).toEqual([
    { role: "user", content: "q" },
    { role: "assistant", content: "first\n\nand on" },
    { role: "user", content: "more" },
  ]);
  expect(items[0]!.answers.map(({ text }) => text)).toEqual(["a", "b"]);
  expect(malformed.map(({ index, field }) => [index, field])).toEqual([[1, "rejected"], [2, "chosen"]]);
  await writeFile(path, content.subarray(0, content.length - 9));
  await expect(PREFERENCES.load(path)).rejects.toThrow(/pairs\.jsonl\.gz" is not whole gzip/);
});

Deno.test("LLMBar's form is read, too", async () => {
  const { items, malformed } = await load([
    { input: "q", output_1: "a", output_2: "b", label: 2 },
    { input: "q", output_1: "a", output_2: "b", label: 3 },
    { input: "q", output_1: "", output_2: "b", label: 1 },
  ]);
  expect(items.map(({ answers }) => answers.map(({ text }) => text))).toEqual([["b", "a"]]);
  expect(malformed.map(({ index, field }) => [index, field])).toEqual([[1, "chosen"], [2, "chosen"]]);
});

Deno.test("all of LLMBar's files load", needs("llmbar"), async () => {
  const { items, malformed } = await PREFERENCES.load(join(DATA, "llmbar"));
  // One has an empty output.
  expect(malformed.map(({ file, index }) => [file, index])).toEqual([["Processed_LLMEval^2.json", 169]]);
  expect(items).toHaveLength(838);
});

Deno.test("HH-RLHF's harmless test pairs load", needs("hh-rlhf"), async () => {
  const { items, malformed } = await PREFERENCES.load(join(DATA, "hh-rlhf"));
  expect(items.length + malformed.length).toBe(2312);
  expect(items.every(({ conversation }) => conversation.at(-1)!.role === "user")).toBe(true);
  // Where an earlier turn differs too, or an answer is empty, there is no pair of answers to one question.
  expect(new Set(malformed.map(({ field }) => field)).isSubsetOf(new Set(["chosen", "rejected"]))).toBe(true);
  expect(items.length).toBeGreaterThan(2200);
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
