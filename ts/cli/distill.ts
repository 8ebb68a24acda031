/**
 * `distill`: writes traces for the first training stage.
 *
 * @module
 */
import process from "node:process";
import {
  API_NAMES,
  APIS,
  type BudgetLimits,
  DEFAULT_OVERLAP,
  distill as distilTraces,
  type DistillResult,
  HttpOracle,
  type HttpSource,
  type Prices,
  TRACE_PROTOCOLS,
  type TraceSource,
} from "../distill/mod.ts";
import { hashModel } from "../judge/mod.ts";
import { resolveModel } from "../models/mod.ts";
import { describeChosen, describeEstimate, describeResult, progressPrinter } from "./distill_report.ts";
import { describeModel, ENGINE_OPTIONS, openFrozen } from "./engine.ts";
import { UsageError } from "./errors.ts";
import { KeyValueMemory } from "./memory.ts";
import { giveUpLocalCode, goOffline } from "./offline.ts";
import {
  anyNumber,
  anyText,
  type Command,
  type Context,
  defaulted,
  defineCommand,
  flag,
  type JsonObject,
  oneOf,
  optional,
  repeated,
  required,
  type Values,
  wholeNumber,
} from "./parser.ts";

const SELF = "self:";

const price = (name: `--${string}`, what: string) =>
  optional(name, anyNumber({ min: 0 }), `Price of a million ${what}; 0 where they are free`);

const OPTIONS = {
  oracle: required("--oracle", anyText("ORACLE"), "A server's URL, self:MODEL for a local model, or data"),
  data: required("--data", anyText("FILE"), "Preference records, JSON Lines"),
  out: required("--out", anyText("FILE"), "Traces to write, JSON Lines"),
  journal: optional("--journal", anyText("FILE"), "Where answers are kept; OUT.journal.jsonl if not given"),
  model: optional("--model", anyText("NAME"), "The oracle's model"),
  model2: optional("--model2", anyText("NAME"), "The model of pass 2; --model if not given"),
  api: optional("--api", oneOf(API_NAMES), "What the server speaks; by its URL if not given"),
  keyEnv: optional("--key-env", anyText("NAME"), "Environment variable that holds the API key"),
  protocol: optional(
    "--protocol",
    oneOf(TRACE_PROTOCOLS),
    "How the oracle is asked; instruct if not given, to be given for a local model",
  ),
  maxNewTokens: defaulted("--max-new-tokens", wholeNumber({ min: 1 }), 4096, "Most tokens of an answer"),
  temperature: optional("--temperature", anyNumber({ min: 0 }), "The server's own if not given; self: 1"),
  topP: optional("--top-p", anyNumber({ min: 0, max: 1 }), "The server's own if not given"),
  samples: defaulted("--samples", wholeNumber({ min: 1 }), 4, "Most samples of a pair by a local model"),
  limit: optional("--limit", wholeNumber({ min: 1 }), "Most pairs, in an order that the seed decides"),
  seed: defaulted(
    "--seed",
    wholeNumber({ min: 0, max: 2 ** 32 - 1 }),
    0,
    "Of the order, the draws, the waits",
  ),
  heldOut: repeated(
    "--held-out",
    anyText("PATH"),
    "File or folder of prompts to leave out; may be given again",
  ),
  overlap: defaulted(
    "--overlap",
    anyNumber({ min: 0, max: 1 }),
    DEFAULT_OVERLAP,
    "Share of a prompt's 8-grams from which on a held-out file holds it",
  ),
  budget: optional(
    "--budget",
    anyNumber({ min: 0 }),
    "Most that all calls may cost, in the prices' currency",
  ),
  maxCalls: optional("--max-calls", wholeNumber({ min: 0 }), "Most calls"),
  maxTokens: optional("--max-tokens", wholeNumber({ min: 0 }), "Most tokens, input and output, of all calls"),
  inputPrice: price("--input-price", "input tokens"),
  outputPrice: price("--output-price", "output tokens"),
  inputPrice2: price("--input-price2", "input tokens of --model2"),
  outputPrice2: price("--output-price2", "output tokens of --model2"),
  concurrency: defaulted("--concurrency", wholeNumber({ min: 1, max: 1024 }), 32, "Most calls at once"),
  retries: defaulted("--retries", wholeNumber({ min: 0 }), 6, "Times that a failed call is made again"),
  noStream: flag("--no-stream", "Ask for whole answers: for servers that count no tokens of streams"),
  stallSeconds: defaulted("--stall-seconds", wholeNumber({ min: 1 }), 300, "Silence that ends a call"),
  callSeconds: defaulted("--call-seconds", wholeNumber({ min: 1 }), 1800, "Most seconds of a call"),
  dryRun: flag("--dry-run", "Only say what it would take"),
  ...ENGINE_OPTIONS,
};

