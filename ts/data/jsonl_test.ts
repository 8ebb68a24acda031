import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "expect";
import fc from "fast-check";
import { DataError } from "./data_error.ts";
import { readPreferences, writeJsonl } from "./jsonl.ts";

async function inDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "rmr1-jsonl-"));
  try {
    await use(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function failure(content: string | Uint8Array): Promise<DataError> {
  let error: unknown;
  await inDirectory(async (directory) => {
    const path = join(directory, "set.jsonl");
    await writeFile(path, content);
    error = await readPreferences(path).then(() => null, (reason) => reason);
  });
  expect(error).toBeInstanceOf(DataError);
  return error as DataError;
}

const row = (fields: Record<string, unknown>): string =>
  JSON.stringify({ prompt: "Q", chosen: "good", rejected: "bad", ...fields });

Deno.test("records are read in all their forms", async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, "set.jsonl");
    const conversation = [{ role: "system", content: "S" }, { role: "user", content: "Q" }];
    await writeFile(
      path,
      [
        `\uFEFF${row({ id: "one", source: "hand", group: "g", solution: "s", score: 3 })}`,
        row({ id: 2, prompt: conversation }),
        "",
        row({ prompt: undefined, conversation, chosen: "ü\u2028", rejected: "" }),
      ].join("\r\n"),
    );
    const { records, identical } = await readPreferences(path);
    expect(identical).toEqual([]);
    expect(records).toEqual([
      {
        id: "one",
        conversation: [{ role: "user", content: "Q" }],
        chosen: "good",
        rejected: "bad",
        source: "hand",
        group: "g",
        solution: "s",
      },
      { id: "2", conversation, chosen: "good", rejected: "bad" },
      { id: "set.jsonl:4", conversation, chosen: "ü\u2028", rejected: "" },
    ]);
  });
});

Deno.test("each fault names its line, field, value and what was expected", async () => {
  const cases: [string | Uint8Array, number | null, string][] = [
    ["", null, "Expected at least one record, found none"],
    ["\n \n", null, "Expected at least one record, found none"],
    [`${row({})}\n${row({ chosen: 5 })}\n`, 2, 'Field "chosen": expected string, found "5"'],
    [`${row({ rejected: undefined })}\n`, 1, 'Field "rejected": expected string, found nothing'],
    [
      `${row({})}\n${row({}).slice(0, 20)}`,
      2,
      "it is the last line and has no line end, so the file may have been cut off",
    ],
    [`{"prompt": oops}\n`, 1, 'Expected a JSON value, found "{"prompt": oops}"'],
    ["[1]\n", 1, 'Field "record": expected object, found "[1]"'],
    [row({ prompt: undefined }), 1, 'expected either "prompt" or "conversation"'],
    [
      row({ conversation: [{ role: "user", content: "Q" }] }),
      1,
      'expected either "prompt" or "conversation"',
    ],
    [
      row({ prompt: [{ role: "user", content: "Q" }, { role: "assistant", content: "A" }] }),
      1,
      "ends with a user",
    ],
    [row({ prompt: [{ role: "bot", content: "Q" }] }), 1, '"prompt'],
    [
      `${row({ id: "x" })}\n\n${row({ id: "x" })}`,
      3,
      'Field "id": expected each id once, found "x" in line 1, too',
    ],
    [row({ chosen: "\ud800" }), 1, 'Field "chosen": expected well-formed Unicode'],
    [Uint8Array.of(...new TextEncoder().encode(`${row({})}\n`), 0x22, 0xff, 0x22), 2, "Expected UTF-8 text"],
  ];
  for (const [content, line, message] of cases) {
    const error = await failure(content);
    expect([error.line, error.message]).toEqual([line, expect.stringContaining(message)]);
    expect(error.message).toContain(line === null ? "set.jsonl: " : `set.jsonl:${line}: `);
  }
});

Deno.test("a file cut anywhere is read whole, or its end is reported, or only whole lines are missing", async () => {
  const rows = [row({ id: "1" }), row({ id: "2", chosen: "größer" })];
  const bytes = new TextEncoder().encode(rows.join("\n"));
  await inDirectory(async (directory) => {
    const path = join(directory, "set.jsonl");
    for (let length = 1; length <= bytes.length; length++) {
      await writeFile(path, bytes.subarray(0, length));
      const read = await readPreferences(path).then(({ records }) => records.length, (error) => error);
      if (length === bytes.length) expect(read).toBe(2);
      else if (length === rows[0]!.length || length === rows[0]!.length + 1) expect(read).toBe(1);
      else expect(read).toBeInstanceOf(DataError);
    }
  });
});

Deno.test("identical answers are left out and listed", async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, "set.jsonl");
    await writeFile(path, [row({ id: "a" }), row({ id: "b", chosen: "bad" })].join("\n"));
    const { records, identical } = await readPreferences(path);
    expect(records.map(({ id }) => id)).toEqual(["a"]);
    expect(identical).toEqual([{ line: 2, id: "b" }]);
  });
});

Deno.test("what is written is read back", async () => {
  const text = fc.string({ unit: "grapheme" });
  const rows = fc.array(fc.record({ prompt: text, chosen: text, rejected: text }), { minLength: 1 });
  await inDirectory(async (directory) => {
    const path = join(directory, "set.jsonl");
    await fc.assert(
      fc.asyncProperty(rows, async (values) => {
        expect(await writeJsonl(path, values)).toBe(values.length);
        const { records, identical } = await readPreferences(path);
        expect(records.length + identical.length).toBe(values.length);
        expect(records.map(({ chosen, rejected }) => [chosen, rejected])).toEqual(
          values.filter(({ chosen, rejected }) => chosen !== rejected).map((
            { chosen, rejected },
          ) => [chosen, rejected]),
        );
      }),
      { numRuns: 50 },
    );
    expect(await readdir(directory)).toEqual(["set.jsonl"]);
  });
});

Deno.test("lines longer than a chunk of the stream are read whole", async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, "set.jsonl");
    const chosen = "ä".repeat(200_000);
    await writeJsonl(path, [{ prompt: "Q", chosen, rejected: "" }, { prompt: "Q", chosen, rejected: "x" }]);
    const { records } = await readPreferences(path);
    expect(records.map((record) => record.chosen === chosen)).toEqual([true, true]);
  });
});

Deno.test("a failed write leaves the old file and nothing else", async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, "set.jsonl");
    await writeJsonl(path, [{ old: true }]);
    const failing = function* (): Generator<unknown> {
      yield { fresh: true };
      throw new Error("source failed");
    };
    await expect(writeJsonl(path, failing())).rejects.toThrow("source failed");
    await expect(writeJsonl(path, [undefined])).rejects.toThrow("has no JSON form");
    expect(await readFile(path, "utf8")).toBe('{"old":true}\n');
    expect(await readdir(directory)).toEqual(["set.jsonl"]);
  });
});
