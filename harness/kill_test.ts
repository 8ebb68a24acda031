import { expect } from "expect";
import { mkdtemp, readFile, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";

/** Runs RM-Bench with a model that takes a millisecond a judgement and notes each one that it is asked for. */
const PROGRAM = `
  import { appendFileSync } from "node:fs";
  const [harness, scripted, judges, data, directory, log] = Deno.args;
  const { rmBench, runBenchmark } = await import(harness);
  const { ScriptedEngine } = await import(scripted);
  const { RmR1Judge } = await import(judges);
  const engine = new ScriptedEngine((prompt) => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    appendFileSync(log, prompt.match(/question \\d+[^]*/)[0].replaceAll("\\n", " ") + "\\n");
    return prompt.length % 3 === 0 ? "nothing" : prompt.length % 3 === 1 ? "<answer>[[A]]</answer>" : "<answer>[[B]]</answer>";
  });
  const judge = new RmR1Judge(engine, { protocol: "compact", maxConcurrent: 4 });
  await runBenchmark(rmBench(), { data, judge, directory });
`;

async function journalSize(directory: string): Promise<number> {
  return (await stat(join(directory, "judgements.jsonl")).catch(() => ({ size: 0 }))).size;
}

/** @param killAfter bytes that the journal may grow before the run is killed */
async function run(data: string, directory: string, killAfter = Infinity): Promise<boolean> {
  const program = await Deno.makeTempFile({ suffix: ".ts" });
  await writeFile(program, PROGRAM);
  const modules = ["./mod.ts", "../ts/judge/scripted_engine.ts", "../ts/judge/mod.ts"];
  const urls = modules.map((path) => new URL(path, import.meta.url).href);
  const config = new URL("../deno.json", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-q",
      "-A",
      "--no-check",
      "--config",
      config,
      program,
      ...urls,
      data,
      directory,
      join(directory, "log"),
    ],
  }).spawn();
  const start = await journalSize(directory);
  let ended = false;
  const status = child.status.finally(() => ended = true);
  while (!ended && (await journalSize(directory)) - start < killAfter) await setTimeout(3);
  if (!ended) child.kill("SIGKILL");
  const { success } = await status;
  await Deno.remove(program);
  return success;
}

async function linesOf(path: string): Promise<string[]> {
  return (await readFile(path, "utf8").catch(() => "")).split("\n").filter((line) => line !== "");
}

Deno.test("a run killed at any moment ends with the same result and asks nothing twice that was answered", async () => {
  const data = await mkdtemp(join(tmpdir(), "rm-bench-"));
  const records = Array.from({ length: 30 }, (_, id) => ({
    id,
    prompt: `question ${id}`,
    chosen: [0, 1, 2].map((style) => `good ${"x".repeat((id * 5 + style) % 7)}${style}`),
    rejected: [0, 1, 2].map((style) => `bad ${"y".repeat((id * 3 + style) % 11)}${style}`),
  }));
  await writeFile(join(data, "chat_filtered.json"), JSON.stringify(records));
  const [whole, killed] = [await mkdtemp(join(tmpdir(), "run-")), await mkdtemp(join(tmpdir(), "run-"))];
  expect(await run(data, whole)).toBe(true);
  const total = (await linesOf(join(whole, "log"))).length;
  expect(total).toBe(30 * 18);

  let kills = 0;
  const size = await journalSize(whole);
  for (const part of [0, 0.01, 0.3, 0.05, 0.2, 0.15, Infinity]) {
    if (!(await run(data, killed, part * size))) kills++;
  }
  expect(kills).toBe(6);
  // A kill can fall between an answer and its line: one call a kill, the rest are made once.
  const asked = await linesOf(join(killed, "log"));
  expect(new Set(asked).size).toBe(total);
  expect(asked.length).toBeLessThanOrEqual(total + kills);
  const [one, two] = await Promise.all([whole, killed].map(async (path) => {
    const { seconds, unreadableLines, ...result } = JSON.parse(
      await readFile(join(path, "result.json"), "utf8"),
    );
    expect(seconds).toBeGreaterThan(0);
    expect(unreadableLines).toBeLessThanOrEqual(kills);
    return result;
  }));
  expect(two).toEqual(one);
});
