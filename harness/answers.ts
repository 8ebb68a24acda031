/**
 * Asks a judge what the journal does not know yet.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { Side } from "rm-r1/data";
import type { Answered, Judge, JudgeInput, JudgeOptions, ScoreInput, Scorer } from "rm-r1/judge";
import type { CallLabel, Journal, JournalLine, StoredJudgement } from "./journal.ts";

/** A pair to judge. */
export interface PairCall {
  readonly input: JudgeInput;
  /** The place of the better answer: part of the key, never shown to the judge. */
  readonly gold: Side;
  readonly about: CallLabel;
}

/** An answer to score. */
export interface ScoreCall {
  readonly input: ScoreInput;
  readonly about: CallLabel;
}

/** How far a run is. */
export interface Progress {
  /** Calls with an answer, those of earlier sessions included. */
  readonly done: number;
  readonly total: number;
  /** Of these, answered before this session. */
  readonly reused: number;
  readonly failed: number;
  /** Generated tokens of this session. */
  readonly tokens: number;
  /** Since the session began. */
  readonly seconds: number;
}

/** Options of {@link judgePairs} and {@link scoreAnswers}. */
export interface AnswerOptions {
  readonly journal: Journal;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Takes a pair without an answer for one without a verdict, instead of giving no answers at all. Default false. */
  readonly countUnanswered?: boolean;
}

/** Some calls got no answer; those that did are in the journal. */
export class UnansweredError extends Error {
  override readonly name = "UnansweredError";
}

/** Failures without an answer between them after which a run ends: the engine is then taken to be lost. */
const LOST_AFTER = 100;

/** A call as {@link answerAll} sees it. */
interface Keyed<Input> {
  readonly key: string;
  readonly input: Input;
  readonly about: CallLabel;
}

/** What stands for a judgement that was never given, where such calls are counted. */
export const UNANSWERED: StoredJudgement = {
  outcome: { kind: "none", reason: "unanswered" },
  tokens: 0,
  promptTokens: 0,
  finish: null,
};

interface Asked<Input, Answer> {
  readonly known: ReadonlyMap<string, unknown>;
  readonly ask: (inputs: readonly Input[], options: JudgeOptions) => AsyncIterable<Answered<Answer>>;
  readonly line: (call: Keyed<Input>, answer: Answer) => JournalLine;
  readonly tokensOf: (answer: Answer) => number;
}

function keyOf(...parts: readonly unknown[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32);
}

/** Makes each call that the journal has no answer to; equal calls are made once. */
async function answerAll<Input, Answer>(
  calls: readonly Keyed<Input>[],
  { known, ask, line, tokensOf }: Asked<Input, Answer>,
  { journal, signal, onProgress, countUnanswered = false }: AnswerOptions,
): Promise<void> {
  const unique = new Map(calls.map((call) => [call.key, call]));
  const open = [...unique.values()].filter(({ key }) => !known.has(key));
  const reused = unique.size - open.length;
  const started = performance.now();
  let [done, failed, inARow, tokens] = [reused, 0, 0, 0];
  let first: Error | undefined;
  const report = (): void => {
    const seconds = (performance.now() - started) / 1000;
    onProgress?.({ done, total: unique.size, reused, failed, tokens, seconds });
  };
  report();
  for await (const result of ask(open.map(({ input }) => input), signal === undefined ? {} : { signal })) {
    const call = open[result.index]!;
    if (result.error === undefined) {
      journal.append(line(call, result.answer));
      tokens += tokensOf(result.answer);
      done++;
      inARow = 0;
    } else {
      journal.append({ type: "failure", key: call.key, about: call.about, error: result.error.message });
      first ??= result.error;
      failed++;
      inARow++;
    }
    report();
    if (inARow === LOST_AFTER) break;
  }
  for (const { key, about } of calls) {
    if (known.has(key) && !journal.names(key, about)) journal.append({ type: "same", key, about });
  }
  if (done < unique.size && !countUnanswered) {
    const why = first === undefined ? "the judge left them out" : `the first with "${first.message}"`;
    throw new UnansweredError(
      `${
        unique.size - done
      } of ${unique.size} calls have no answer, ${why}; the others are in "${journal.path}", ` +
        "and the same command goes on from there",
      { cause: first },
    );
  }
}

/**
 * Judges pairs, one answer a call in the order of the calls. A call is known by the judge's identity (weights,
 * protocol, sampling, seed), the rendered prompt and the order.
 *
 * @throws {UnansweredError} The judge failed on some calls, even if only on one, and these are not to be counted.
 */
export async function judgePairs(
  judge: Judge,
  calls: readonly PairCall[],
  options: AnswerOptions,
): Promise<StoredJudgement[]> {
  const keyed = calls.map(({ input, gold, about }) => {
    const messages = judge.render(input);
    const { sample = 0, ...pair } = input;
    const asked = messages.length > 0 ? messages : pair;
    return { key: keyOf(judge.identity, asked, gold, ...(sample > 0 ? [sample] : [])), input, about };
  });
  const { judgements } = options.journal;
  await answerAll(keyed, {
    known: judgements,
    ask: (inputs, judgeOptions) => judge.judge(inputs, judgeOptions),
    line: ({ key, about }, { logprobs: _, scores: __, ...judgement }) => (
      { type: "judgement", key, about, ...judgement }
    ),
    tokensOf: ({ tokens }) => tokens,
  }, options);
  return keyed.map(({ key }) => judgements.get(key) ?? UNANSWERED);
}

/**
 * Scores answers, one score a call in the order of the calls. A call is known by the judge's identity, the
 * conversation and the answer. null is of an answer that is too long to be scored.
 *
 * @throws {UnansweredError} The judge failed on some calls, even if only on one.
 */
export async function scoreAnswers(
  judge: Scorer,
  calls: readonly ScoreCall[],
  options: AnswerOptions,
): Promise<(number | null)[]> {
  const keyed = calls.map(({ input, about }) => ({ key: keyOf(judge.identity, input), input, about }));
  const { scores } = options.journal;
  await answerAll(keyed, {
    known: scores,
    ask: (inputs, judgeOptions) => judge.score(inputs, judgeOptions),
    line: ({ key, about }, score) => ({ type: "score", key, about, score }),
    tokensOf: () => 0,
  }, { ...options, countUnanswered: false });
  return keyed.map(({ key }) => scores.get(key) ?? null);
}
