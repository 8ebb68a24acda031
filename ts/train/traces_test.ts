import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "expect";
import { publishedForm } from "../cor/mod.ts";
import { generateTasks, place, type TraceRecord, writeJsonl } from "../data/mod.ts";
import { hashModel } from "../judge/mod.ts";
import { encodeTraces, placeTurns } from "./examples.ts";
import { readJournal } from "./journal.ts";
import { chooseStage1 } from "./stage1.ts";
import { opener, smallConfig, withFolder } from "./testing/small_run.ts";
import { TabularEngine } from "./testing/tabular_engine.ts";
import { tracesFromFile } from "./traces.ts";
import { train } from "./train.ts";

const tasks = generateTasks({ seed: 0, split: "train", count: 24 });

/** Traces of every other task, of alternating places, in words of their own. */
const traces: TraceRecord[] = tasks.filter((_, index) => index % 2 === 0).map((task, index) => {
  const { record: { id, conversation }, a, b, gold } = place(task, index % 2 === 0 ? "A" : "B");
  const trace = `I looked at ${id}.\n\n<answer>[[${gold}]]</answer>`;
  return { id, group: id, conversation, a, b, gold, trace, pass: 1, model: "oracle" };
});

Deno.test("stage 1 learns the file's traces in their places, and of no other record", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "traces.jsonl");
    const stranger = { ...traces[0]!, id: "of-no-record" };
    await writeJsonl(path, [...traces, stranger]);
    const source = await tracesFromFile(path);
    const engine = TabularEngine.fresh();
    const config = smallConfig({ stage1: { traces: path, examples: null } });
    const { records, leftOut } = await chooseStage1({ engine, config }, config.stage1!, tasks, source);
    expect(new Set(records.map(({ id }) => id))).toEqual(new Set(traces.map(({ id }) => id)));
    expect(leftOut).toEqual([{ id: "of-no-record", reason: "trace-of-no-training-record" }]);
    for (const epoch of [0, 1]) {
      const turns = records.map((_, index) => ({ index, epoch }));
      const pairs = placeTurns(records, turns, source);
      const examples = await encodeTraces(engine, publishedForm("compact"), pairs, source);
      const texts = await engine.decode(examples.map(({ target }) => target));
      for (const [at, { pair }] of examples.entries()) {
        const { a, b, gold, trace } = traces.find(({ id }) => id === pair.record.id)!;
        expect([pair.a, pair.b, pair.gold, texts[at]]).toEqual([a, b, gold, trace]);
      }
    }
  });
});

Deno.test("a trace of other texts than the record of its id is refused, and so is a file that is not there", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "traces.jsonl");
    await expect(tracesFromFile(path)).rejects.toThrow(`${path}: File not found`);
    for (const change of [{ a: "other" }, { b: "other" }, { conversation: tasks[1]!.conversation }]) {
      await writeJsonl(path, [{ ...traces[0]!, ...change }]);
      const source = await tracesFromFile(path);
      expect(() => source.sidesOf(tasks[0]!)).toThrow(
        `Expected the trace of record "${tasks[0]!.id}" to be of`,
      );
    }
  });
});

Deno.test("a run trains on a file of traces, again to the same weights, and is not gone on with after a change", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "traces.jsonl");
    await writeJsonl(path, traces);
    const config = smallConfig({
      stage1: { traces: path, examples: null, epochs: 1 },
      stage2: { steps: 1, records: "unseen" },
      evaluation: { examples: 2 },
    });
    const finals: string[] = [];
    for (const name of ["one", "two"]) {
      const runDirectory = join(folder, name);
      await train(config, { runDirectory, openEngine: opener() });
      finals.push(await hashModel(join(runDirectory, "final")));
      const steps = (await readJournal(join(runDirectory, "journal.jsonl"))).filter(({ type }) =>
        type === "step"
      );
      const idsOf = (stage: number): string[] =>
        steps.flatMap((record) => record.type === "step" && record.stage === stage ? record.ids : []);
      const known = new Set(traces.map(({ id }) => id));
      expect(new Set(idsOf(1))).toEqual(known);
      expect(idsOf(2).filter((id) => known.has(id))).toEqual([]);
    }
    expect(finals[1]).toBe(finals[0]);
    const interrupted = join(folder, "three");
    const controller = new AbortController();
    await train(config, {
      runDirectory: interrupted,
      openEngine: opener(),
      signal: controller.signal,
      onProgress: ({ type }) => type === "step" && controller.abort(new Error("stop")),
    }).catch(() => {});
    await writeFile(path, (await readFile(path, "utf8")).replace("I looked", "We looked"));
    await expect(train(config, { runDirectory: interrupted, resume: true, openEngine: opener() })).rejects
      .toThrow(
        "The traces of run",
      );
  });
});
