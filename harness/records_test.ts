import { expect } from "expect";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parquetWriteFile } from "hyparquet-writer";
import { type BenchSet, describeMalformed } from "./benchmark.ts";
import { PREFERENCES } from "./preferences/benchmark.ts";
import { rmBench } from "./rm_bench/benchmark.ts";
import { missingParts } from "./measure.ts";

const RM_BENCH = rmBench();

function loadRmBench(path: string): Promise<BenchSet> {
  return RM_BENCH.load(path);
}

function record(id: unknown, change: object = {}): object {
  return {
    id,
    prompt: `p${id}`,
    chosen: ["a", "aa", "aaa"],
    rejected: ["b", "bb", "bbb"],
    extra: 1,
    ...change,
  };
}

async function folder(files: Record<string, unknown>): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "rm-bench-"));
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(path, name), typeof content === "string" ? content : JSON.stringify(content));
  }
  return path;
}

Deno.test("RM-Bench takes each item's subset from its file's name", async () => {
  const path = await folder({
    "chat_filtered.json": [record(1), record(2)],
    "safety-refuse_filtered.json": [record(1)],
    "safety-response_filtered.json": [record("x")],
    "notes.json": [record(9)],
  });
  const { items, malformed, files } = await loadRmBench(path);
  expect(items.map(({ key, subset }) => [key, subset])).toEqual([
    ["chat:1", "chat"],
    ["chat:2", "chat"],
    ["safety-refuse:1", "safety-refuse"],
    ["safety-response:x", "safety-response"],
  ]);
  expect(malformed).toEqual([]);
  expect(Object.keys(files)).toEqual([
    "chat_filtered.json",
    "safety-refuse_filtered.json",
    "safety-response_filtered.json",
  ]);
  expect(missingParts(RM_BENCH, items)).toEqual([
    "chat: 2 of 129 items",
    "math: 0 of 529 items",
    "code: 0 of 228 items",
    "safety-refuse: 1 of 284 items",
    "safety-response: 1 of 157 items",
  ]);
});

Deno.test("RM-Bench reads one file: a subset's or the total one with domains", async () => {
  const path = await folder({
    "math_filtered.json": [record(1)],
    "total_dataset.json": [record(1, { domain: "code" }), record(1, { domain: "safety-refuse" })],
  });
  const one = await loadRmBench(join(path, "math_filtered.json"));
  expect(one.items.map(({ key }) => key)).toEqual(["math:1"]);
  const total = await loadRmBench(join(path, "total_dataset.json"));
  expect(total.items.map(({ key, subset }) => [key, subset])).toEqual([
    ["code:1", "code"],
    ["safety-refuse:1", "safety-refuse"],
  ]);
});

Deno.test("RM-Bench names every malformed record and keeps the others", async () => {
  const cases: [unknown, string][] = [
    [record(undefined), 'field "id": found nothing, expected a string or an integer'],
    [record(1.5), 'field "id": found "1.5", expected a string or an integer'],
    [record(2, { prompt: " \n" }), 'field "prompt": found " \n", expected a non-empty text'],
    [record(3, { chosen: "a" }), 'field "chosen": found "a", expected an array of 3 texts'],
    [record(4, { chosen: ["a", "b"] }), 'field "chosen": found "["a","b"]", expected an array of 3 texts'],
    [record(5, { rejected: ["a", "", "b"] }), 'field "rejected.1": found "", expected a non-empty text'],
    [
      record(6, { rejected: ["a", "b", null] }),
      'field "rejected.2": found "null", expected a non-empty text',
    ],
    [null, 'found "null", expected an object'],
    [[], 'found "[]", expected an object'],
    ["text", 'found "text", expected an object'],
    [record(0), 'field "id": found "chat:0", expected an id that no earlier record has'],
  ];
  const path = await folder({ "chat_filtered.json": [record(0), ...cases.map(([bad]) => bad), record(7)] });
  const { items, malformed } = await loadRmBench(path);
  expect(items.map(({ key }) => key)).toEqual(["chat:0", "chat:7"]);
  expect(malformed.map(describeMalformed)).toEqual(cases.map(([, message], at) => {
    const where = `file "chat_filtered.json", record ${at + 1}`;
    return message.startsWith("field") ? `${where}, ${message}` : `${where}: ${message}`;
  }));
});

