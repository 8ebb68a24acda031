/**
 * Scores a finished run anew from what its judge wrote, without asking it again.
 *
 * @module
 */
import { VERDICT_RULES, type VerdictRule } from "rm-r1/cor";
import { resultOf } from "./measure.ts";
import type { BenchResult } from "./result.ts";
import { readStoredRun, rereadJudgements, StoredRunError } from "./stored_run.ts";

/** Options of {@link rescore}. */
export interface RescoreOptions {
  /** By which rule verdicts are read from the texts. Default `strict`. */
  readonly rule?: VerdictRule;
  /** Where the data are, if no longer where the run read them. */
  readonly data?: string;
}

/**
 * What a run comes to when each verdict is read anew from the journal's texts. Nothing is asked and nothing is written.
 *
 * @throws {StoredRunError} There is no finished run, or its judge writes no texts.
 * @throws {BenchmarkDataError} The data cannot be read, or are not those of the run.
 */
export async function rescore(directory: string, options: RescoreOptions = {}): Promise<BenchResult> {
  const { rule = "strict", data } = options;
  const started = performance.now();
  const stored = await readStoredRun(directory, {
    ...(data !== undefined && { data }),
    reread: VERDICT_RULES[rule],
  });
  const { benchmark, set, items, answers, result } = stored;
  if (result.orders === null) {
    throw new StoredRunError(
      `Run "${directory}" has scores, expected judgements with texts to read verdicts from`,
    );
  }
  const { orders, seed, votes, limit } = result;
  const upstream = benchmark.upstream === undefined
    ? undefined
    : await rereadJudgements(directory, items, { orders, seed, votes }, benchmark.upstream.rule);
  return {
    ...resultOf(benchmark, set, answers, {
      judge: result.judge,
      data: data ?? result.data.path,
      settings: { limit, seed, orders, votes },
      ...(upstream !== undefined && { upstream }),
      unreadableLines: result.unreadableLines,
      seconds: (performance.now() - started) / 1000,
    }),
    verdictRule: rule,
  };
}
