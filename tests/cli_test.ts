/** The command line as a user starts it: one process a call. */
import { expect } from "expect";
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { writeExampleRun } from "../ts/report/testing/example_run.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const TINY = "tests/fixtures/tiny-models/mha_tied_f32";

const LIBRARY = { windows: "rmr1_core.dll", darwin: "librmr1_core.dylib" }[Deno.build.os as string] ??
  "librmr1_core.so";
const notBuilt = !existsSync(process.env["RMR1_NATIVE_LIB"] || join(ROOT, "target", "release", LIBRARY));
if (notBuilt) {
  process.stderr.write(
    'SKIPPED: tests of commands with a model need the core; build it with "deno task setup"\n',
  );
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command with the permissions of a task. */
function rmr1(
  args: readonly string[],
  { set = "rmr1", env = {} as Record<string, string> } = {},
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [
      "run",
      "-q",
      "--no-prompt",
      `-P=${set}`,
      "ts/cli/main.ts",
      ...args,
    ], {
      cwd: ROOT,
      env: { ...process.env, NO_COLOR: "1", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => stdout += text);
    child.stderr.setEncoding("utf8").on("data", (text: string) => stderr += text);
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

function lastLine(text: string): unknown {
  expect(text.endsWith("\n")).toBe(true);
  return JSON.parse(text.trimEnd().split("\n").at(-1)!);
}

async function inTemporary(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "rmr1-cli-"));
  try {
    await body(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

Deno.test("help lists every command, and each command has its own", async () => {
  const { code, stdout } = await rmr1(["--help"]);
  expect(code).toBe(0);
  for (
    const command of [
      "train",
      "bench",
      "judge",
      "distill",
      "runs",
      "report",
      "fetch",
      "generate",
      "logprobs",
      "config",
      "data",
    ]
  ) {
    expect(stdout).toMatch(new RegExp(`^  ${command} `, "m"));
  }
  const helps = [
    "train",
    "bench rm-bench",
    "judge",
    "runs",
    "report",
    "fetch",
    "generate",
    "logprobs",
    "config check",
    "data gsm8k",
  ];
  for (const help of await Promise.all(helps.map((command) => rmr1([...command.split(" "), "--help"])))) {
    expect(help).toMatchObject({ code: 0, stderr: "", stdout: expect.stringContaining("--json") });
  }
});

Deno.test("a misspelt command or option is answered with the right one and exit code 2", async () => {
  const command = await rmr1(["trian"]);
  expect(command).toMatchObject({
    code: 2,
    stdout: "",
    stderr: expect.stringContaining("Did you mean `train`?"),
  });
  const option = await rmr1(["train", "--confg", "x", "--json"]);
  expect(option.code).toBe(2);
  expect(lastLine(option.stdout)).toEqual({ error: expect.stringContaining("`--config`") });
});

Deno.test("an expected error is one line without a stack, and RMR1_DEBUG adds the stack", async () => {
  const args = ["logprobs", "--model", "no-such-model", "--ids", "1", "--json"];
  const plain = await rmr1(args);
  expect(plain.code).toBe(1);
  expect(plain.stderr).toMatch(/^Error: No model "no-such-model", expected [^\n]*\n$/);
  expect(lastLine(plain.stdout)).toEqual({ error: plain.stderr.slice("Error: ".length, -1) });
  const debugged = await rmr1(args, { env: { RMR1_DEBUG: "1" } });
  expect(debugged.stderr).toContain("resolve.ts");
});

Deno.test("a misspelt key of a configuration is answered with the right one", () =>
  inTemporary(async (folder) => {
    const file = join(folder, "config.json");
    await writeFile(file, '{"sed": 3, "stage2": {"temprature": 1}}');
    const { code, stderr } = await rmr1(["train", "--config", file]);
    expect(code).toBe(1);
    expect(stderr).toContain(`${file}: unknown key "sed", did you mean "seed"?`);
    expect(stderr).toContain('did you mean "stage2.temperature"?');
    expect(existsSync(join(ROOT, "runs", "config"))).toBe(false);
  }));

Deno.test("the schema that is printed describes what is accepted", async () => {
  const { code, stdout } = await rmr1(["config", "schema", "--json"]);
  expect(code).toBe(0);
  expect(stdout.trimEnd().split("\n")).toHaveLength(1);
  expect(lastLine(stdout)).toMatchObject({ properties: { model: {}, stage1: {}, stage2: {} } });
});

Deno.test("with --json standard output is one JSON object, and the rest is on standard error", async () => {
  const args = ["judge", "--judge", "baseline:longest", "--prompt", "q", "--a", "short", "--b", "longer one"];
  const plain = await rmr1(args);
  expect(plain).toMatchObject({ code: 0, stdout: "Verdict: B\n" });
  const json = await rmr1([...args, "--json"]);
  expect(json.stdout.split("\n")).toHaveLength(2);
  expect(lastLine(json.stdout)).toMatchObject({ judge: "baseline:longest", verdict: "B", reason: null });
  expect(json.stderr).toContain("Verdict: B\n");
});

Deno.test("a pair comes from a file, and a file that holds none says what is wrong", () =>
  inTemporary(async (folder) => {
    const file = join(folder, "pair.json");
    const judge = (): Promise<Ended> =>
      rmr1(["judge", "--judge", "baseline:shortest", "--file", file, "--json"]);
    await writeFile(file, JSON.stringify({ prompt: "q", a: "1", b: "22" }));
    expect(lastLine((await judge()).stdout)).toMatchObject({ verdict: "A" });
    await writeFile(file, JSON.stringify({ prompt: "q", a: "1", c: "22" }));
    const wrong = await judge();
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining(`File "${file}" holds no pair`) });
    expect(wrong.stderr).toContain('"b"');
    await writeFile(file, '{"prompt": "q", "a"');
    expect(await judge()).toMatchObject({ code: 2 });
  }));

Deno.test("runs are listed, a damaged one beside them, with no permission but to read", () =>
  inTemporary(async (folder) => {
    const list = (): Promise<Ended> => rmr1(["runs", "--dir", folder, "--json"], { set: "runs" });
    expect(lastLine((await list()).stdout)).toEqual({ runs: [], damaged: [] });
    await writeExampleRun(join(folder, "whole"));
    await writeExampleRun(join(folder, "half"), { finished: false });
    await writeExampleRun(join(folder, "bad"), { inserted: "\u001b[31m" });
    await writeFile(join(folder, "bad", "ledger.jsonl"), "x\ny\n");
    const { code, stdout, stderr } = await list();
    expect(code).toBe(0);
    expect(lastLine(stdout)).toMatchObject({
      runs: [{ name: "half", state: "interrupted" }, {
        name: "whole",
        state: "finished",
        model: "embedded",
        judge: "reasrm",
        steps: { stage1: { done: 4, planned: 4 }, stage2: { done: 6, planned: 6 } },
        accuracy: { base: { value: 0.25 }, distilled: { value: 0.5 }, final: { value: 0.75 } },
      }],
      damaged: [{ name: "bad", error: expect.stringContaining("ledger.jsonl:1: ") }],
    });
    expect(stderr).toMatch(/^RUN +STATE/m);
    expect(stderr).toMatch(/^whole +finished +embedded +reasrm +4\/4 +6\/6 +25\.0 \[12\.5, 62\.5\]/m);
    const none = await rmr1(["runs", "--dir", join(folder, "none")], { set: "runs" });
    expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining("is not there") });
  }));

