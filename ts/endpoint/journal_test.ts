import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "expect";
import fc from "fast-check";
import type { Call } from "./call.ts";
import { Journal, type JournalLine, keyOf, readJournal } from "./journal.ts";

async function inFile(use: (path: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "rmr1-journal-"));
  try {
    await use(join(folder, "journal.jsonl"));
  } finally {
    await rm(folder, { recursive: true });
  }
}

const about = (number: number) => ({ number, key: `k${number}`, id: `r${number}`, pass: 1 as const });
const call = (number: number): JournalLine => ({
  type: "call",
  ...about(number),
  worst: { input: 10, output: 20 },
});
const answer = (number: number, tokens: { input: number; output: number } | null): JournalLine => ({
  type: "answer",
  ...about(number),
  text: "é\u2028\n",
  end: "stop",
  tokens,
  servedBy: null,
});

Deno.test("a journal cut at any byte is gone on with, and has each answer whose line is whole", async () => {
  await inFile(async (path) => {
    const journal = await Journal.open(path);
    for (const number of [1, 2, 3]) {
      await journal.append(call(number));
      await journal.append(answer(number, { input: 1, output: 2 }));
    }
    await journal[Symbol.asyncDispose]();
    const bytes = await readFile(path);
    for (let length = 0; length <= bytes.length; length += 7) {
      const whole = bytes.subarray(0, length).toString("utf8").split("\n").slice(0, -1);
      await writeFile(path, bytes.subarray(0, length));
      {
        await using again = await Journal.open(path);
        expect(again.content.answers.size).toBe(whole.filter((line) => line.includes('"answer"')).length);
        expect(again.content.spent[1].calls).toBe(whole.filter((line) => line.includes('"call"')).length);
        const number = again.content.lastNumber + 1;
        await again.append(call(number));
        await again.append(answer(number, null));
      }
      expect((await readJournal(path)).answers.has(`k${Math.ceil(whole.length / 2) + 1}`)).toBe(true);
    }
  });
});

Deno.test("what is not known of a call's end is taken for the most that it can take", async () => {
  await inFile(async (path) => {
    await using journal = await Journal.open(path);
    const failure = (number: number, charged: boolean): JournalLine => ({
      type: "failure",
      number,
      key: `k${number}`,
      error: "e",
      charged,
    });
    for (const number of [1, 2, 3, 4, 5]) await journal.append(call(number));
    await journal.append(answer(1, { input: 3, output: 4 }));
    await journal.append(answer(2, null));
    await journal.append(failure(3, true));
    await journal.append(failure(4, false));
    const { spent, open, answers } = await readJournal(path);
    expect(spent[1]).toEqual({ calls: 5, tokens: { input: 3 + 3 * 10, output: 4 + 3 * 20 } });
    expect([open, [...answers.keys()]]).toEqual([1, ["k1", "k2"]]);
    expect(answers.get("k1")!.text).toBe("é\u2028\n");
  });
});

Deno.test("lines that come at once are all written, in their order", async () => {
  await inFile(async (path) => {
    await using journal = await Journal.open(path);
    await Promise.all(Array.from({ length: 200 }, (_, index) => journal.append(call(index + 1))));
    const numbers = (await readFile(path, "utf8")).trimEnd().split("\n").map((line) =>
      JSON.parse(line).number
    );
    expect(numbers).toEqual(Array.from({ length: 200 }, (_, index) => index + 1));
  });
});

Deno.test("a line that is not a journal's is refused by file and line", async () => {
  for (
    const bad of [
      "{}",
      "not JSON",
      JSON.stringify({ ...answer(1, null), text: 5 }),
      JSON.stringify(answer(9, null)),
    ]
  ) {
    await inFile(async (path) => {
      await writeFile(path, `${JSON.stringify(call(1))}\n${bad}\n`);
      await expect(Journal.open(path)).rejects.toThrow(`${path}:2: `);
    });
  }
});

Deno.test("all that decides a call decides its key, and the order of sampling options does not", () => {
  const base: Call = {
    writer: "openai",
    model: "m",
    messages: [{ role: "user", content: "Q" }],
    sampling: { maxTokens: 5, temperature: 1 },
    sample: 0,
  };
  const others: Call[] = [
    { ...base, writer: "anthropic" },
    { ...base, model: "n" },
    { ...base, messages: [{ role: "system", content: "Q" }] },
    { ...base, messages: [{ role: "user", content: "Q " }] },
    { ...base, sampling: { maxTokens: 5 } },
    { ...base, sampling: { maxTokens: 6, temperature: 1 } },
    { ...base, sample: 1 },
  ];
  expect(new Set([base, ...others].map(keyOf)).size).toBe(1 + others.length);
  expect(keyOf({ ...base, sampling: { temperature: 1, maxTokens: 5 } })).toBe(keyOf(base));
  fc.assert(fc.property(fc.string(), fc.string(), (x, y) => {
    const key = (content: string): string => keyOf({ ...base, messages: [{ role: "user", content }] });
    expect(key(x) === key(y)).toBe(x === y);
  }));
});
