/** `distill` as a user starts it, against a real server on this machine. */
import { expect } from "expect";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { generateTasks, readTraces, writeJsonl } from "../ts/data/mod.ts";
import { KEY, OracleServer } from "../ts/endpoint/testing/oracle_server.ts";
import { withPairs } from "../ts/distill/testing/small_distillation.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const LIBRARY = { windows: "rmr1_core.dll", darwin: "librmr1_core.dylib" }[Deno.build.os as string] ??
  "librmr1_core.so";
const notBuilt = !existsSync(process.env["RMR1_NATIVE_LIB"] || join(ROOT, "target", "release", LIBRARY));
if (notBuilt) {
  process.stderr.write(
    'SKIPPED: tests of self-distillation need the core; build it with "deno task setup"\n',
  );
}

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Running {
  readonly ended: Promise<Ended>;
  interrupt(): void;
}

function start(
  args: readonly string[],
  { set = "distill", env = {} }: { readonly set?: string; readonly env?: Record<string, string> } = {},
): Running {
  const { OPENAI_API_KEY: _, ANTHROPIC_API_KEY: __, ...rest } = Deno.env.toObject();
  // Of node:child_process exit code 130 reads as a death by the signal.
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-prompt", `-P=${set}`, "ts/cli/main.ts", ...args],
    cwd: ROOT,
    clearEnv: true,
    env: { ...rest, NO_COLOR: "1", ...env },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  return {
    ended: Promise.all([child.status, new Response(child.stdout).text(), new Response(child.stderr).text()])
      .then(([{ code }, stdout, stderr]) => ({ code, stdout, stderr })),
    interrupt: () => child.kill("SIGINT"),
  };
}

const env = { OPENAI_API_KEY: KEY, ANTHROPIC_API_KEY: KEY, OTHER_KEY: "sk-other" };

