/**
 * Decoding in WebAssembly beside llama.cpp, each on one thread and then on every processor: SmolLM2-135M-Instruct in
 * Q4_1, greedy, one sequence. Ours and wllama, which is llama.cpp in WebAssembly, take turns in one page of Chromium;
 * llama.cpp itself, where the peers' environment has it, and our native core take turns beside them.
 *
 * `--repetitions N`, `--json`, `--write-docs`.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Page } from "puppeteer-core";
import { findChromium, ISOLATION, openChromium } from "../harness/testing/chromium.ts";
import { installPackage } from "../tools/installed_package.ts";
import { CoreReference, type Engine, flatForest } from "../ts/engine/mod.ts";
import { resolveModel } from "../ts/models/mod.ts";
import { thisMachine } from "./machine.ts";
import { peersPython } from "./peers/environment.ts";

const WLLAMA = "@wllama/wllama@3.13.0";
const TOKENS = 128;
const PROMPT = "The history of the city begins with";
const THEIRS = "wllama 3.13.0 (llama.cpp in WebAssembly)";
const LLAMA = "llama.cpp (llama-cpp-python 0.3.36), native";
const DOCUMENT = "docs/results/runtimes.md";

type Precision = "f32" | "int8";
const PRECISIONS: readonly Precision[] = ["f32", "int8"];

/** Tokens a second of a repetition. */
type Side = () => Promise<number>;

const PAGE = `
import { CoreReference, modelFromUrl, openWasmDoor } from "rm-r1/engine";
import { Wllama } from "@wllama/wllama";
const prompt = ${JSON.stringify(PROMPT)};
const rate = (times) => 1000 * (times.length - 1) / (times.at(-1) - times[0]);
const engines = {};
globalThis.openOurs = async (url, precision, threads) => {
  const door = await openWasmDoor({ threads });
  const engine = await CoreReference.open(modelFromUrl(url), { precision, door });
  engines[precision + threads] = engine;
  return engine.info.backend;
};
globalThis.ours = async (precision, threads) => {
  const engine = engines[precision + threads];
  const [tokens] = await engine.encode([prompt]);
  const request = { prompt: tokens, maxTokens: ${TOKENS}, temperature: 0, ignoreEos: true,
    key: { seed: 0, step: 0, prompt: 0, rollout: 0 } };
  const times = [];
  for await (const { type } of engine.generate([request], { stream: true })) {
    if (type === "token") times.push(performance.now());
  }
  return rate(times);
};
const wllamas = {};
globalThis.openWllama = async (url, threads) => {
  const wllama = wllamas[threads] = new Wllama({ default: "/wllama.wasm" }, { suppressNativeLog: true });
  await wllama.loadModel([await (await fetch(url)).blob()], { n_threads: threads, n_ctx: 512, n_gpu_layers: 0 });
  return wllama.getNumThreads();
};
globalThis.theirs = async (threads) => {
  const times = [];
  await wllamas[threads].createCompletion({ prompt, max_tokens: ${TOKENS}, temperature: 0, ignore_eos: true, stream: true,
    onData: () => times.push(performance.now()) });
  // A chunk is a token; one that ends inside a character waits for the next.
  if (times.length < 0.9 * ${TOKENS}) throw new Error("wllama gave " + times.length + " chunks, expected ${TOKENS}");
  return rate(times);
};
globalThis.ready = true;
`;

async function nativeSide(path: string, precision: Precision, threads: number): Promise<Side> {
  // The number of threads is the process's, so that all native sides of a time have the same.
  const engine: Engine = await CoreReference.open(path, { device: "cpu", threads, precision });
  const [prompt] = await engine.encode([PROMPT]);
  await engine.logprobs(flatForest([prompt!]).forest);
  return async () => {
    const times: number[] = [];
    const key = { seed: 0, step: 0, prompt: 0, rollout: 0 };
    const request = { prompt: prompt!, maxTokens: TOKENS, temperature: 0, ignoreEos: true, key };
    for await (const { type } of engine.generate([request], { stream: true })) {
      if (type === "token") times.push(performance.now());
    }
    return 1000 * (times.length - 1) / (times.at(-1)! - times[0]!);
  };
}

