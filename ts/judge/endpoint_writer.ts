/**
 * Texts by a language model behind HTTP.
 *
 * @module
 */
import { join } from "node:path";
import {
  type Amount,
  Budget,
  type BudgetLimits,
  type Call,
  Caller,
  costOf,
  EMPTY_JOURNAL,
  type Endpoint,
  Journal,
  keyOf,
  mostTokens,
  type Prices,
  type RetryOptions,
  type Sampling,
} from "../endpoint/mod.ts";
import type { Asking } from "./engine_writer.ts";
import type { EndpointText, ServedWriter } from "./served_writer.ts";
import type { Answered, JudgeOptions } from "./judge.ts";

/** How a server is asked. */
export interface EndpointWriterOptions {
  readonly endpoint: Endpoint;
  readonly model: string;
  readonly sampling: Sampling;
  /** Of a million tokens; null where they are not known. */
  readonly prices: Prices | null;
  readonly budget: BudgetLimits;
  /** Most calls at once. */
  readonly concurrency: number;
  readonly retry: RetryOptions;
  /** Told before the first call of {@link EndpointWriter.write} what it will take. */
  readonly onEstimate?: (estimate: CallEstimate) => void;
  /** Told now and then how the calls go. */
  readonly onCalls?: (state: CallState) => void;
}

/** What calls will take; failed calls come on top. `cost` is null where prices are not known. */
export interface CallEstimate {
  readonly calls: number;
  /** With texts as long as those so far, else as long as the limit. */
  readonly expected: Amount;
  /** With each text as long as the limit. */
  readonly most: Amount;
}

/** How the calls go. */
export interface CallState {
  readonly underWay: number;
  readonly limit: number;
  /** Milliseconds until calls may begin again. */
  readonly pause: number;
  /** Over all sessions of the journal. */
  readonly spent: Amount;
}

/** Name of the journal of calls in a run's directory. */
export const CALLS_FILE = "calls.jsonl";

/** Bytes of UTF-8 that a token of English text has, about. */
const BYTES_PER_TOKEN = 4;

/**
 * Writes by a server's model. With a directory it keeps a journal of calls there, so that what was answered is not
 * asked again and a budget holds over all sessions; without one it writes nothing down.
 */
export class EndpointWriter implements ServedWriter {
  readonly #options: EndpointWriterOptions;
  #journal: Pick<Journal, "append" | "content"> = { content: EMPTY_JOURNAL, append: () => Promise.resolve() };
  #file: Journal | null = null;
  #budget: Budget;

  /** @throws {RangeError} A limit of the cost, and prices that are not known. */
  constructor(options: EndpointWriterOptions) {
    this.#options = options;
    this.#budget = this.#openBudget();
  }

  get identity(): Readonly<Record<string, unknown>> {
    const { endpoint, model, sampling } = this.#options;
    return { api: endpoint.api, endpoint: String(endpoint.endpoint), model, ...sampling };
  }

