/**
 * Distillation: traces of pairs by an oracle behind HTTP, by a local model, or from the data.
 *
 * What is written is a function of the pairs and the answers alone, in the pairs' order, whatever the order in which
 * the answers came. So a run that was killed and begun again writes the file of the unbroken run, as far as the oracle
 * gives the same answers to calls that were under way.
 *
 * @module
 */
import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { type PlacedPair, traceFromData, writeJsonl } from "../data/mod.ts";
import type { Message } from "../engine/engine.ts";
import {
  type Amount,
  Budget,
  type BudgetLimits,
  type Call,
  Caller,
  EMPTY_JOURNAL,
  type Endpoint,
  Journal,
  keyOf,
  type Prices,
  type RetryOptions,
  type Sampling,
} from "../endpoint/mod.ts";
import { assess } from "./assess.ts";
import { DistillError } from "./distill_error.ts";
import { type Estimate, estimate } from "./estimate.ts";
import { choosePairs, type ChosenPairs, type PairOptions } from "./pairs.ts";
import { renderFirstPass, renderSecondPass, type TraceProtocol } from "./prompts.ts";
import { sampleTraces, type SamplingEngine } from "./rejection_sampling.ts";
import { type DistillStatistics, type PairResult, recordOf, statisticsOf } from "./statistics.ts";

/** A model of an oracle. */
export interface OracleModel {
  readonly name: string;
  /** null where they are not known. */
  readonly prices: Prices | null;
}

/** An oracle behind HTTP, with how it is asked. */
export interface HttpSource {
  readonly kind: "http";
  readonly oracle: Endpoint;
  /** The model of each pass. */
  readonly models: { readonly 1: OracleModel; readonly 2: OracleModel };
  readonly protocol: TraceProtocol;
  readonly sampling: Sampling;
  readonly budget: BudgetLimits;
  /** Most calls at once. */
  readonly concurrency: number;
  readonly retry: RetryOptions;
}

/** A local model, sampled until it is right. */
export interface EngineSource {
  readonly kind: "engine";
  readonly engine: SamplingEngine;
}

/** Where traces are from. */
export type TraceSource = HttpSource | EngineSource | { readonly kind: "data" };

/** Where a run stands. */
export interface DistillProgress {
  /** Pairs that are through. */
  readonly pairs: number;
  readonly of: number;
  readonly kept: number;
  /** Answers of this session. */
  readonly answers: number;
  /** Of this session. */
  readonly seconds: number;
  /** Calls under way, and how many may be; null where there are none to an oracle. */
  readonly calls: {
    readonly underWay: number;
    readonly limit: number;
    /** Milliseconds until calls may begin again. */
    readonly pause: number;
    readonly spent: Amount;
  } | null;
}

/** Options of {@link distill}. */
export interface DistillOptions extends PairOptions {
  /** The file of traces to write; one that is there is replaced where its journal is there, too. */
  readonly out: string;
  /** Default: `out` with `.journal.jsonl` appended. */
  readonly journal?: string;
  readonly source: TraceSource;
  /** Estimate only: nothing is sent or written. Default false. */
  readonly dryRun?: boolean;
  /** Ends the run: calls under way are waited for. */
  readonly signal?: AbortSignal;
  readonly onChosen?: (chosen: ChosenPairs) => void;
  readonly onEstimate?: (estimate: Estimate) => void;
  readonly onProgress?: (progress: DistillProgress) => void;
}

/** What a distillation came to. */
export interface DistillResult {
  /** Each pair had its answers; otherwise the budget was spent, or calls were given up. */
  readonly complete: boolean;
  readonly statistics: DistillStatistics;
  readonly chosen: Omit<ChosenPairs, "pairs">;
  /** Over all sessions of the journal; null where nothing was asked of an oracle. */
  readonly spent: Amount | null;
  /** Of the last call that was given up; null where none was. */
  readonly lastFailure: string | null;
  /** null of a dry run. */
  readonly out: string | null;
}

/**
 * Distils traces into a file, with a report beside it (`.report.json`). Begun again, it goes on from its journal.
 *
 * @throws {DataError} The data, a held-out file or the journal cannot be read.
 * @throws {DistillError} The file is in the way, or no further call has a chance.
 * @throws The signal's reason.
 */
export async function distill(options: DistillOptions): Promise<DistillResult> {
  const { out, source, signal = new AbortController().signal, dryRun = false } = options;
  const path = options.journal ?? `${out}.journal.jsonl`;
  const replaceable = source.kind !== "data" && await exists(path);
  if (!dryRun && !replaceable && await exists(out)) {
    throw new DistillError(
      `File "${out}" exists already, and no journal "${path}" says that it may be replaced`,
    );
  }
  const { pairs, ...chosen } = await choosePairs(options);
  options.onChosen?.({ pairs, ...chosen });
  signal.throwIfAborted();
  if (!dryRun) await mkdir(dirname(out), { recursive: true });
  const run = { ...options, pairs, signal, path, dryRun };
  const { results, spent, lastFailure } = source.kind === "http"
    ? await distilByCalls(run, source)
    : { results: dryRun ? [] : await distilHere(run, source), spent: null, lastFailure: null };
  const statistics = statisticsOf(results);
  const complete = !dryRun &&
    !results.some(({ outcomes }) => outcomes.some(({ outcome }) => outcome.startsWith("unanswered")));
  const result = { complete, statistics, chosen, spent, lastFailure, out: dryRun ? null : out };
  if (!dryRun) {
    await writeJsonl(out, results.flatMap(({ record }) => record ?? []));
    await writeJsonl(`${out}.report.json`, [result]);
  }
  return result;
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(() => true, () => false);
}