/** llama.cpp in a process of its own; null where it is not installed. */
async function llamaSide(
  path: string,
  threads: number,
): Promise<{ readonly side: Side; readonly end: () => void } | null> {
  const engine = await CoreReference.open(path);
  const [prompt] = await engine.encode([PROMPT]);
  await engine[Symbol.asyncDispose]();
  const script = fileURLToPath(new URL("peers/gguf_decode.py", import.meta.url));
  const child = spawn(peersPython(), [script], { stdio: ["pipe", "pipe", "ignore"] });
  const lost = new Promise<null>((resolve) => child.on("error", () => resolve(null)));
  child.stdin.on("error", () => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<Record<string, { seconds: number; tokens: number }> | null> => {
    const line = await Promise.race([lines.next(), lost]);
    return line === null || line.done ? null : JSON.parse(line.value);
  };
  child.stdin.write(
    `${JSON.stringify({ model: { path }, threads, newTokens: TOKENS, inputs: [[[...prompt!]]] })}\n`,
  );
  if (!(await next())?.["ready"]) return null;
  return {
    side: async () => {
      child.stdin.write('{"input":0}\n');
      const { seconds, tokens } = (await next())!["sample"]!;
      return tokens / seconds;
    },
    end: () => child.stdin.end(),
  };
}

async function openPage(folder: string, model: string): Promise<{ page: Page; end: () => Promise<void> }> {
  const chromium = await findChromium();
  if (chromium === null) throw new Error("There is no Chromium; set RMR1_CHROMIUM to its file");
  const types: Record<string, string> = {
    html: "text/html",
    js: "text/javascript",
    wasm: "application/wasm",
  };
  const server = Deno.serve({ port: 0, onListen: () => {} }, async (request) => {
    const { pathname } = new URL(request.url);
    const bytes = await readFile(pathname === "/model.gguf" ? model : join(folder, "site", pathname))
      .catch(() => null);
    if (bytes === null) return new Response(null, { status: 404 });
    const type = types[pathname.split(".").pop()!] ?? "application/octet-stream";
    const headers = { "content-type": type, "content-length": String(bytes.length), ...ISOLATION };
    return new Response(bytes, { headers });
  });
  const browser = await openChromium(chromium);
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${(server.addr as Deno.NetAddr).port}/index.html`);
  await page.waitForFunction("globalThis.ready");
  return {
    page,
    end: async () => {
      await browser.close();
      await server.shutdown();
    },
  };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((x, y) => x - y);
  return sorted[sorted.length >> 1]!;
}

const { values } = parseArgs({
  options: {
    repetitions: { type: "string", default: "5" },
    json: { type: "boolean", default: false },
    "write-docs": { type: "boolean", default: false },
  },
});
const path = await resolveModel("smollm2-135m");
const { folder, run } = await installPackage("esbuild@0.28.2", WLLAMA);
await writeFile(join(folder, "page.js"), PAGE);
const common = ["--bundle", "--format=esm", "--log-level=error"];
const entries = ["page.js", "worker=rm-r1/worker"];
await run("npx", "esbuild", ...entries, ...common, "--splitting", "--outdir=site/app");
await cp(
  join(folder, "node_modules/rm-r1/dist/engine/wasm/rmr1_core_bg.wasm"),
  join(folder, "site/app/rmr1_core_bg.wasm"),
);
await cp(join(folder, "node_modules/@wllama/wllama/esm/wasm/wllama.wasm"), join(folder, "site/wllama.wasm"));
await writeFile(join(folder, "site/index.html"), '<script type="module" src="app/page.js"></script>');
const { page, end } = await openPage(folder, path);
const call = (script: string): Promise<unknown> => page.evaluate(script);

/** All sides on so many threads, by their names, and how to end them. */
async function sidesOn(threads: number): Promise<{ sides: Record<string, Side>; end: () => void }> {
  const sides: Record<string, Side> = {};
  for (const precision of PRECISIONS) {
    const backend = await call(`openOurs(location.origin + "/model.gguf", "${precision}", ${threads})`);
    process.stderr.write(`rm-r1 in WebAssembly: ${backend}\n`);
    sides[`rm-r1 in WebAssembly, ${precision}`] = async () =>
      await call(`ours("${precision}", ${threads})`) as number;
  }
  const used = await call(`openWllama(location.origin + "/model.gguf", ${threads})`);
  if (used !== threads) throw new Error(`wllama takes "${used}" threads, expected ${threads}`);
  sides[THEIRS] = async () => await call(`theirs(${threads})`) as number;
  const llama = await llamaSide(path, threads);
  if (llama === null) process.stderr.write("SKIPPED: llama.cpp; make the peers' environment\n");
  else sides[LLAMA] = llama.side;
  for (const precision of PRECISIONS) {
    sides[`rm-r1, native, ${precision}`] = await nativeSide(path, precision, threads);
  }
  return { sides, end: () => llama?.end() };
}

/** A side on a number of threads. */
interface Row {
  readonly threads: number;
  readonly name: string;
  /** Tokens a second: median, least and most of the rounds. */
  readonly rate: number;
  readonly low: number;
  readonly high: number;
  /** Medians over the rounds of what it is to another side; null where that one is not there. */
  readonly toLlama: number | null;
  readonly toWllama: number | null;
}

async function measure(threads: number): Promise<Row[]> {
  const { sides, end } = await sidesOn(threads);
  const rates: Record<string, number[]> = {};
  // The first round warms up.
  for (let round = 0; round <= Number(values.repetitions); round++) {
    for (const [name, side] of Object.entries(sides)) {
      const rate = await side();
      if (round > 0) (rates[name] ??= []).push(rate);
      process.stderr.write(`${name}, ${threads} threads: ${rate.toFixed(1)} tok/s\n`);
    }
  }
  end();
  const ratio = (name: string, peer: string): number | null => {
    const theirs = rates[peer];
    return theirs === undefined ? null : median(rates[name]!.map((rate, at) => rate / theirs[at]!));
  };
  return Object.entries(rates).map(([name, each]) => ({
    threads,
    name,
    rate: median(each),
    low: Math.min(...each),
    high: Math.max(...each),
    toLlama: ratio(name, LLAMA),
    toWllama: ratio(name, THEIRS),
  }));
}

function table(rows: readonly Row[]): string {
  const times = (ratio: number | null): string => ratio === null ? "–" : `${ratio.toFixed(2)} ×`;
  const { threads } = rows[0]!;
  return [
    `| ${threads} thread${
      threads === 1 ? "" : "s"
    } | tok/s, median (lowest – highest) | to llama.cpp | to wllama |`,
    "| --- | --- | --- | --- |",
    ...rows.map(({ name, rate, low, high, toLlama, toWllama }) =>
      `| ${name} | ${rate.toFixed(1)} (${low.toFixed(1)} – ${high.toFixed(1)}) | ${times(toLlama)} | ${
        times(toWllama)
      } |`
    ),
  ].join("\n");
}

const { cpu, cores } = thisMachine();
const measured: Row[][] = [];
for (const threads of new Set([1, cores])) measured.push(await measure(threads));
await end();
await rm(folder, { recursive: true, force: true });
const tables = measured.map(table).join("\n\n");
if (values.json) process.stdout.write(`${JSON.stringify({ rows: measured.flat() })}\n`);
else process.stdout.write(`${tables}\n`);
if (values["write-docs"]) {
  const text = `# Decoding in WebAssembly

SmolLM2-135M-Instruct in Q4_1, greedy, one sequence, ${TOKENS} tokens; the sides take turns, ${values.repetitions} rounds
after one that warms up. Ratios are medians over the rounds. llama.cpp rounds activations to 8 bits, as int8
does; f32 does not. Made by \`deno task bench:runtimes --write-docs\` on ${cpu}.

${tables}
`;
  await writeFile(DOCUMENT, text);
}
process.exit(0);
