import { expect } from "expect";
import { appendFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { partRecord, rowRecord } from "../testing/cuda_records.ts";
import { appendRecord, readRecords } from "./records.ts";

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "rmr1-records-"));
  try {
    await body(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

Deno.test("records are read as they were written, of each part and row the last", async () => {
  await inFolder(async (folder) => {
    const [failed, passed, row] = [
      partRecord("parity", "failed"),
      partRecord("parity", "passed"),
      rowRecord("a", 1),
    ];
    for (const record of [failed, row, passed]) await appendRecord(folder, record);
    expect(await readRecords(folder)).toEqual([passed, row]);
  });
});

Deno.test("a line that is no record is told with its place", async () => {
  await inFolder(async (folder) => {
    await appendFile(join(folder, "results.jsonl"), "{\n");
    await expect(readRecords(folder)).rejects.toThrow('results.jsonl:1: "{"');
  });
  await inFolder(async (folder) => {
    await appendRecord(folder, partRecord("parity", "passed"));
    await appendFile(join(folder, "results.jsonl"), '{"kind":"part"}\n');
    await expect(readRecords(folder)).rejects.toThrow("results.jsonl:2: not a record");
  });
});
