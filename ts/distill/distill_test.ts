import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "expect";
import { readTraces } from "../data/mod.ts";
import { BETTER, KEY, OracleServer } from "../endpoint/testing/oracle_server.ts";
import { readJournal } from "../endpoint/mod.ts";
import { runSmall, withPairs } from "./testing/small_distillation.ts";

for (const api of ["openai", "anthropic"] as const) {
  Deno.test(`traces of both passes are kept, through faults of all kinds, by the API "${api}"`, async () => {
    await using sound = await OracleServer.start();
    await using faulty = await OracleServer.start({ faults: 0.5, capacity: 12 });
    await withPairs(60, async (folder, data) => {
      const [one, other] = [join(folder, "one.jsonl"), join(folder, "other.jsonl")];
      const clean = await runSmall({ url: sound.url, api, data, out: one });
      const result = await runSmall({ url: faulty.url, api, data, out: other });
      expect(await readFile(other, "utf8")).toBe(await readFile(one, "utf8"));
      expect(result.statistics).toEqual(clean.statistics);
      expect(result.complete).toBe(true);
      expect(new Set(faulty.calls.map(({ fault }) => fault)).size).toBeGreaterThan(8);
      expect(faulty.mostAtOnce).toBeGreaterThan(1);
      expect(new Set(sound.calls.map(({ key }) => key)).size).toBe(sound.calls.length);

      const traces = await readTraces(other);
      const { statistics } = result;
      expect(traces.length).toBe(statistics.kept);
      expect(traces.filter(({ gold }) => gold === "A").length).toBe(statistics.sides.A);
      for (const { a, b, gold, trace, pass, model } of traces) {
        expect((gold === "A" ? a : b).includes(BETTER)).toBe(true);
        expect(model).toBe(pass === 1 ? "oracle-small" : "oracle-large");
        expect(trace).not.toContain("correct verdict");
      }
      const { "pass 1": first = {}, "pass 2": second = {} } = statistics.passes;
      const total = (counts: Readonly<Record<string, number>>): number =>
        Object.values(counts).reduce((sum, count) => sum + count, 0);
      expect(total(first)).toBe(60);
      expect(total(second)).toBe(first["wrong-verdict"]);
      expect(Object.keys(second)).toContain("hint-leak");
      expect(Object.keys(first).sort()).toEqual(["cut", "kept", "unreadable: no-answer", "wrong-verdict"]);
      expect(statistics.quotes.missing).toBe(statistics.tracesWithMissingQuotes);
      expect(statistics.quotes.missing).toBeGreaterThan(0);
    });
  });
}

Deno.test("the key is sent and nowhere else: not in the journal, the traces, the report or an error", async () => {
  await using server = await OracleServer.start({ faults: 0.3 });
  await withPairs(8, async (folder, data) => {
    await runSmall({ url: server.url, data, out: join(folder, "traces.jsonl") });
    const wrong = "sk-wrong-0987654321";
    const error = await runSmall({ url: server.url, data, out: join(folder, "no.jsonl"), key: wrong }).catch((
      e,
    ) => e);
    expect(error.message).toContain("status 401");
    expect(error.message).toContain("[key]");
    const files = await readdir(folder);
    expect(files.length).toBeGreaterThan(4);
    for (const file of files) {
      const text = await readFile(join(folder, file), "utf8");
      for (const key of [KEY, wrong]) expect(text.includes(key)).toBe(false);
    }
    expect(`${error.stack}${error.cause?.stack}`.includes(wrong)).toBe(false);
  });
});

Deno.test("places alternate strictly in the order of the run, and a higher limit keeps what was paid for", async () => {
  await using server = await OracleServer.start();
  await withPairs(30, async (folder, data) => {
    const out = join(folder, "traces.jsonl");
    let golds: string[] = [];
    await runSmall({ url: server.url, data, out, limit: 11 }, {
      onChosen: ({ pairs }) => golds = pairs.map(({ gold }) => gold),
    });
    expect(golds).toEqual(Array.from({ length: 11 }, (_, index) => index % 2 === 0 ? "A" : "B"));
    const before = server.calls.map(({ key }) => key);
    const first = await readTraces(out);
    await runSmall({ url: server.url, data, out, limit: 30 });
    const again = server.calls.slice(before.length).map(({ key }) => key);
    expect(again.filter((key) => before.includes(key))).toEqual([]);
    expect((await readTraces(out)).slice(0, first.length)).toEqual(first);
    const calls = server.calls.length;
    await runSmall({ url: server.url, data, out });
    expect(server.calls.length).toBe(calls);
  });
});

Deno.test("an interruption waits for the calls under way, and the next run makes none of them again", async () => {
  const controller = new AbortController();
  await using server = await OracleServer.start({
    latency: 20,
    onCall: () => server.calls.length === 9 && controller.abort(new Error("Interrupted")),
  });
  await withPairs(40, async (folder, data) => {
    const out = join(folder, "traces.jsonl");
    const run = runSmall({ url: server.url, data, out }, { signal: controller.signal });
    await expect(run).rejects.toThrow("Interrupted");
    const { answers, open } = await readJournal(`${out}.journal.jsonl`);
    expect([answers.size, open]).toEqual([server.calls.length, 0]);
    expect(await readdir(folder)).not.toContain("traces.jsonl");
    await runSmall({ url: server.url, data, out });
    expect(new Set(server.calls.map(({ key }) => key)).size).toBe(server.calls.length);
  });
});

Deno.test("an oracle that answers nothing is left soon, and calls that were given up are asked again", async () => {
  await using broken = await OracleServer.start({ faults: 1, kinds: ["error-500"] });
  await using server = await OracleServer.start();
  await withPairs(60, async (folder, data) => {
    const out = join(folder, "traces.jsonl");
    await expect(runSmall({ url: broken.url, data, out, retries: 2 })).rejects.toThrow(
      /answered none of the last 10 questions: .*status 500/,
    );
    expect(broken.calls.length).toBeLessThan(3 * 16);
    expect((await readJournal(`${out}.journal.jsonl`)).answers.size).toBe(0);
    const result = await runSmall({ url: server.url, data, out });
    expect(result.complete).toBe(true);
  });
});

Deno.test("a file that is there is not replaced where no journal says that it is this run's", async () => {
  await using server = await OracleServer.start();
  await withPairs(4, async (_, data) => {
    const before = await readFile(data, "utf8");
    await expect(runSmall({ url: server.url, data, out: data })).rejects.toThrow(
      `File "${data}" exists already`,
    );
    expect(await readFile(data, "utf8")).toBe(before);
    expect(server.calls).toEqual([]);
  });
});
