import { expect } from "expect";
import { appendFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { InterruptedError, RunError, train } from "../train/mod.ts";
import { opener, smallConfig, withFolder } from "../train/testing/small_run.ts";
import { historyOf } from "./history.ts";
import { countLedger } from "./ledger.ts";
import { loadPairs } from "./pairs.ts";
import { readRun, readRuns } from "./read_run.ts";
import { summarise } from "./summary.ts";
import { writeExampleRun } from "./testing/example_run.ts";

Deno.test("what the trainer writes is read, interrupted and at its end", () =>
  withFolder(async (folder) => {
    const path = join(folder, "run");
    const config = smallConfig({ evaluation: { during: { every: 2, examples: 4 } } });
    const controller = new AbortController();
    const options = { runDirectory: path, openEngine: opener() };
    const interrupted = train(config, {
      ...options,
      signal: controller.signal,
      onProgress: (event) => {
        if (event.type === "step" && event.record.stage === 2 && event.record.step === 3) controller.abort();
      },
    });
    await expect(interrupted).rejects.toThrow(InterruptedError);
    const half = await readRun(path);
    expect(summarise(half, new Date())).toMatchObject({
      name: "run",
      state: "interrupted",
      steps: { stage1: { done: 6, planned: 6 }, stage2: { done: 3, planned: 6 } },
      accuracy: { final: null },
    });
    const result = await train(config, { ...options, resume: true });
    const run = await readRun(path);
    const summary = summarise(run, new Date());
    expect(summary).toMatchObject({ state: "finished", judge: "reasrm", steps: { stage2: { done: 6 } } });
    expect(summary.accuracy.final?.value).toBe(result.accuracy.final);
    expect(summary.seconds).toBeCloseTo(result.seconds, 6);
    const history = historyOf(run, new Date());
    expect(history.sessions.map(({ end }) => end)).toEqual(["interrupted", "finished"]);
    expect(history.stages.map(({ evaluations }) => evaluations.map(({ step }) => step))).toEqual([
      [2, 4, 6],
      [2, 4, 6],
    ]);
    expect(run.judgements.final).toHaveLength(6);
    const counted = countLedger(run.ledger, history);
    const without = countLedger(null, history);
    const unreadable = ({ what }: { what: string }): boolean => what !== "filtered";
    expect(counted.filter(unreadable).map(({ examples: _, ...rest }) => rest)).toEqual(
      without.filter(unreadable).map(({ examples: _, ...rest }) => rest),
    );
    const pairs = await loadPairs(run);
    expect(pairs.kind === "found" && [...pairs.records.keys()].sort()).toEqual(
      run.judgements.final!.map(({ id }) => id).sort(),
    );
  }));

Deno.test("a folder that is not there or holds no run is refused", () =>
  withFolder(async (folder) => {
    const missing = join(folder, "none");
    await expect(readRun(missing)).rejects.toThrow(
      new RunError(`Folder "${missing}" is not there, expected the folder of a run`),
    );
    await expect(readRun(folder)).rejects.toThrow(
      new RunError(`Folder "${folder}" holds no run of training: it has no config.json`),
    );
    await writeFile(join(folder, "config.json"), "{}");
    await expect(readRun(folder)).rejects.toThrow("it has no journal.jsonl");
    await expect(readRuns(missing)).rejects.toThrow(`Folder "${missing}" is not there`);
  }));

Deno.test("damage is named by file, line, field, value and what was expected", () =>
  withFolder(async (folder) => {
    await writeExampleRun(folder);
    const time = '"time":"2026-01-31T12:00:00Z","seconds":1';
    const cases = [
      ["journal.jsonl", "half a li\n{}\n", "Expected a JSON object"],
      ["journal.jsonl", "7\n", 'Expected a JSON object, found "7"'],
      ["journal.jsonl", `{"type":"step","stage":2,"step":"<b>",${time}}\n`, '"step": '],
      ["journal.jsonl", `{"type":"step","stage":3,"step":1,${time}}\n`, '"stage": '],
      ["journal.jsonl", '{"type":"finish","time":"<script>","seconds":1}\n', '"time": '],
      ["journal.jsonl", '{"type":"unheard of"}\n', '"time": '],
      ["ledger.jsonl", '{"stage":null,"step":null,"id":5,"what":"x","reason":"y"}\n', '"id": '],
      ["evaluations/final.jsonl", '{"id":"x","gold":"C"}\n', '"gold": '],
    ] as const;
    for (const [name, added, expected] of cases) {
      const file = join(folder, name);
      const before = await readFile(file, "utf8");
      await appendFile(file, added);
      const line = before.split("\n").length;
      const error = await readRun(folder).then(() => null, (error) => error);
      expect(error).toBeInstanceOf(RunError);
      expect(error.message).toContain(`${file}:${line}: `);
      expect(error.message).toContain(expected);
      expect(error.message).not.toMatch(/\.$/);
      await writeFile(file, before);
    }
    await readRun(folder);
    for (
      const [name, content] of [["config.json", "{"], ["config.json", "[]"], ["provenance.json", '{"x":1}']]
    ) {
      const file = join(folder, name!);
      const before = await readFile(file, "utf8");
      await writeFile(file, content!);
      await expect(readRun(folder)).rejects.toThrow(`${file}: `);
      await writeFile(file, before);
    }
  }));

Deno.test("a last line that is torn is left out", () =>
  withFolder(async (folder) => {
    await writeExampleRun(folder);
    const whole = await readRun(folder);
    await appendFile(join(folder, "journal.jsonl"), '{"type":"step","sta');
    await appendFile(join(folder, "ledger.jsonl"), "{");
    expect(await readRun(folder)).toEqual(whole);
  }));

Deno.test("runs are listed by name, a damaged one with its error, and other folders are passed over", () =>
  withFolder(async (folder) => {
    for (const name of ["b", "a", "damaged"]) await writeExampleRun(join(folder, name));
    await writeFile(join(folder, "damaged", "journal.jsonl"), "x\ny\n");
    await mkdir(join(folder, "model"));
    await writeFile(join(folder, "model", "config.json"), "{}");
    await writeFile(join(folder, "note.txt"), "");
    const found = await readRuns(folder);
    expect(found.map(({ name }) => name)).toEqual(["a", "b", "damaged"]);
    expect(found.map(({ run }) => run instanceof RunError)).toEqual([false, false, true]);
    expect((found[2]!.run as RunError).message).toContain(join(folder, "damaged", "journal.jsonl:1"));
    await rm(join(folder, "a"), { recursive: true });
    expect((await readRuns(folder)).map(({ name }) => name)).toEqual(["b", "damaged"]);
  }));