  async begin(directory: string): Promise<void> {
    const { endpoint, model, sampling, budget } = this.#options;
    await this.#file?.[Symbol.asyncDispose]();
    this.#file = this.#journal = await Journal.open(join(directory, CALLS_FILE));
    this.#budget = this.#openBudget();
    await this.#file.append({
      type: "session",
      time: new Date().toISOString(),
      settings: { endpoint: String(endpoint.endpoint), model, sampling, budget },
    });
  }

  #openBudget(): Budget {
    const { budget, prices } = this.#options;
    return new Budget(budget, { 1: prices, 2: prices }, this.#journal.content.spent);
  }

  #callOf({ messages, sample }: Asking): Call {
    const { endpoint, model, sampling } = this.#options;
    return { writer: endpoint.api, model, messages, sampling: { ...sampling }, sample };
  }

  /** What these texts will take; those that the journal has take nothing. */
  estimate(askings: readonly Asking[]): CallEstimate {
    const { sampling: { maxTokens }, prices } = this.#options;
    const { answers } = this.#journal.content;
    const written = [...answers.values()].flatMap(({ tokens }) => tokens?.output ?? []);
    const mean = written.length === 0
      ? maxTokens
      : written.reduce((sum, count) => sum + count, 0) / written.length;
    const open = askings.filter((asking) => !answers.has(keyOf(this.#callOf(asking))));
    const total = (of: (asking: Asking) => number): number =>
      Math.ceil(open.reduce((sum, asking) => sum + of(asking), 0));
    const amount = (input: number, output: number): Amount => ({
      calls: open.length,
      tokens: input + output,
      cost: costOf({ calls: open.length, tokens: { input, output } }, prices),
    });
    return {
      calls: open.length,
      expected: amount(total(({ messages }) => bytesOf(messages) / BYTES_PER_TOKEN), total(() => mean)),
      most: amount(
        total(({ messages }) => mostTokens(messages, { maxTokens }).input),
        total(() => maxTokens),
      ),
    };
  }

  async *write(
    askings: readonly Asking[],
    { signal = new AbortController().signal }: Pick<JudgeOptions, "signal">,
  ): AsyncGenerator<Answered<EndpointText>> {
    const { onEstimate, onCalls, concurrency } = this.#options;
    onEstimate?.(this.estimate(askings));
    signal.throwIfAborted();
    const caller = this.#openCaller(signal);
    const queue = askings.entries();
    const done: Answered<EndpointText>[] = [];
    let wake = (): void => {};
    let working = Math.min(concurrency, askings.length);
    const report = (): void => {
      const { underWay, limit, pause } = caller.limit;
      onCalls?.({ underWay, limit, pause, spent: this.#budget.spent });
    };
    const work = async (): Promise<void> => {
      for (const [index, asking] of queue) {
        done.push(await this.#ask(caller, index, asking));
        wake();
      }
    };
    // Waits and pauses are to be seen, too.
    const ticking = setInterval(report, 1000);
    const workers = Array.from({ length: working }, () =>
      work().catch((error: unknown) => {
        caller.end(error);
        throw error;
      }).finally(() => {
        working--;
        wake();
      }));
    const ended = Promise.allSettled(workers);
    try {
      while (working > 0 || done.length > 0) {
        if (done.length === 0) await new Promise<void>((resolve) => wake = resolve);
        yield* done.splice(0);
      }
      for (const worker of await ended) if (worker.status === "rejected") throw worker.reason;
    } finally {
      // A consumer that goes away lets no further call begin; those under way are paid for and are written down.
      caller.end(new Error("Nobody waits for an answer"));
      await ended;
      clearInterval(ticking);
      report();
    }
  }

  #openCaller(signal: AbortSignal): Caller {
    const { endpoint, sampling, budget, concurrency, retry } = this.#options;
    const hasLimit = Object.values(budget).some((limit) => limit !== undefined);
    return new Caller({
      endpoint,
      journal: this.#journal,
      budget: this.#budget,
      hasLimit,
      sampling,
      concurrency,
      retry,
      signal,
    });
  }

  async #ask(caller: Caller, index: number, asking: Asking): Promise<Answered<EndpointText>> {
    const call = this.#callOf(asking);
    const asked = await caller.ask(call, { id: `judgement ${keyOf(call).slice(0, 12)}`, pass: 1 });
    if (!("unanswered" in asked)) {
      return { index, answer: { text: asked.end === "refusal" ? null : asked.text, answer: asked } };
    }
    const message = asked.unanswered === "budget"
      ? "The budget has no room for a further call"
      : asked.reason;
    return { index, error: new Error(message) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.[Symbol.asyncDispose]();
  }
}

function bytesOf(messages: Asking["messages"]): number {
  return messages.reduce((sum, { content }) => sum + Buffer.byteLength(content), 0);
}
