import { expect } from "expect";
import { mkdtemp, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { hashFraction } from "rm-r1/data";
import { EndpointJudge, RatingJudge } from "rm-r1/judge";
import { Endpoint, EndpointLostError, readJournal } from "../ts/endpoint/mod.ts";
import { OracleServer } from "../ts/endpoint/testing/oracle_server.ts";
import { PREFERENCES } from "./preferences/benchmark.ts";
import { rescore } from "./rescore.ts";
import type { BenchResult } from "./result.ts";
import { REWARDBENCH_2 } from "./rewardbench2/benchmark.ts";
import { runBenchmark } from "./run.ts";
import { readStoredRun } from "./stored_run.ts";
import { writePairs } from "./testing/preference_pairs.ts";
import { servedJudge, servedWriter } from "./testing/served_judge.ts";

function directory(): Promise<string> {
  return mkdtemp(join(tmpdir(), "run-"));
}

/** All but what differs between two runs that judge the same. */
function figures({ judge: _, seconds: __, unreadableLines: ___, ...result }: BenchResult): object {
  return result;
}

/** Journals of calls as they are on the disk while their process may still be killed. */
async function answered(run: string): Promise<Set<string>> {
  const text = await readFile(join(run, "calls.jsonl"), "utf8").catch(() => "");
  return new Set(
    text.split("\n").slice(0, -1).map((line) => JSON.parse(line)).filter(({ type }) => type === "answer")
      .map(({ key }) => key),
  );
}

Deno.test("a judge behind either API gives the same figures, with faults and without", async () => {
  const data = await writePairs(40);
  await using calm = await OracleServer.start();
  const expected = figures(
    await runBenchmark(PREFERENCES, { data, judge: servedJudge(calm.url), directory: await directory() }),
  );
  await using faulty = await OracleServer.start({ faults: 0.4, capacity: 4 });
  for (const api of ["openai", "anthropic"] as const) {
    const run = await directory();
    const judge = servedJudge(faulty.url, { api });
    const result = await runBenchmark(PREFERENCES, { data, judge, directory: run });
    expect({ ...figures(result), pairwise: null }).toEqual({ ...expected, pairwise: null });
    expect(figures(await rescore(run))).toMatchObject({ overall: result.overall });
  }
  expect(Object.keys((expected as BenchResult).failures)).toContain("no-answer");
});

Deno.test("killed 20 times, a run ends with the unbroken one's table and asks nothing again that was answered", async () => {
  const KILLS = 20;
  const data = await writePairs(70);
  await using calm = await OracleServer.start();
  const unbroken = await runBenchmark(PREFERENCES, {
    data,
    judge: servedJudge(calm.url),
    directory: await directory(),
  });
  let arrived: () => void = () => {};
  await using server = await OracleServer.start({ faults: 0.2, latency: 3, onCall: () => arrived() });
  const run = await directory();
  const child = fileURLToPath(new URL("./testing/endpoint_child.ts", import.meta.url));
  let [kills, again] = [0, 0];
  for (let session = 0; session <= KILLS; session++) {
    const known = await answered(run);
    const begun = server.calls.length;
    const life = 3 + Math.floor(3 * hashFraction(1, `calls${session}`));
    const process = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-check", "--allow-all", child, server.url, data, run],
      stdout: "null",
      stderr: "piped",
    }).spawn();
    arrived = (): void => {
      if (session === KILLS || server.calls.length !== begun + life) return;
      setTimeout(() => process.kill("SIGKILL"), 12 * hashFraction(1, `delay${session}`));
    };
    const [errors, { signal, success }] = await Promise.all([
      new Response(process.stderr).text(),
      process.status,
    ]);
    if (signal === "SIGKILL") kills++;
    else if (!success) throw new Error(`The run failed: ${errors}`);
    again += server.calls.slice(begun).filter(({ key }) => known.has(key)).length;
  }
  expect(kills).toBe(KILLS);
  expect(again).toBe(0);
  const { result } = await readStoredRun(run);
  expect({ ...figures(result), pairwise: null }).toEqual({ ...figures(unbroken), pairwise: null });
});