Deno.test("a page is written in the run's folder or where it is told, over an earlier one but over nothing else", () =>
  inTemporary(async (folder) => {
    const run = join(folder, "run");
    await writeExampleRun(run);
    const first = await rmr1(["report", run, "--json"]);
    expect(lastLine(first.stdout)).toMatchObject({ file: join(run, "report.html"), pairs: "found" });
    const page = await readFile(join(run, "report.html"), "utf8");
    expect(page).toContain("<title>Run run</title>");
    expect(await rmr1(["report", run])).toMatchObject({ code: 0 });
    const journal = join(run, "journal.jsonl");
    const before = await readFile(journal, "utf8");
    const other = await rmr1(["report", run, "--out", journal]);
    expect(other).toMatchObject({ code: 2, stderr: expect.stringContaining("is no report") });
    expect(await readFile(journal, "utf8")).toBe(before);
    const nowhere = await rmr1(["report", run, "--out", join(folder, "none", "x.html")]);
    expect(nowhere).toMatchObject({ code: 2, stderr: expect.stringContaining("is not there") });
    const outside = await rmr1(["report", run, "--out", join(folder, "x.html")], { set: "report" });
    expect(outside).toMatchObject({ code: 1, stderr: expect.stringContaining('"deno task rmr1"') });
    expect(existsSync(join(folder, "x.html"))).toBe(false);
    const missing = await rmr1(["report", "no-such-run"], { set: "report" });
    expect(missing.stderr).toBe(
      `Error: Folder "${join("runs", "no-such-run")}" is not there, expected the folder of a run\n`,
    );
    const compared = await rmr1(["report", run, "--compare", run, "--compare", join(folder, "none")]);
    expect(compared).toMatchObject({ code: 1, stderr: expect.stringContaining(join(folder, "none")) });
  }));

