import { expect } from "expect";
import fc from "fast-check";
import { appendFile, mkdtemp, readFile, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Journal, JOURNAL_FILE, type JournalLine, RunMismatchError } from "./journal.ts";

const header = { benchmark: "test", judge: "j", data: {}, options: {} };

function temporary(): Promise<string> {
  return mkdtemp(join(tmpdir(), "journal-"));
}

function judgement(key: string, text: string): JournalLine {
  const stored = { outcome: { kind: "A" }, tokens: 3, promptTokens: 4, finish: "eos" } as const;
  return { type: "judgement", key, about: { pair: key }, ...stored, text };
}

Deno.test("Journal gives back what was written, whatever the text", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.string({ unit: "binary" }), { maxLength: 20 }), async (texts) => {
      const directory = await temporary();
      {
        using journal = await Journal.open(directory, header);
        for (const [i, text] of texts.entries()) journal.append(judgement(`k${i}`, `${text}\u2028\r\n`));
        journal.append({ type: "score", key: "s", about: {}, score: 0.25 });
        journal.append({ type: "failure", key: "f", about: {}, error: "Lost" });
      }
      using again = await Journal.open(directory, header);
      expect([...again.judgements.keys()]).toEqual(texts.map((_, i) => `k${i}`));
      expect(again.scores).toEqual(new Map([["s", 0.25]]));
      expect(again.unreadable).toBe(0);
      for (const stored of again.judgements.values()) {
        expect(stored).toEqual({ outcome: { kind: "A" }, tokens: 3, promptTokens: 4, finish: "eos" });
      }
    }),
    { numRuns: 20 },
  );
});

Deno.test("Journal cut at any byte keeps every whole line and goes on", async () => {
  const directory = await temporary();
  const path = join(directory, JOURNAL_FILE);
  {
    using journal = await Journal.open(directory, header);
    for (const key of ["a", "b", "c"]) journal.append(judgement(key, "é".repeat(5)));
  }
  const whole = await readFile(path);
  const start = whole.lastIndexOf("\n", whole.length - 2) + 1;
  for (let length = start; length <= whole.length; length++) {
    await writeFile(path, whole);
    await truncate(path, length);
    {
      using journal = await Journal.open(directory, header);
      // A line whose line feed alone is missing is whole.
      expect(journal.judgements.has("c")).toBe(length >= whole.length - 1);
      expect(journal.unreadable).toBe(length > start && length < whole.length - 1 ? 1 : 0);
      expect([...journal.judgements.keys()].slice(0, 2)).toEqual(["a", "b"]);
      journal.append(judgement("d", ""));
    }
    using journal = await Journal.open(directory, header);
    expect(journal.judgements.has("d")).toBe(true);
    expect((await readFile(path)).subarray(0, length)).toEqual(whole.subarray(0, length));
  }
});

Deno.test("Journal counts lines of another form and takes nothing from them", async () => {
  const directory = await temporary();
  const path = join(directory, JOURNAL_FILE);
  const good = judgement("a", "");
  const bad = ["{}", "[]", "nonsense", JSON.stringify({ ...good, outcome: { kind: "C" } })];
  await appendFile(
    path,
    [JSON.stringify({ ...good, key: "b", tokens: -1 }), ...bad, JSON.stringify(good), ""].join("\n"),
  );
  using journal = await Journal.open(directory, header);
  expect([...journal.judgements.keys()]).toEqual(["a"]);
  expect(journal.unreadable).toBe(5);
});

Deno.test("Journal refuses another judge's or benchmark's directory and leaves it as it is", async () => {
  const directory = await temporary();
  (await Journal.open(directory, header))[Symbol.dispose]();
  const before = await readFile(join(directory, JOURNAL_FILE));
  for (const other of [{ judge: "k" }, { benchmark: "other" }]) {
    const opened = Journal.open(directory, { ...header, ...other });
    await expect(opened).rejects.toThrow(RunMismatchError);
  }
  await expect(Journal.open(directory, { ...header, judge: "k" })).rejects.toThrow(
    'has judge "j", expected "k"',
  );
  expect(await readFile(join(directory, JOURNAL_FILE))).toEqual(before);
});
