#!/usr/bin/env node
/**
 * The package's program: judges one pair of answers.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import process from "node:process";
import { text as readText } from "node:stream/consumers";
import { parseArgs, type ParseArgsConfig } from "node:util";
import { API_NAMES } from "../endpoint/api_name.ts";
import { INFERENCE_PRECISIONS } from "../engine/engine.ts";
import { PAIR_PROTOCOLS } from "../judge/pair_protocol.ts";
import { IN_WORKSPACE } from "../workspace.ts";
import type { Comparison } from "./comparison.ts";
import { Judge, type OpenOptions, type Pair } from "./judge.ts";

const HELP = `Usage: rm-r1 --judge JUDGE --prompt TEXT --a TEXT --b TEXT [OPTIONS]
       rm-r1 --judge JUDGE --file FILE [OPTIONS]

Judges which of two answers is the better one, and shows why.

  --judge JUDGE       A judge's folder, a GGUF file, or a server's URL with --model
  --model NAME        The server's model. Its key is OPENAI_API_KEY or ANTHROPIC_API_KEY of the environment
  --api NAME          What the server speaks: ${API_NAMES.join(" or ")}; by default as its URL says
  --prompt TEXT       The question
  --a TEXT, --b TEXT  The answers
  --file FILE         {"prompt": …, "a": …, "b": …} as JSON; - is standard input
  --protocol NAME     How a model that was not trained by rm-r1 is asked: ${PAIR_PROTOCOLS.join(", ")}
  --orders ORDERS     both (default), or given: only with the answers as they are given
  --temperature T     0 (default) takes the most likely token
  --samples N         Judgements of each order, 1 by default
  --precision NAME    f32 (default), bf16 or int8
  --max-tokens N      Most tokens of a judgement, 8192 by default
  --json              Print one JSON object in place of text
  --version           Print the version

Exit codes: 0 done, 1 failed, 2 not understood, 130 interrupted.
`;

const OPTIONS = {
  judge: { type: "string" },
  model: { type: "string" },
  api: { type: "string" },
  prompt: { type: "string" },
  a: { type: "string" },
  b: { type: "string" },
  file: { type: "string" },
  protocol: { type: "string" },
  orders: { type: "string", default: "both" },
  temperature: { type: "string", default: "0" },
  samples: { type: "string", default: "1" },
  precision: { type: "string", default: "f32" },
  "max-tokens": { type: "string", default: "8192" },
  json: { type: "boolean", default: false },
  version: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const satisfies ParseArgsConfig["options"];

class UsageError extends Error {}

function one<T extends string>(option: string, value: string, expected: readonly T[]): T {
  const found = expected.find((each) => each === value);
  if (found === undefined) {
    throw new UsageError(`Option --${option} is "${value}", expected one of ${expected.join(", ")}`);
  }
  return found;
}

type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>["values"];

/** Options with their values in one: answers may begin with a dash, as lists and negative numbers do. */
function joined(args: readonly string[]): string[] {
  const kinds: Readonly<Record<string, { readonly type: string }>> = OPTIONS;
  const all: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const [arg, next] = [args[at]!, args[at + 1]];
    const takesValue = arg.startsWith("--") && kinds[arg.slice(2)]?.type === "string";
    const isOption = next !== undefined && (next === "-h" || next.slice(2).split("=")[0]! in kinds);
    if (!takesValue || next === undefined || !next.startsWith("-") || isOption) all.push(arg);
    else {
      all.push(`${arg}=${next}`);
      at++;
    }
  }
  return all;
}