interface Run extends DistillOptions {
  readonly pairs: readonly PlacedPair[];
  readonly signal: AbortSignal;
  /** Of the journal. */
  readonly path: string;
  readonly dryRun: boolean;
}

async function distilByCalls(
  { pairs, signal, path, dryRun, onEstimate, onProgress }: Run,
  source: HttpSource,
): Promise<Pick<DistillResult, "lastFailure"> & { results: readonly PairResult[]; spent: Amount }> {
  const { oracle, models, protocol, sampling, concurrency, retry } = source;
  const prices = { 1: models[1].prices, 2: models[2].prices };
  await using journal = dryRun && !(await exists(path)) ? null : await Journal.open(path);
  const { answers, spent } = journal?.content ?? EMPTY_JOURNAL;
  const budget = new Budget(source.budget, prices, spent);
  const callOf = (pass: 1 | 2, messages: readonly Message[]): Call => ({
    writer: oracle.api,
    model: models[pass].name,
    messages,
    sampling: { ...sampling },
    sample: 0,
  });
  onEstimate?.(estimate(pairs, {
    maxTokens: sampling.maxTokens,
    prices,
    answerTo: (pass, messages) => answers.get(keyOf(callOf(pass, messages))),
    renderFirst: (pair) => renderFirstPass(protocol, pair),
    renderSecond: (pair, wrongTrace) => renderSecondPass(protocol, pair, wrongTrace),
  }));
  if (dryRun || journal === null) return { results: [], spent: budget.spent, lastFailure: null };
  await journal.append({
    type: "session",
    time: new Date().toISOString(),
    settings: {
      oracle: String(oracle.endpoint),
      models: [models[1].name, models[2].name],
      protocol,
      sampling,
      budget: source.budget,
    },
  });

  const hasLimit = Object.values(source.budget).some((limit) => limit !== undefined);
  const caller = new Caller({
    endpoint: oracle,
    journal,
    budget,
    hasLimit,
    sampling,
    concurrency,
    retry,
    signal,
  });
  const results: PairResult[] = [];
  const began = performance.now();
  let done = 0;
  let kept = 0;
  let lastFailure: string | null = null;
  const report = (): void =>
    onProgress?.({
      pairs: done,
      of: pairs.length,
      kept,
      answers: caller.answers,
      seconds: (performance.now() - began) / 1000,
      calls: {
        underWay: caller.limit.underWay,
        limit: caller.limit.limit,
        pause: caller.limit.pause,
        spent: budget.spent,
      },
    });

  const bothPasses = async (pair: PlacedPair): Promise<PairResult> => {
    const outcomes: PairResult["outcomes"][number][] = [];
    let wrongTrace = "";
    for (const pass of [1, 2] as const) {
      const messages = pass === 1
        ? renderFirstPass(protocol, pair)
        : renderSecondPass(protocol, pair, wrongTrace);
      const asked = await caller.ask(callOf(pass, messages), { id: pair.record.id, pass });
      const name = `pass ${pass}` as const;
      if ("unanswered" in asked) {
        outcomes.push({ pass: name, outcome: `unanswered: ${asked.unanswered}` });
        if (asked.unanswered !== "budget") lastFailure = asked.reason;
        break;
      }
      const assessed = assess(asked.text, asked.end, pair);
      if (assessed.kept) {
        outcomes.push({ pass: name, outcome: "kept" });
        const { trace } = assessed;
        return { pair, outcomes, record: recordOf(pair, { trace, pass, model: models[pass].name }) };
      }
      outcomes.push({ pass: name, outcome: assessed.rejection });
      if (assessed.rejection !== "wrong-verdict") break;
      wrongTrace = assessed.trace;
    }
    return { pair, outcomes, record: null };
  };

  const queue = pairs.entries();
  const work = async (): Promise<void> => {
    for (const [index, pair] of queue) {
      const result = await bothPasses(pair);
      results[index] = result;
      done++;
      if (result.record !== null) kept++;
      report();
    }
  };
  // Waits and pauses are to be seen, too.
  const ticking = setInterval(report, 1000);
  try {
    const working = Array.from({ length: concurrency }, () =>
      work().catch((error: unknown) => {
        caller.end(error);
        throw error;
      }));
    // Calls that are under way are paid for: their answers are waited for before an error ends the run.
    for (const worker of await Promise.allSettled(working)) {
      if (worker.status === "rejected") throw worker.reason;
    }
  } finally {
    clearInterval(ticking);
  }
  return { results, spent: budget.spent, lastFailure };
}

async function distilHere(
  { pairs, signal, path, onProgress }: Run,
  source: Exclude<TraceSource, HttpSource>,
): Promise<readonly PairResult[]> {
  if (source.kind === "data") {
    return pairs.map((pair) => {
      const made = traceFromData(pair);
      const outcome = "skipped" in made ? made.skipped : "kept";
      const record = "skipped" in made
        ? null
        : recordOf(pair, { trace: made.trace, pass: null, model: "data" });
      return { pair, outcomes: [{ pass: "data", outcome }], record };
    });
  }
  await using journal = await Journal.open(path);
  const began = performance.now();
  return await sampleTraces(pairs, source.engine, {
    journal,
    signal,
    onProgress: (done) =>
      onProgress?.({ ...done, of: pairs.length, seconds: (performance.now() - began) / 1000, calls: null }),
  });
}