Deno.test("a budget ends a run before it is passed; what was answered stays and the run goes on", async () => {
  const data = await writePairs(20);
  await using server = await OracleServer.start();
  const run = await directory();
  const begin = (calls: number): Promise<BenchResult> =>
    runBenchmark(PREFERENCES, {
      data,
      judge: servedJudge(server.url, { budget: { calls }, prices: { input: 1, output: 2 } }),
      directory: run,
    });
  await expect(begin(15)).rejects.toThrow("25 of 40 calls have no answer");
  expect(server.calls).toHaveLength(15);
  await expect(begin(15)).rejects.toThrow("The budget has no room for a further call");
  expect(server.calls).toHaveLength(15);
  const result = await begin(40);
  expect(server.calls).toHaveLength(40);
  expect(result.judgements).toBe(40);
  expect((await readJournal(join(run, "calls.jsonl"))).spent[1].calls).toBe(40);
});

Deno.test("an estimate is told before the first call, and a signal then keeps all of them back", async () => {
  const data = await writePairs(10);
  await using server = await OracleServer.start();
  const ending = new AbortController();
  const judge = servedJudge(server.url, {
    prices: { input: 1, output: 2 },
    onEstimate: ({ calls, expected, most }) => {
      expect(calls).toBe(20);
      expect(expected.calls).toBe(20);
      expect(most.tokens).toBeGreaterThan(expected.tokens);
      expect(most.cost).toBeGreaterThan(20 * 400 * 2 / 1e6);
      ending.abort(new Error("Only an estimate"));
    },
  });
  const run = runBenchmark(PREFERENCES, { data, judge, directory: await directory(), signal: ending.signal });
  await expect(run).rejects.toThrow("Only an estimate");
  expect(server.calls).toHaveLength(0);
});

/** A server that refuses questions by their words, as a filter of contents does. */
async function withFilter<T>(refused: RegExp, use: (url: string) => Promise<T>): Promise<T> {
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    if (refused.test(body)) {
      response.writeHead(400, { "content-type": "application/json" });
      response.end(JSON.stringify({ error: { message: "filtered" } }));
      return;
    }
    const message = { role: "assistant", content: "<answer>[[A]]</answer>" };
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ model: "m", choices: [{ index: 0, message, finish_reason: "stop" }] }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

Deno.test("calls that a server refuses give no figure, or are counted by reason where that is asked for", async () => {
  const data = await writePairs(12);
  await withFilter(/follows [37]\?/, async (url) => {
    const run = await directory();
    const options = { data, directory: run };
    await expect(runBenchmark(PREFERENCES, { ...options, judge: servedJudge(url) })).rejects.toThrow(
      'the first with "The server answers with status 400: filtered"',
    );
    const result = await runBenchmark(PREFERENCES, {
      ...options,
      judge: servedJudge(url),
      countUnanswered: true,
    });
    expect(result.failures).toEqual({ unanswered: 4 });
    expect(result.overall).toBe(10 / 24);
    expect(result.treatments.excluded!.score).toBe(0.5);
    const { answers } = await readStoredRun(run);
    if (answers.kind !== "pairs") throw new Error("Expected pairs");
    const reasons = answers.judged.flatMap(({ pairs }) => pairs.flat()).filter(({ judgement }) =>
      judgement.outcome.kind === "none"
    );
    expect(reasons).toHaveLength(4);
  });
});