Deno.test("RM-Bench wants a known domain where the file does not name it", async () => {
  const path = await folder({
    "all.json": [record(1, { domain: "chat" }), record(2), record(3, { domain: "art" })],
  });
  const { items, malformed } = await loadRmBench(join(path, "all.json"));
  expect(items.length).toBe(1);
  expect(malformed.map(({ index, field, value }) => [index, field, value])).toEqual([
    [1, "domain", "nothing"],
    [2, "domain", '"art"'],
  ]);
  expect(malformed[0]!.expected).toBe("one of chat, math, code, safety-refuse, safety-response");
});

Deno.test("RM-Bench says what it looked for where there is nothing", async () => {
  await expect(loadRmBench("/no/such/folder")).rejects.toThrow('No file or folder "/no/such/folder"');
  await expect(loadRmBench(await folder({ "a.json": [] }))).rejects.toThrow(
    "expected one or more of chat_filtered.json, math_filtered.json, code_filtered.json, " +
      "safety-refuse_filtered.json, safety-response_filtered.json",
  );
  const cases: [unknown, string][] = [
    ['[{"id":1,', "is not JSON"],
    [{ id: 1 }, "expected an array of records"],
    [[], "0 records are malformed"],
    [
      [record(1, { prompt: 4 })],
      '1 records are malformed: file "chat_filtered.json", record 0, field "prompt"',
    ],
  ];
  for (const [content, message] of cases) {
    await expect(loadRmBench(await folder({ "chat_filtered.json": content }))).rejects.toThrow(message);
  }
});

const PAIRS = [
  { id: 1, prompt: "q", chosen: "a", rejected: "b" },
  { id: "x", prompt: "q 2", chosen: "c", rejected: "d", subset: "s" },
];

Deno.test("JSON, JSON Lines and Parquet of the same records are the same items", async () => {
  const lines = PAIRS.map((pair) => JSON.stringify(pair)).join("\n");
  const path = await folder({ "a.json": PAIRS, "b.jsonl": `\uFEFF${lines}\r\n\n` });
  parquetWriteFile({
    filename: join(path, "c.parquet"),
    columnData: ["id", "prompt", "chosen", "rejected", "subset"].map((name) => ({
      name,
      data: PAIRS.map((pair) => String((pair as Record<string, unknown>)[name] ?? "")),
    })),
  });
  const read = async (file: string): Promise<unknown> => (await PREFERENCES.load(join(path, file))).items;
  const expected = await read("a.json");
  expect(expected).toMatchObject([{ key: "1", subset: "all" }, { key: "x", subset: "s" }]);
  expect(await read("b.jsonl")).toEqual(expected);
  expect(await read("c.parquet")).toMatchObject([{ key: "1", answers: [{ text: "a" }, { text: "b" }] }, {
    key: "x",
    subset: "s",
  }]);
});

Deno.test("a half line is a malformed record, and the others stay", async () => {
  const path = await folder({ "a.jsonl": `${JSON.stringify(PAIRS[0])}\n{"id": 2, "prom` });
  const { items, malformed } = await PREFERENCES.load(path);
  expect(items.map(({ key }) => key)).toEqual(["1"]);
  expect(malformed.map(describeMalformed)).toEqual([
    'file "a.jsonl", record 1: found "{"id": 2, "prom", expected a whole JSON value on one line',
  ]);
});

Deno.test("what is no Parquet file is named", async () => {
  const path = await folder({ "a.parquet": "no" });
  await expect(PREFERENCES.load(path)).rejects.toThrow(/a\.parquet" is not Parquet/);
});
