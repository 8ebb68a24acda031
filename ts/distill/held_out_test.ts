import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "expect";
import fc from "fast-check";
import type { PreferenceRecord } from "../data/mod.ts";
import { checkHeldOut, wordsOf } from "./held_out.ts";

async function check(
  prompts: readonly string[],
  held: readonly unknown[],
  { overlap = 0.7, array = false } = {},
): ReturnType<typeof checkHeldOut> {
  return await inFolder(async (folder) => {
    const file = join(folder, "held.json");
    await writeFile(file, array ? JSON.stringify(held) : held.map((each) => JSON.stringify(each)).join("\n"));
    return await checkHeldOut(recordsOf(prompts), { files: [file], overlap });
  });
}

async function inFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "rmr1-held-"));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function recordsOf(prompts: readonly string[]): PreferenceRecord[] {
  return prompts.map((content, index) => ({
    id: `${index}`,
    conversation: [{ role: "user", content }],
    chosen: "yes",
    rejected: "no",
  }));
}

const TEXT = "one two three four five six seven eight nine ten eleven twelve";

Deno.test("the same words are the same text, whatever the case, punctuation and form", async () => {
  const { hits, reports } = await check(
    ["What is  2 + 2?", "Ｗhat is… 2 * 2", "What is 2 + 3?"],
    [{ prompt: "what is 2 2" }],
  );
  expect(hits.map(({ id, kind }) => [id, kind])).toEqual([["0", "same-text"], ["1", "same-text"]]);
  expect(reports).toMatchObject([{ prompts: 1, sameText: 2, overlapping: 0 }]);
});

Deno.test("a prompt is held out from the given share of its 8-grams on", async () => {
  const longer = `zero ${TEXT} thirteen fourteen`;
  for (const [overlap, expected] of [[0.7, 0], [5 / 8, 1], [0.6, 1]] as const) {
    const { hits } = await check([longer], [{ question: TEXT }], { overlap });
    expect(hits.map(({ kind, overlap }) => [kind, overlap])).toEqual(
      expected === 0 ? [] : [["overlap", 5 / 8]],
    );
  }
});

Deno.test("shares of 8-grams are those of an independent count", async () => {
  const word = fc.constantFrom("a", "b");
  const sentence = fc.array(word, { minLength: 1, maxLength: 24 });
  await fc.assert(
    fc.asyncProperty(sentence, fc.array(sentence, { minLength: 1, maxLength: 3 }), async (prompt, held) => {
      const gramsOf = (words: readonly string[]): string[] =>
        words.flatMap((_, at) => at + 8 <= words.length ? [words.slice(at, at + 8).join(" ")] : []);
      const own = [...new Set(gramsOf(prompt))];
      const theirs = new Set(held.flatMap(gramsOf));
      const same = held.some((words) => words.join(" ") === prompt.join(" "));
      const share = same
        ? 1
        : own.length === 0
        ? 0
        : own.filter((gram) => theirs.has(gram)).length / own.length;
      const { hits, reports } = await check(
        [prompt.join(", ")],
        held.map((words) => ({ prompt: words.join(" ") })),
      );
      expect(hits.map(({ overlap }) => overlap)).toEqual(share >= 0.7 ? [share] : []);
      expect(reports[0]!.histogram.indexOf(1)).toBe(Math.ceil(share * 10));
    }),
    { numRuns: 60 },
  );
});

Deno.test("prompts are found where public sets keep them, in arrays and in lines", async () => {
  const conversation = [{ role: "user", content: "Hi there" }, { role: "assistant", content: "no" }];
  const held = [{ conversation_input: conversation }, { question: "q1" }, { prompt: "p1" }, { input: "i1" }];
  for (const array of [false, true]) {
    const { hits } = await check(["hi there", "Q1", "P1", "I1", "no"], held, { array });
    expect(hits.map(({ id }) => id)).toEqual(["0", "1", "2", "3"]);
  }
});

Deno.test("a file that is missing, malformed or without prompts is refused by name", async () => {
  await expect(checkHeldOut([], { files: ["/nowhere/at-all.json"] })).rejects.toThrow(
    "/nowhere/at-all.json: File not found",
  );
  await expect(check(["x"], [{ text: "x" }])).rejects.toThrow(/held.json:1: Record: expected a prompt/);
  await expect(check(["x"], [{ text: "x" }], { array: true })).rejects.toThrow(
    /held.json: Record 1: expected/,
  );
  await expect(check(["x"], [])).rejects.toThrow("Expected at least one prompt");
  await inFolder(async (folder) => {
    await expect(checkHeldOut([], { files: [folder] })).rejects.toThrow("Expected files of .json or .jsonl");
  });
});

Deno.test("a folder stands for all of its files, in its folders, too", async () => {
  await inFolder(async (folder) => {
    await mkdir(join(folder, "deep", "er"), { recursive: true });
    await writeFile(join(folder, "deep", "er", "one.json"), '[{"prompt":"p1"}]');
    await writeFile(join(folder, "two.jsonl"), '{"prompt":"p2"}\n');
    await writeFile(join(folder, "notes.md"), "p3");
    const { hits, reports } = await checkHeldOut(recordsOf(["p1", "p2", "p3"]), { files: [folder] });
    expect(hits.map(({ id, file }) => [id, file])).toEqual([["0", folder], ["1", folder]]);
    expect(reports).toMatchObject([{ file: folder, prompts: 2 }]);
  });
});

Deno.test("words keep marks with their letters", () => {
  expect(wordsOf("Cafe\u0301, STRASSE! \ufb01ne 3.5")).toEqual(["café", "strasse", "fine", "3", "5"]);
});