type Choice = Values<typeof OPTIONS>;

/** The command. */
export const distill: Command = defineCommand({
  name: "distill",
  brief: "Write traces for the first training stage: by an oracle, a local model, or from the data",
  options: OPTIONS,
  async run(choice, { out, log, signal }) {
    const { data, out: file, journal, limit, seed, heldOut, overlap, dryRun } = choice;
    using memory = new KeyValueMemory(log);
    await using opened = await openSource(choice, memory, log);
    const result = await distilTraces({
      data,
      out: file,
      ...(journal !== undefined && { journal }),
      ...(limit !== undefined && { limit }),
      seed,
      heldOut,
      overlap,
      dryRun,
      signal,
      source: opened.source,
      onChosen: (chosen) => log(describeChosen(chosen)),
      onEstimate: (estimate) => log(describeEstimate(estimate)),
      onProgress: progressPrinter({ isTTY: process.stderr.isTTY, write: log }),
    }).catch((error: unknown) => {
      if (dryRun) throw error;
      throw withAdvice(error, journal ?? `${file}.journal.jsonl`, signal);
    });
    out(describeResult(result));
    refuseUnanswered(result);
    return result as unknown as JsonObject;
  },
});

/** Adds how to go on to an error that ended a run. */
function withAdvice(error: unknown, journal: string, signal: AbortSignal): unknown {
  const [name, message] = error instanceof Error ? [error.name, error.message] : ["", String(error)];
  if (!signal.aborted && name !== "DistillError") return error;
  const advice = `what was answered is in "${journal}"; the same command goes on from there`;
  return new Error(`${signal.aborted ? "Stopped" : message}; ${advice}`, { cause: error });
}

/** A run that ends without some answers has written what there is; that the budget was spent is as it was asked for. */
function refuseUnanswered({ statistics: { passes }, lastFailure }: DistillResult): void {
  const missing = Object.values(passes).reduce(
    (sum, counts) => sum + (counts["unanswered: failed"] ?? 0) + (counts["unanswered: refused"] ?? 0),
    0,
  );
  if (missing > 0) {
    throw new Error(
      `${missing} questions have no answer; the same command asks them again. The last failure was: ${lastFailure}`,
    );
  }
}

interface Opened extends AsyncDisposable {
  readonly source: TraceSource;
}