Deno.test("each bad input gets its error, and nothing is sent or written", async () => {
  await using server = await OracleServer.start();
  await withPairs(3, async (folder, data) => {
    const bad = join(folder, "bad.jsonl");
    await writeFile(
      bad,
      '{"prompt":"Q","chosen":"a","rejected":"b"}\n{"prompt":"Q","chosen":1,"rejected":"b"}\n',
    );
    const out = join(folder, "out.jsonl");
    const url = ["--oracle", server.url];
    const model = ["--model", "oracle-small"];
    const given = ["--data", data, "--out", out];
    const cases: [number, RegExp, string[]][] = [
      [1, /no\.jsonl: File not found/, [...url, ...model, "--data", join(folder, "no.jsonl"), "--out", out]],
      [1, /bad\.jsonl:2: Field "chosen": expected string, found "1"/, [
        ...url,
        ...model,
        "--data",
        bad,
        "--out",
        out,
      ]],
      [1, /no such address or model \(status 404: The model "gpt" does not exist/, [
        ...url,
        "--model",
        "gpt",
        ...given,
      ]],
      [1, /the key is missing or wrong \(status 401/, [...url, ...model, "--key-env", "OTHER_KEY", ...given]],
      [2, /`--input-price`: Expected a value greater than or equal to 0, but got "-1"/, [
        ...url,
        ...model,
        ...given,
        "--input-price=-1",
      ]],
      [2, /Name the oracle's model by --model/, [...url, ...given]],
      [2, /A --budget needs prices/, [...url, ...model, ...given, "--budget", "1"]],
      [2, /Give both --input-price and --output-price, or neither/, [
        ...url,
        ...model,
        ...given,
        "--input-price",
        "1",
      ]],
      [2, /Environment variable "NOT_SET" is not set/, [...url, ...model, ...given, "--key-env", "NOT_SET"]],
      [2, /The oracle is "hm", expected a URL/, ["--oracle", "hm", ...given]],
      [2, /Option --budget is for a server's URL, not for "data"/, [
        "--oracle",
        "data",
        ...given,
        "--budget",
        "1",
      ]],
      [1, /held\.jsonl: File not found/, [
        ...url,
        ...model,
        ...given,
        "--held-out",
        join(folder, "held.jsonl"),
      ]],
      [1, /File ".*pairs\.jsonl" exists already/, [...url, ...model, "--data", data, "--out", data]],
    ];
    const before = await readFile(data, "utf8");
    // Two at a time: each is a process of its own.
    for (let at = 0; at < cases.length; at += 2) {
      await Promise.all(
        cases.slice(at, at + 2).map(async ([code, message, args], index) => {
          const own = args.map((arg) => arg === out ? `${out}${at + index}` : arg);
          const ended = await start(["distill", ...own], { env }).ended;
          expect([args, ended.code, ended.stderr]).toEqual([args, code, expect.stringMatching(message)]);
          expect(existsSync(`${out}${at + index}`)).toBe(false);
        }),
      );
    }
    expect(await readFile(data, "utf8")).toBe(before);
    expect(server.calls).toEqual([]);
  });
});

Deno.test("a run tells what it will take and what came of it, is interrupted cleanly, and is gone on with", async () => {
  let arrived: () => void = () => {};
  await using server = await OracleServer.start({ latency: 60, onCall: () => arrived() });
  await withPairs(40, async (folder, data) => {
    const out = join(folder, "traces.jsonl");
    const args = [
      ...["distill", "--oracle", server.url, "--model", "oracle-small", "--model2", "oracle-large"],
      ...["--data", data, "--out", out, "--max-new-tokens", "400", "--json"],
      ...["--input-price", "2", "--output-price", "8", "--input-price2", "4", "--output-price2", "16"],
      ...["--budget", "50"],
    ];
    const dry = await start([...args, "--dry-run"], { env }).ended;
    expect(dry.code).toBe(0);
    expect(dry.stderr).toMatch(/about 50 calls, .*, costing 0\.\d+\nat most 80 calls/);
    expect(server.calls).toEqual([]);
    expect(existsSync(`${out}.journal.jsonl`)).toBe(false);

    const run = start(args, { env });
    arrived = (): void => {
      if (server.calls.length === 6) run.interrupt();
    };
    const interrupted = await run.ended;
    expect([interrupted.code, interrupted.stderr]).toEqual([
      130,
      expect.stringMatching(/Stopped; what was answered is in ".*journal\.jsonl"; the same command goes on/),
    ]);
    expect(existsSync(out)).toBe(false);

    const whole = await start(args, { env }).ended;
    expect([whole.code, whole.stderr]).toEqual([
      0,
      expect.stringContaining("calls are answered by the journal"),
    ]);
    const result = JSON.parse(whole.stdout.trimEnd().split("\n").at(-1)!);
    expect((await readTraces(out)).length).toBe(result.statistics.kept);
    expect(JSON.parse(await readFile(`${out}.report.json`, "utf8"))).toEqual(result);
    expect(new Set(server.calls.map(({ key }) => key)).size).toBe(server.calls.length);
    expect(result.spent.calls).toBe(server.calls.length);
    for (const text of [dry, interrupted, whole].flatMap(({ stdout, stderr }) => [stdout, stderr])) {
      expect(text).not.toContain(KEY);
    }
  });
});

Deno.test({
  name: "a local model distils itself, traces come from the data, and training reads both",
  ignore: notBuilt,
  fn: async () => {
    await withPairs(1, async (folder) => {
      const data = join(folder, "tasks.jsonl");
      await writeJsonl(data, generateTasks({ seed: 4, split: "train", count: 24 }));
      const [made, own] = [join(folder, "made.jsonl"), join(folder, "own.jsonl")];
      const common = ["distill", "--data", data];
      const fromData = await start([...common, "--oracle", "data", "--out", made]).ended;
      expect([fromData.code, (await readTraces(made)).length]).toEqual([0, 24]);
      const fromModel = await start([
        ...[...common, "--oracle", "self:embedded", "--out", own, "--protocol", "compact"],
        ...["--limit", "8", "--samples", "3", "--max-new-tokens", "160", "--threads", "1"],
      ]).ended;
      expect([fromModel.code, fromModel.stderr]).toEqual([0, expect.stringContaining("M parameters")]);
      const sampled = await readTraces(own);
      expect(sampled.length).toBeGreaterThan(0);
      const config = join(folder, "config.json");
      await writeFile(
        config,
        JSON.stringify({
          threads: 1,
          data: { kind: "jsonl", path: data, holdout: 0.2 },
          stage1: { traces: made, batchExamples: 8, maxTokens: 1024 },
          stage2: null,
          evaluation: { examples: 2, maxNewTokens: 16, at: ["final"] },
        }),
      );
      const run = join(folder, "run");
      const trained = await start(["train", "--config", config, "--run-dir", run, "--json"], { set: "rmr1" })
        .ended;
      expect([trained.code, trained.stderr]).toEqual([0, expect.stringContaining("stage 1")]);
      expect(JSON.parse(trained.stdout.trimEnd().split("\n").at(-1)!).steps.stage1).toBeGreaterThan(1);
    });
  },
});
