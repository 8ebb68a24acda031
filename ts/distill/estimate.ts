/**
 * What a distillation will take, before anything is sent.
 *
 * @module
 */
import type { PlacedPair } from "../data/mod.ts";
import { type Answer, costOf, mostTokens, type Prices } from "../endpoint/mod.ts";
import { assess } from "./assess.ts";
import type { Message } from "../engine/engine.ts";

/** A number of calls, their tokens, and their cost, null where prices are not known. */
export interface EstimatedAmount {
  readonly calls: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cost: number | null;
}

/** What is still to be taken. Failed calls come on top of both. */
export interface Estimate {
  /** Calls that the journal answers. */
  readonly answered: number;
  readonly expected: EstimatedAmount;
  /** Each answer as long as it may be, and each verdict of pass 1 wrong. */
  readonly most: EstimatedAmount;
}

/** Options of {@link estimate}. */
export interface EstimateOptions {
  readonly maxTokens: number;
  readonly prices: { readonly 1: Prices | null; readonly 2: Prices | null };
  /** The answer to a pass's messages where the journal has it. */
  readonly answerTo: (pass: 1 | 2, messages: readonly Message[]) => Answer | undefined;
  readonly renderFirst: (pair: PlacedPair) => readonly Message[];
  readonly renderSecond: (pair: PlacedPair, wrongTrace: string) => readonly Message[];
}

/** English text and common vocabularies. */
const BYTES_PER_TOKEN = 4;
/** Tokens of a trace, where the journal has none to go by. */
const TRACE_TOKENS = 700;
/** Share of pass 1 that is wrong: about a quarter, as RM-R1 reports of its oracle. */
const WRONG_SHARE = 0.25;

/** Estimates what pairs will take beyond what the journal answers. */
export function estimate(pairs: readonly PlacedPair[], options: EstimateOptions): Estimate {
  const { maxTokens, prices, answerTo, renderFirst, renderSecond } = options;
  const firsts = pairs.map((pair) => {
    const messages = renderFirst(pair);
    return { pair, messages, answer: answerTo(1, messages) };
  });
  const written = firsts.flatMap(({ answer }) => answer?.tokens?.output ?? []);
  const mean = written.length === 0
    ? Math.min(TRACE_TOKENS, maxTokens)
    : written.reduce((sum, count) => sum + count, 0) / written.length;
  const expected = new Totals();
  const most = new Totals();
  let answered = 0;
  for (const { pair, messages, answer } of firsts) {
    const wrong = answer === undefined ? null : assess(answer.text, answer.end, pair);
    if (answer === undefined) {
      expected.add(1, 1, bytesOf(messages) / BYTES_PER_TOKEN, mean);
      most.add(1, 1, mostTokens(messages, { maxTokens }).input, maxTokens);
    } else {
      answered++;
      if (wrong!.kept || wrong!.rejection !== "wrong-verdict") continue;
    }
    const second = renderSecond(pair, wrong?.trace ?? "");
    if (wrong !== null && answerTo(2, second) !== undefined) {
      answered++;
      continue;
    }
    const trace = wrong === null ? mean : 0;
    expected.add(2, wrong === null ? WRONG_SHARE : 1, bytesOf(second) / BYTES_PER_TOKEN + trace, mean);
    most.add(2, 1, mostTokens(second, { maxTokens }).input + (wrong === null ? maxTokens : 0), maxTokens);
  }
  return { answered, expected: expected.amount(prices), most: most.amount(prices) };
}

function bytesOf(messages: readonly Message[]): number {
  return messages.reduce((sum, { content }) => sum + Buffer.byteLength(content), 0);
}

class Totals {
  readonly #passes = { 1: { calls: 0, input: 0, output: 0 }, 2: { calls: 0, input: 0, output: 0 } };

  add(pass: 1 | 2, share: number, input: number, output: number): void {
    const total = this.#passes[pass];
    total.calls += share;
    total.input += share * input;
    total.output += share * output;
  }

  amount(prices: EstimateOptions["prices"]): EstimatedAmount {
    const { 1: first, 2: second } = this.#passes;
    const costs = ([1, 2] as const).map((pass) =>
      costOf({ calls: this.#passes[pass].calls, tokens: this.#passes[pass] }, prices[pass])
    );
    return {
      calls: Math.ceil(first.calls + second.calls),
      inputTokens: Math.ceil(first.input + second.input),
      outputTokens: Math.ceil(first.output + second.output),
      cost: costs.some((cost) => cost === null) ? null : costs[0]! + costs[1]!,
    };
  }
}