async function openSource(choice: Choice, memory: KeyValueMemory, log: Context["log"]): Promise<Opened> {
  const { oracle } = choice;
  if (/^https?:/i.test(oracle)) {
    const source = httpSource(choice, log);
    await giveUpLocalCode();
    return { source, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  await goOffline();
  refuseHttpOptions(choice);
  if (oracle === "data") return { source: { kind: "data" }, [Symbol.asyncDispose]: () => Promise.resolve() };
  if (!oracle.startsWith(SELF)) {
    throw new UsageError(
      `The oracle is "${oracle}", expected a URL that begins with http:// or https://, "${SELF}MODEL", or "data"`,
    );
  }
  return await openSelf(choice, memory, log);
}

/** Options that make no sense without a server. */
function refuseHttpOptions(choice: Choice): void {
  const given: [string, unknown][] = [
    ["--model", choice.model],
    ["--model2", choice.model2],
    ["--api", choice.api],
    ["--key-env", choice.keyEnv],
    ["--budget", choice.budget],
    ["--max-calls", choice.maxCalls],
    ["--max-tokens", choice.maxTokens],
  ];
  const [name] = given.find(([, value]) => value !== undefined) ?? [];
  if (name !== undefined) {
    throw new UsageError(`Option ${name} is for an oracle's URL, not for "${choice.oracle}"`);
  }
}

function httpSource(choice: Choice, log: Context["log"]): HttpSource {
  const { model, temperature, topP, maxNewTokens } = choice;
  if (model === undefined) throw new UsageError("Name the oracle's model by --model");
  const first = pricesOf(choice.inputPrice, choice.outputPrice, "--input-price and --output-price");
  const second = choice.model2 === undefined
    ? first
    : pricesOf(choice.inputPrice2, choice.outputPrice2, "--input-price2 and --output-price2");
  if (choice.model2 === undefined && (choice.inputPrice2 ?? choice.outputPrice2) !== undefined) {
    throw new UsageError("Prices of --model2 need --model2");
  }
  if (choice.budget !== undefined && (first === null || second === null)) {
    const needed = first === null ? "--input-price and --output-price" : "--input-price2 and --output-price2";
    throw new UsageError(`A --budget needs prices: give ${needed}`);
  }
  return {
    kind: "http",
    oracle: openOracle(choice, log),
    models: { 1: { name: model, prices: first }, 2: { name: choice.model2 ?? model, prices: second } },
    protocol: choice.protocol ?? "instruct",
    sampling: {
      maxTokens: maxNewTokens,
      ...(temperature !== undefined && { temperature }),
      ...(topP !== undefined && { topP }),
    },
    budget: limitsOf(choice),
    concurrency: choice.concurrency,
    retry: { retries: choice.retries, seed: choice.seed },
  };
}

function openOracle(choice: Choice, log: Context["log"]): HttpOracle {
  const { oracle: url, api, keyEnv, noStream, stallSeconds, callSeconds } = choice;
  const common = { url, ...(api !== undefined && { api }), stream: !noStream, stallSeconds, callSeconds };
  try {
    const variable = keyEnv ?? APIS[new HttpOracle({ ...common, key: null }).api].keyVariable;
    const key = process.env[variable];
    if (key === undefined || key === "") {
      if (keyEnv !== undefined) {
        throw new UsageError(`Environment variable "${keyEnv}" is not set, expected the API key`);
      }
      log(`No API key is sent: environment variable "${variable}" is not set\n`);
    }
    return new HttpOracle({ ...common, key: key === undefined || key === "" ? null : key });
  } catch (error) {
    throw error instanceof RangeError ? new UsageError(error.message, { cause: error }) : error;
  }
}

function pricesOf(input: number | undefined, output: number | undefined, names: string): Prices | null {
  if (input === undefined && output === undefined) return null;
  if (input === undefined || output === undefined) throw new UsageError(`Give both ${names}, or neither`);
  return { input, output };
}

function limitsOf({ budget: cost, maxCalls: calls, maxTokens: tokens }: Choice): BudgetLimits {
  return {
    ...(cost !== undefined && { cost }),
    ...(calls !== undefined && { calls }),
    ...(tokens !== undefined && { tokens }),
  };
}

async function openSelf(choice: Choice, memory: KeyValueMemory, log: Context["log"]): Promise<Opened> {
  const { oracle, protocol, threads, precision, device, arithmetic, samples, maxNewTokens, seed } = choice;
  if (protocol === undefined) throw new UsageError("Name how the local model is asked by --protocol");
  const name = oracle.slice(SELF.length);
  const path = await resolveModel(name);
  const weights = await hashModel(path);
  const engine = await openFrozen(path, { threads, precision, device, arithmetic, onSummary: memory.see });
  log(describeModel(engine));
  return {
    source: {
      kind: "engine",
      engine: {
        engine,
        weights,
        name,
        protocol,
        samples,
        temperature: choice.temperature ?? 1,
        maxTokens: maxNewTokens,
        seed,
        maxConcurrent: choice.concurrency,
        tokenBudget: 131_072,
      },
    },
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}
