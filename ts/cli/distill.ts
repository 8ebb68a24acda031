/**
 * `distill`: writes traces for the first training stage.
 *
 * @module
 */
import process from "node:process";
import {
  DEFAULT_OVERLAP,
  distill as distilTraces,
  type DistillResult,
  type HttpSource,
  TRACE_PROTOCOLS,
  type TraceSource,
} from "../distill/mod.ts";
import { hashModel } from "../judge/mod.ts";
import { resolveModel } from "../models/mod.ts";
import { describeChosen, describeEstimate, describeResult, progressPrinter } from "./distill_report.ts";
import { describeModel, ENGINE_OPTIONS, openFrozen } from "./engine.ts";
import {
  ENDPOINT_OPTIONS,
  isUrl,
  limitsOf,
  openEndpoint,
  price,
  pricesOf,
  refuseEndpointOptions,
} from "./endpoint.ts";
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

const OPTIONS = {
  oracle: required("--oracle", anyText("ORACLE"), "A server's URL, self:MODEL for a local model, or data"),
  data: required("--data", anyText("FILE"), "Preference records, JSON Lines"),
  out: required("--out", anyText("FILE"), "Traces to write, JSON Lines"),
  journal: optional("--journal", anyText("FILE"), "Where answers are kept; OUT.journal.jsonl if not given"),
  model2: optional("--model2", anyText("NAME"), "The model of pass 2; --model if not given"),
  protocol: optional(
    "--protocol",
    oneOf(TRACE_PROTOCOLS),
    "How the oracle is asked; instruct if not given, to be given for a local model",
  ),
  maxNewTokens: defaulted("--max-new-tokens", wholeNumber({ min: 1 }), 4096, "Most tokens of an answer"),
  temperature: optional("--temperature", anyNumber({ min: 0 }), "The server's own if not given; self: 1"),
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
  inputPrice2: price("--input-price2", "input tokens of --model2"),
  outputPrice2: price("--output-price2", "output tokens of --model2"),
  dryRun: flag("--dry-run", "Only say what it would take"),
  ...ENDPOINT_OPTIONS,
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
  if (!signal.aborted && name !== "DistillError" && name !== "EndpointLostError") return error;
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
  if (isUrl(oracle)) {
    const source = httpSource(choice, log);
    await giveUpLocalCode();
    return { source, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  await goOffline();
  refuseEndpointOptions(choice, oracle);
  if (choice.model2 !== undefined) {
    throw new UsageError(`Option --model2 is for a server's URL, not for "${oracle}"`);
  }
  if (oracle === "data") return { source: { kind: "data" }, [Symbol.asyncDispose]: () => Promise.resolve() };
  if (!oracle.startsWith(SELF)) {
    throw new UsageError(
      `The oracle is "${oracle}", expected a URL that begins with http:// or https://, "${SELF}MODEL", or "data"`,
    );
  }
  return await openSelf(choice, memory, log);
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
    oracle: openEndpoint(choice.oracle, choice, log),
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