Deno.test("a key that is wrong ends a run at once, and names no key", async () => {
  await using server = await OracleServer.start();
  const judge = servedJudge(server.url, { endpoint: new Endpoint({ url: server.url, key: "sk-secret" }) });
  const run = runBenchmark(PREFERENCES, { data: await writePairs(4), judge, directory: await directory() });
  const error = await run.then(() => null, (reason: unknown) => reason as Error);
  expect(error).toBeInstanceOf(EndpointLostError);
  expect(error!.message).toContain("the key is missing or wrong");
  expect(error!.message).not.toContain("sk-secret");
});

Deno.test("RewardBench's words and rule are another judge than ours", async () => {
  const seen: string[] = [];
  await using server = await OracleServer.start({
    say: (messages) => {
      seen.push(messages.map(({ role, content }) => `${role}: ${content}`).join("\n"));
      return { text: "Assistant A is better, B less so: [[A]], not [[B]]", cut: false };
    },
  });
  const data = await writePairs(3);
  const judge = servedJudge(server.url, { protocol: "rewardbench" });
  const result = await runBenchmark(PREFERENCES, { data, judge, directory: await directory() });
  expect(result.parsed.rate).toBe(1);
  expect(result.overall).toBe(0.5);
  expect(seen[0]).toMatch(
    /^system: Please act as an impartial judge .* "\[\[B\]\]" if assistant B is better\.\n/,
  );
  expect(seen[0]).toMatch(/\[User Question\]\nWhich number .*\n\n\[The Start of Assistant A's Answer\]\n/);
  const strict = new EndpointJudge(servedWriter(server.url), {
    name: "strict",
    protocol: "rewardbench",
    verdicts: "strict",
  });
  expect(strict.identity).not.toBe(judge.identity);
  const read = await runBenchmark(PREFERENCES, { data, judge: strict, directory: await directory() });
  expect(read.parsed.rate).toBe(0);
});

Deno.test("a judge that rates is scored on RewardBench 2, Ties in their own words", async () => {
  const folder = await directory();
  const records = [
    { id: "1", prompt: "p1", chosen: ["r8"], rejected: ["r7", "r3", "r2"], num_correct: 1, subset: "Math" },
    { id: "2", prompt: "p2", chosen: ["r8"], rejected: ["r8", "r3", "r2"], num_correct: 1, subset: "Math" },
    { id: "3", prompt: "p3", chosen: ["r4"], rejected: ["r9", "r3", "r2"], num_correct: 1, subset: "Focus" },
    { id: "ref:4", prompt: "p4", chosen: ["r10"], rejected: ["r1"], num_correct: 1, subset: "Ties" },
    { id: "tied:4", prompt: "p5", chosen: ["r9", "r8"], rejected: ["r3"], num_correct: 2, subset: "Ties" },
    {
      id: "6",
      prompt: "p6",
      chosen: ["r11"],
      rejected: ["r3", "r2", "r1"],
      num_correct: 1,
      subset: "Safety",
    },
  ];
  const data = join(folder, "test.jsonl");
  await Deno.writeTextFile(data, records.map((record) => `${JSON.stringify(record)}\n`).join(""));
  const asked: string[] = [];
  await using server = await OracleServer.start({
    say: (messages) => {
      const { content } = messages.at(-1)!;
      asked.push(content);
      return { text: `It is a fair answer.\n\n${/\[Response\]\nr(\d+)/.exec(content)![1]} `, cut: false };
    },
  });
  const judge = new RatingJudge(servedWriter(server.url), { name: "rater" });
  const result = await runBenchmark(REWARDBENCH_2, { data, judge, directory: join(folder, "run") });
  const { Math: math, Focus: focus, Ties: ties, Safety: safety } = result.subsets;
  expect([math!.score, focus!.score, safety!.score]).toEqual([0.75, 0, 0]);
  expect(ties!.score).toBeGreaterThan(0.9);
  expect(result.failures).toEqual({ "no-rating": 3 });
  expect(asked.filter((text) => text.includes("need not consider depth"))).toHaveLength(5);
  // Equal answers to one question are asked about once.
  expect(asked.length).toBe(20);
});