Deno.test("GSM8K pairs are written once, and a file that exists is left as it is", () =>
  inTemporary(async (folder) => {
    const [input, output] = [join(folder, "in.jsonl"), join(folder, "out.jsonl")];
    const problem = {
      question: "How many is 2 and 3?",
      ground_truth: "2 + 3 = <<2+3=5>>5\nA: 5",
      x: { is_correct: true, solution: "2 + 3 = <<2+3=5>>5\nA: 5" },
      y: { is_correct: false, solution: "2 + 3 = <<2+3=6>>6\nA: 6" },
    };
    await writeFile(input, `${JSON.stringify(problem)}\n`);
    const args = ["data", "gsm8k", "--input", input, "--output", output, "--json"];
    const parts = ["train", "validation", "test"];
    const first = await rmr1([...args, "--split", parts[0]!]);
    expect(first.code).toBe(0);
    const result = lastLine(first.stdout) as { readonly pairs: number };
    const written = await readFile(output, "utf8");
    expect(written.split("\n").length - 1).toBe(result.pairs);
    expect(await rmr1(args)).toMatchObject({ code: 2, stderr: expect.stringContaining("exists already") });
    expect(await readFile(output, "utf8")).toBe(written);
    await writeFile(input, `${JSON.stringify(problem)}\n{"question": "half a li`);
    const cut = await rmr1(["data", "gsm8k", "--input", input, "--output", join(folder, "other.jsonl")]);
    expect(cut).toMatchObject({ code: 1, stderr: expect.stringContaining(`${input}:2:`) });
    expect(existsSync(join(folder, "other.jsonl"))).toBe(false);
  }));

Deno.test("logprobs and generate agree on a model without a tokenizer", { ignore: notBuilt }, async () => {
  const generated = await rmr1(
    [
      "generate",
      "--model",
      TINY,
      "--ids",
      "1,2,3",
      "--max-tokens",
      "6",
      "--temperature",
      "0",
      "--ignore-eos",
      "--json",
    ],
  );
  expect(generated.code).toBe(0);
  const { tokens, text, logprobs } = lastLine(generated.stdout) as {
    readonly tokens: number[];
    readonly text: string;
    readonly logprobs: number[];
  };
  expect(tokens).toHaveLength(6);
  expect(text).toBe("");
  const ids = [1, 2, 3, ...tokens];
  const scored = await rmr1(["logprobs", "--model", TINY, "--ids", ids.join(","), "--json"]);
  const result = lastLine(scored.stdout) as { readonly ids: number[]; readonly logprobs: number[] };
  expect(result.ids).toEqual(ids);
  expect(result.logprobs.slice(2)).toEqual(logprobs);
});

