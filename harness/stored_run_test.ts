import { expect } from "expect";
import { appendFile, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Baseline } from "rm-r1/judge";
import { ScriptedEngine } from "../ts/judge/scripted_engine.ts";
import { formatResult } from "./report.ts";
import { rescore } from "./rescore.ts";
import { rmBench } from "./rm_bench/benchmark.ts";
import { runBenchmark } from "./run.ts";
import { labelKey, readStoredRun, StoredRunError } from "./stored_run.ts";
import { answer, judgeOf, writeData } from "./testing/scripted_rm_bench.ts";

const SIZES = { "chat": 5, "code": 8 };

function directory(): Promise<string> {
  return mkdtemp(join(tmpdir(), "run-"));
}

/** All that judgements decide, without the time that it took. */
function figures(result: object): object {
  return { ...result, seconds: 0, verdictRule: null };
}

Deno.test("a run that is read back says what was judged and written", async () => {
  const [data, run] = [await writeData(SIZES), await directory()];
  const result = await runBenchmark(rmBench(), { data, judge: judgeOf(), directory: run, limit: 7, seed: 3 });
  const stored = await readStoredRun(run, { texts: true });
  expect(stored.result).toEqual(result);
  expect(stored.items).toHaveLength(7);
  if (stored.answers.kind !== "pairs") throw new Error("Expected pairs");
  const orders = stored.answers.judged.flatMap(({ item, pairs }) =>
    pairs.flatMap((placed, pair) => placed.map((order) => ({ item: item.key, pair, ...order })))
  );
  expect(orders).toHaveLength(7 * 9 * 2);
  for (const { item, pair, gold, judgement } of orders) {
    const text = stored.texts.get(labelKey({ item, pair, gold, sample: 0 }))!;
    const written = /\[\[([AB])\]\]/.exec(text)?.[1];
    expect(judgement.outcome.kind).toBe(written ?? "unparsable");
  }
});

Deno.test("rescoring by the same rule gives the run's figures, by another rule its own", async () => {
  const [data, run] = [await writeData(SIZES), await directory()];
  const bare = judgeOf(new ScriptedEngine((prompt) => answer(prompt).replaceAll(/<\/?answer>/g, "")));
  const result = await runBenchmark(rmBench("released"), { data, judge: bare, directory: run });
  expect(result.parsed.rate).toBe(0);
  const before = await readFile(join(run, "judgements.jsonl"), "utf8");
  expect(figures(await rescore(run))).toEqual(figures(result));
  const reread = await rescore(run, { rule: "upstream-eval" });
  expect(reread.parsed.rate).toBeGreaterThan(0.5);
  expect(reread.rule).toBe("released");
  const proper = await runBenchmark(rmBench("released"), {
    data,
    judge: judgeOf(),
    directory: await directory(),
  });
  expect(reread.overall).toBe(proper.overall);
  expect(formatResult(rmBench("released"), reread)).toContain('read by the rule "upstream-eval"');
  expect(await readFile(join(run, "judgements.jsonl"), "utf8")).toBe(before);
});

Deno.test("a scorer's run is read back, and has no verdicts to read anew", async () => {
  const [data, run] = [await writeData(SIZES), await directory()];
  const result = await runBenchmark(rmBench(), { data, judge: Baseline.longest(), directory: run });
  const stored = await readStoredRun(run);
  expect(stored.answers.kind).toBe("scores");
  expect(stored.result).toEqual(result);
  await expect(rescore(run)).rejects.toThrow("has scores, expected judgements with texts");
});

Deno.test("what is no finished run of these data is refused by name", async () => {
  const [data, run] = [await writeData(SIZES), await directory()];
  await expect(readStoredRun(run)).rejects.toThrow(`No run in "${run}"`);
  await writeFile(join(run, "judgements.jsonl"), "");
  await expect(readStoredRun(run)).rejects.toThrow("was broken off");
  await writeFile(join(run, "result.json"), '{"benchmark":"glue"}');
  await expect(readStoredRun(run)).rejects.toThrow('has benchmark "glue", expected one of "rewardbench"');
  const judged = await directory();
  await runBenchmark(rmBench(), { data, judge: judgeOf(), directory: judged });
  await appendFile(join(data, "chat_filtered.json"), " ");
  await expect(readStoredRun(judged)).rejects.toThrow(/File "chat_filtered.json" .* has SHA-256/);
  const other = await directory();
  await runBenchmark(rmBench(), { data, judge: judgeOf(), directory: other });
  const lines = (await readFile(join(other, "judgements.jsonl"), "utf8")).trimEnd().split("\n");
  await writeFile(join(other, "judgements.jsonl"), lines.slice(0, -1).join("\n"));
  await expect(readStoredRun(other)).rejects.toThrow(StoredRunError);
  await expect(readStoredRun(other)).rejects.toThrow("has no answer to");
});