function read(): Values {
  try {
    return parseArgs({ args: joined(process.argv.slice(2)), options: OPTIONS }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function numberOf(option: string, value: string, kind: "count" | "number"): number {
  const number = value.trim() === "" ? NaN : Number(value);
  const holds = kind === "count" ? Number.isSafeInteger(number) && number > 0 : number >= 0;
  if (holds) return number;
  const expected = kind === "count" ? "a positive integer" : "a number from 0 on";
  throw new UsageError(`Option --${option} is "${value}", expected ${expected}`);
}

/** The pair on the command line or in its file. */
async function pairOf({ prompt, a, b, file }: Values): Promise<Pair> {
  if (file === undefined) {
    if (prompt === undefined || a === undefined || b === undefined) {
      throw new UsageError("Give --judge, and --prompt, --a and --b, or --file; --help explains them");
    }
    return { prompt, a, b };
  }
  const text = file === "-" ? await readText(process.stdin) : await readFile(file, "utf8");
  const name = file === "-" ? "standard input" : `"${file}"`;
  let pair: unknown;
  try {
    pair = JSON.parse(text);
  } catch (error) {
    throw new Error(`${name} is no JSON: ${(error as Error).message}`);
  }
  const fields = pair as Partial<Record<keyof Pair, unknown>> | null;
  const missing = (["prompt", "a", "b"] as const).find((field) => typeof fields?.[field] !== "string");
  if (missing === undefined) return fields as Pair;
  throw new Error(`${name} has "${fields?.[missing]}" as "${missing}", expected a text`);
}

async function version(): Promise<string> {
  const file = new URL(IN_WORKSPACE ? "../deno.json" : "../../package.json", import.meta.url);
  return (JSON.parse(await readFile(file, "utf8")) as { readonly version: string }).version;
}

function describe({ verdict, reason, votes, rubric, quotes }: Comparison): string {
  const lines = [
    `Verdict: ${verdict ?? `none (${reason})`}`,
    `Votes: ${votes.A} for A, ${votes.B} for B, ${votes.none} for none`,
    ...rubric.map(({ text, weight }) =>
      `Rubric: ${text}${weight === null ? "" : ` (${Math.round(100 * weight)} %)`}`
    ),
    ...quotes.map(({ side, text, found }) => `Quote of ${side}, ${found}: ${JSON.stringify(text)}`),
  ];
  return `${lines.join("\n")}\n`;
}

async function main(signal: AbortSignal): Promise<void> {
  const values = read();
  if (values.help) return void process.stdout.write(HELP);
  if (values.version) return void process.stdout.write(`${await version()}\n`);
  const { judge: source, model } = values;
  if (source === undefined) throw new UsageError("Give --judge; --help explains it");
  const samples = numberOf("samples", values.samples, "count");
  const options: OpenOptions = {
    maxNewTokens: numberOf("max-tokens", values["max-tokens"], "count"),
    temperature: numberOf("temperature", values.temperature, "number"),
    precision: one("precision", values.precision, INFERENCE_PRECISIONS),
    ...(model !== undefined && { model }),
    ...(values.api !== undefined && { api: one("api", values.api, API_NAMES) }),
    ...(values.protocol !== undefined && { protocol: one("protocol", values.protocol, PAIR_PROTOCOLS) }),
    signal,
  };
  const orders = one("orders", values.orders, ["both", "given"]);
  const pair = await pairOf(values);
  await using judge = await Judge.open(source, options);
  process.stderr.write(`${judge.name}, on ${judge.where}\n`);
  let shown = "";
  for await (const event of judge.stream(pair, { orders, samples, signal })) {
    if (event.type === "comparison") {
      const { comparison } = event;
      process.stdout.write(values.json ? `${JSON.stringify(comparison)}\n` : `\n\n${describe(comparison)}`);
    } else if (event.judgement === 0 && !values.json) {
      process.stdout.write(event.text.slice(shown.length));
      shown = event.text;
    }
  }
}

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // Whoever reads has read enough.
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});
const interruption = new AbortController();
process.once("SIGINT", () => interruption.abort(new Error("Interrupted")));
try {
  await main(interruption.signal);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = interruption.signal.aborted ? 130 : error instanceof UsageError ? 2 : 1;
}
