/**
 * Greedy evaluation on held-out pairs.
 *
 * @module
 */
import type { JudgeForm, JudgeKind } from "../cor/mod.ts";
import { placeAll, type PlacedPair, type PreferenceRecord } from "../data/mod.ts";
import type { Engine } from "../engine/mod.ts";
import { type Judgement, RmR1Judge, ScalarJudge } from "../judge/mod.ts";
import type { EvaluationConfig } from "./config.ts";
import { type EvaluationReport, increment, type Proportion } from "./records.ts";

/** The judgement of one held-out pair. */
export interface EvaluatedPair {
  readonly pair: PlacedPair;
  readonly judgement: Judgement;
}

/** Options of {@link evaluate}. */
export interface EvaluateOptions {
  readonly kind: JudgeKind;
  readonly form: JudgeForm;
  readonly config: Pick<EvaluationConfig, "batch" | "maxNewTokens">;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, of: number) => void;
}

/** A report, and what it is of in the order of the records. */
export interface Evaluation {
  readonly report: EvaluationReport;
  readonly judged: readonly EvaluatedPair[];
}

/**
 * Judges each record once, as a user's judge would; the better answer stands at A and B in turn.
 *
 * @throws The engine's error, if it fails: a failure is no verdict.
 */
export async function evaluate(
  engine: Engine,
  records: readonly PreferenceRecord[],
  { kind, form, config, signal, onProgress }: EvaluateOptions,
): Promise<Evaluation> {
  const began = performance.now();
  const pairs = placeAll(records, { kind: "alternate" });
  const { batch: maxConcurrent, maxNewTokens } = config;
  const judge = kind === "scalarrm"
    ? new ScalarJudge(engine, { maxConcurrent })
    : new RmR1Judge(engine, { ...form, temperature: 0, maxNewTokens, maxConcurrent });
  const inputs = pairs.map(({ record, a, b }) => ({ conversation: record.conversation, a, b }));
  const judgements = new Array<Judgement>(pairs.length);
  let done = 0;
  const options = { probability: false, ...(signal === undefined ? {} : { signal }) };
  for await (const { index, answer, error } of judge.judge(inputs, options)) {
    if (error !== undefined) throw error;
    judgements[index] = answer;
    done++;
    onProgress?.(done, pairs.length);
  }
  if (done !== pairs.length) throw new Error(`The judge answered ${done} of ${pairs.length} pairs`);
  const judged = pairs.map((pair, index) => ({ pair, judgement: judgements[index]! }));
  return { report: reportOf(judged, (performance.now() - began) / 1000), judged };
}

/** Counts judgements. What holds no verdict is wrong in `accuracy`, left out of `parsedAccuracy`, and counted by reason. */
export function reportOf(judged: readonly EvaluatedPair[], wallSeconds: number): EvaluationReport {
  const sides = { A: 0, B: 0 };
  const unparsable: { [reason: string]: number } = {};
  const finishes: { [finish: string]: number } = {};
  let correct = 0;
  let tokens = 0;
  for (const { pair, judgement: { outcome, finish, tokens: generated } } of judged) {
    if (outcome.kind === "unparsable" || outcome.kind === "none") {
      increment(unparsable, outcome.reason);
    } else {
      sides[outcome.kind]++;
      if (outcome.kind === pair.gold) correct++;
    }
    if (finish !== null) increment(finishes, finish);
    tokens += generated;
  }
  const examples = judged.length;
  const parsed = sides.A + sides.B;
  return {
    examples,
    correct,
    parsed,
    accuracy: proportion(correct, examples),
    parsedAccuracy: parsed === 0 ? null : proportion(correct, parsed),
    parseRate: proportion(parsed, examples),
    sides,
    unparsable,
    finishes,
    tokens,
    wallSeconds,
  };
}

/** The 97.5 % quantile of the standard normal distribution. */
const Z = 1.959963984540054;

/**
 * A share with its 95 % score interval (Wilson 1927, "Probable inference, the law of succession, and statistical
 * inference", equation 5).
 *
 * @throws {RangeError} `total` is not above 0.
 */
export function proportion(successes: number, total: number): Proportion {
  if (!(total > 0)) throw new RangeError(`Expected a share of something, not of "${total}"`);
  const value = successes / total;
  const z2 = Z * Z / total;
  const centre = (value + z2 / 2) / (1 + z2);
  const half = Z * Math.sqrt(value * (1 - value) / total + z2 / (4 * total)) / (1 + z2);
  return { value, interval: [Math.max(0, centre - half), Math.min(1, centre + half)] };
}