Deno.test("commands that let a model write say what its keys and values took", {
  ignore: notBuilt,
}, () =>
  inTemporary(async (folder) => {
    const said = /^keys and values took [\d.]+ MB of at most [\d.]+ MB$/gm;
    const pair = ["--prompt", "q", "--a", "1", "--b", "22"];
    const model = ["--judge", "models/embedded-base", "--protocol", "compact", "--max-new-tokens", "4"];
    const data = join(folder, "data.json");
    const item = { id: "1", prompt: "q", chosen: ["a", "b", "c"], rejected: ["d", "e", "f"], domain: "chat" };
    await writeFile(data, JSON.stringify([item]));
    const commands = [
      ["generate", "--model", TINY, "--ids", "1", "--max-tokens", "2"],
      ["judge", ...model, ...pair],
      ["bench", "rm-bench", "--data", data, ...model, "--batch", "2", "--out", join(folder, "out")],
    ];
    for (const command of commands) {
      const { code, stderr } = await rmr1(command);
      expect({ command, code, said: stderr.match(said)?.length }).toEqual({ command, code: 0, said: 1 });
    }
    expect((await rmr1(["judge", "--judge", "baseline:longest", ...pair])).stderr).not.toMatch(said);
  }));

Deno.test("a model without a tokenizer asks for ids", { ignore: notBuilt }, async () => {
  const { code, stderr } = await rmr1(["logprobs", "--model", TINY, "--text", "hello"]);
  expect(code).toBe(2);
  expect(stderr).toContain("--ids");
});

Deno.test("a model that was not fetched says how to fetch it", () =>
  inTemporary(async (folder) => {
    const args = ["logprobs", "--model", "smollm2-135m", "--ids", "1"];
    const { code, stderr } = await rmr1(args, { env: { RMR1_CACHE: folder } });
    expect(code).toBe(1);
    expect(stderr).toContain("deno task fetch smollm2-135m");
  }));

Deno.test(
  "a task may write where it should and nowhere else",
  { ignore: notBuilt },
  () =>
    inTemporary(async (folder) => {
      const data = join(folder, "data.json");
      const item = {
        id: "1",
        prompt: "q",
        chosen: ["a", "b", "c"],
        rejected: ["d", "e", "f"],
        domain: "chat",
      };
      await writeFile(data, JSON.stringify([item]));
      const args = [
        "bench",
        "rm-bench",
        "--data",
        data,
        "--judge",
        "baseline:longest",
        "--out",
        join(folder, "out"),
      ];
      expect(await rmr1(args, { set: "bench" })).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('"deno task rmr1"'),
      });
      expect(existsSync(join(folder, "out"))).toBe(false);
      const allowed = await rmr1([...args, "--json"]);
      expect(allowed.code).toBe(0);
      expect(lastLine(allowed.stdout)).toMatchObject({ benchmark: "rm-bench", items: 1, judgements: 9 });
    }),
);

Deno.test(
  "an interruption ends the work cleanly with exit code 130",
  { ignore: notBuilt },
  () =>
    inTemporary(async (folder) => {
      const { CoreEngine } = await import("../ts/engine/core/core_engine.ts");
      const config = JSON.parse(await readFile(join(ROOT, TINY, "config.json"), "utf8"));
      const model = join(folder, "model");
      {
        // A context that takes minutes to fill.
        await using engine = await CoreEngine.init({ ...config, max_position_embeddings: 100_000 });
        await engine.save(model);
      }
      const args = [
        "generate",
        "--model",
        model,
        "--ids",
        "1",
        "--max-tokens",
        "99999",
        "--ignore-eos",
        "--json",
      ];
      // node:child_process takes exit code 130 for a death by the signal, so this is not `rmr1`.
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "-q", "--no-prompt", "-P=rmr1", "ts/cli/main.ts", ...args],
        cwd: ROOT,
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const [output, stderr] = [new Response(child.stdout).text(), child.stderr.getReader()];
      await stderr.read();
      child.kill("SIGINT");
      for (let end = false; !end; end = (await stderr.read()).done);
      expect(await child.status).toMatchObject({ code: 130, signal: null });
      expect(lastLine(await output)).toEqual({ error: "Interrupted" });
    }),
);

Deno.test("a task's own lines and the build's stay off standard output", { ignore: notBuilt }, () => {
  const { status, stdout } = spawnSync(
    process.execPath,
    ["task", "judge", "--judge", "baseline:longest", "--prompt", "q", "--a", "1", "--b", "22", "--json"],
    { cwd: ROOT, encoding: "utf8" },
  );
  expect(status).toBe(0);
  expect(stdout.split("\n")).toHaveLength(2);
  expect(lastLine(stdout)).toMatchObject({ verdict: "B" });
});
