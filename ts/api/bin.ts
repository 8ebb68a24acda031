#!/usr/bin/env node
/**
 * The package's program: judges one pair of answers.
 *
 * @module
 */
import process from "node:process";
import { parseArgs, type ParseArgsConfig } from "node:util";
import { PROTOCOLS } from "../cor/prompts.ts";
import type { Comparison } from "./comparison.ts";
import { Judge, type OpenOptions } from "./judge.ts";

const HELP = `Usage: rm-r1 --judge JUDGE --prompt TEXT --a TEXT --b TEXT [OPTIONS]

Judges which of two answers is the better one, and shows why.

  --judge JUDGE       A judge's folder, a GGUF file, or a server's URL with --model
  --model NAME        The server's model; its key is taken from the API's usual environment variable
  --prompt TEXT       The question
  --a TEXT, --b TEXT  The answers
  --protocol NAME     How a model that was not trained by rm-r1 is asked: ${PROTOCOLS.join(", ")}
  --orders ORDERS     both (default), or given: only with the answers as they are given
  --precision NAME    f32 (default), bf16 or int8
  --max-tokens N      Most tokens of a judgement, 8192 by default
  --json              Print one JSON object in place of text

Exit codes: 0 done, 1 failed, 2 not understood, 130 interrupted.
`;

const OPTIONS = {
  judge: { type: "string" },
  model: { type: "string" },
  prompt: { type: "string" },
  a: { type: "string" },
  b: { type: "string" },
  protocol: { type: "string" },
  orders: { type: "string", default: "both" },
  precision: { type: "string", default: "f32" },
  "max-tokens": { type: "string", default: "8192" },
  json: { type: "boolean", default: false },
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

function read(): ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>["values"] {
  try {
    return parseArgs({ options: OPTIONS }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
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
  const { judge: source, model, prompt, a, b } = values;
  if (source === undefined || prompt === undefined || a === undefined || b === undefined) {
    throw new UsageError("Give --judge, --prompt, --a and --b; --help explains them");
  }
  const maxNewTokens = Number(values["max-tokens"]);
  if (!Number.isSafeInteger(maxNewTokens) || maxNewTokens < 1) {
    throw new UsageError(`Option --max-tokens is "${values["max-tokens"]}", expected a positive integer`);
  }
  const options: OpenOptions = {
    maxNewTokens,
    precision: one("precision", values.precision, ["f32", "bf16", "int8"]),
    ...(model !== undefined && { model }),
    ...(values.protocol !== undefined && { protocol: one("protocol", values.protocol, PROTOCOLS) }),
    signal,
  };
  const orders = one("orders", values.orders, ["both", "given"]);
  await using judge = await Judge.open(source, options);
  process.stderr.write(`${judge.name}, on ${judge.where}\n`);
  let shown = "";
  for await (const event of judge.stream({ prompt, a, b }, { orders, signal })) {
    if (event.type === "comparison") {
      const { comparison } = event;
      process.stdout.write(values.json ? `${JSON.stringify(comparison)}\n` : `\n\n${describe(comparison)}`);
    } else if (event.judgement === 0 && !values.json) {
      process.stdout.write(event.text.slice(shown.length));
      shown = event.text;
    }
  }
}

const interruption = new AbortController();
process.once("SIGINT", () => interruption.abort(new Error("Interrupted")));
try {
  await main(interruption.signal);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = interruption.signal.aborted ? 130 : error instanceof UsageError ? 2 : 1;
}
