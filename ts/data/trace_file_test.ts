import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "expect";
import { readPreferences, writeJsonl } from "./jsonl.ts";
import { place } from "./placement.ts";
import { generateTasks } from "./tasks/mod.ts";
import { readTraces, type TraceRecord } from "./trace_file.ts";
import { traceFromData } from "./traces.ts";

async function inFile(use: (path: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "rmr1-traces-"));
  try {
    await use(join(folder, "traces.jsonl"));
  } finally {
    await rm(folder, { recursive: true });
  }
}

const pairs = generateTasks({ seed: 1, split: "train", count: 20 })
  .map((task, index) => place(task, index % 2 === 0 ? "A" : "B"));
const traces: TraceRecord[] = pairs.flatMap((pair) => {
  const { record: { id, group = id, conversation }, a, b, gold } = pair;
  const made = traceFromData(pair);
  return "skipped" in made
    ? []
    : [{ id, group, conversation, a, b, gold, trace: made.trace, pass: null, model: "data" }];
});

Deno.test("traces are read back as they were written, and their pairs as preferences", async () => {
  await inFile(async (path) => {
    await writeJsonl(path, traces);
    expect(await readTraces(path)).toEqual(traces);
    const { records } = await readPreferences(path);
    const kept = new Set(traces.map(({ id }) => id));
    const wanted = pairs.filter(({ record }) => kept.has(record.id)).map(({ record }) => record);
    expect(records.map(({ id, chosen, rejected }) => ({ id, chosen, rejected }))).toEqual(
      wanted.map(({ id, chosen, rejected }) => ({ id, chosen, rejected })),
    );
  });
});

Deno.test("each fault is named with its line and field", async () => {
  const [first, second] = traces as [TraceRecord, TraceRecord];
  const wrong = { ...second, gold: second.gold === "A" ? "B" : "A" };
  const faults: [unknown, string][] = [
    [wrong, `:2: Field "trace": expected the verdict "${wrong.gold}", found "${second.gold}"`],
    [{ ...second, trace: "no verdict" }, `:2: Field "trace": expected the verdict`],
    [first, `:2: Expected one trace for each id and place, found a second of "${first.id}"`],
    [{ ...second, pass: 3 }, ':2: Field "pass": expected 1, 2 or null, found "3"'],
    [{ ...second, a: undefined }, ':2: Field "a": expected string, found nothing'],
  ];
  for (const [line, message] of faults) {
    await inFile(async (path) => {
      await writeFile(path, `${JSON.stringify(first)}\n${JSON.stringify(line)}\n`);
      await expect(readTraces(path)).rejects.toThrow(message);
    });
  }
  await inFile(async (path) => {
    await writeFile(path, "\n");
    await expect(readTraces(path)).rejects.toThrow("Expected at least one trace, found none");
  });
});
