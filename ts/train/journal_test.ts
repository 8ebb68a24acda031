import { expect } from "expect";
import fc from "fast-check";
import { readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Journal, type JournalRecord, readJournal, totalSeconds } from "./journal.ts";
import { withFolder } from "./testing/small_run.ts";

async function write(path: string, ...messages: readonly string[]): Promise<void> {
  await using journal = await Journal.open(path);
  for (const message of messages) await journal.append({ type: "warning", message });
}

function messagesOf(records: readonly JournalRecord[]): string[] {
  return records.map((record) => record.type === "warning" ? record.message : record.type);
}

Deno.test("a journal torn at any byte reads as its whole lines, and goes on after them", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "journal.jsonl");
    await write(path, "one", "zwei ü", "three");
    const whole = await readFile(path);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: whole.length }), async (bytes) => {
        await writeFile(path, whole);
        await truncate(path, bytes);
        const lines = whole.subarray(0, bytes).toString().split("\n").length - 1;
        const left = ["one", "zwei ü", "three"].slice(0, lines);
        expect(messagesOf(await readJournal(path))).toEqual(left);
        await write(path, "after");
        expect(messagesOf(await readJournal(path))).toEqual([...left, "after"]);
      }),
      { numRuns: 40 },
    );
  });
});

Deno.test("a last line of zeros, as a power failure leaves it, is cut", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "journal.jsonl");
    await write(path, "one");
    await writeFile(path, `${await readFile(path, "utf8")}\0\0\0\n`);
    await write(path, "two");
    expect(messagesOf(await readJournal(path))).toEqual(["one", "two"]);
  });
});

Deno.test("damage before the last line is told by file and line, and nothing is cut", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "journal.jsonl");
    await write(path, "one", "two");
    const [first, second] = (await readFile(path, "utf8")).split("\n");
    const damaged = `${first}\n{"type":\n${second}\n`;
    await writeFile(path, damaged);
    await expect(readJournal(path)).rejects.toThrow("journal.jsonl:2: Expected a JSON object");
    await expect(Journal.open(path)).rejects.toThrow("journal.jsonl:2");
    expect(await readFile(path, "utf8")).toBe(damaged);
  });
});

Deno.test("the seconds of a run are those of all its sessions", () => {
  const record = (type: "start" | "resume" | "finish", seconds: number): JournalRecord =>
    ({ type, seconds, time: "" }) as JournalRecord;
  expect(totalSeconds([record("start", 0), record("finish", 10), record("resume", 1), record("finish", 5)]))
    .toBe(15);
  expect(totalSeconds([])).toBe(0);
});
