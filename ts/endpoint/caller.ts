/**
 * Makes calls to a server: each answered once, within the rate and the budget, and written down.
 *
 * @module
 */
import { hashFraction } from "../data/hash.ts";
import { sleep } from "./sleep.ts";
import { AdaptiveLimit, type CallEnd } from "./adaptive_limit.ts";
import type { Sampling } from "./apis.ts";
import type { Budget } from "./budget.ts";
import { type Endpoint, mostTokens } from "./endpoint.ts";
import type { Answer, Call, CallTokens } from "./call.ts";
import { type CallLabel, type Journal, keyOf } from "./journal.ts";
import { EndpointError, EndpointLostError } from "./endpoint_error.ts";

/** How calls are made again. */
export interface RetryOptions {
  /** Attempts after the first one. Default 6. */
  readonly retries?: number;
  /** Seconds that the first wait may last; each further one twice as long. Default 1. */
  readonly baseSeconds?: number;
  /** Most seconds of a wait that the server did not ask for. Default 60. */
  readonly mostSeconds?: number;
  /** Of the waits' lengths. */
  readonly seed: number;
}

/** Options of {@link Caller}. */
export interface CallerOptions {
  readonly endpoint: Endpoint;
  readonly journal: Pick<Journal, "append" | "content">;
  readonly budget: Budget;
  /** Whether the budget has a limit, so that a server that counts more than a call can have must be left. */
  readonly hasLimit: boolean;
  readonly sampling: Sampling;
  /** Most calls at once. */
  readonly concurrency: number;
  readonly retry: RetryOptions;
  /** No call begins after it; those under way are waited for. */
  readonly signal: AbortSignal;
}

/** An answer, or why there is none: no room in the budget, or the server failed or refused each time. */
export type Asked =
  | Answer
  | { readonly unanswered: "budget" }
  | { readonly unanswered: "failed" | "refused"; readonly reason: string };

/** Calls at once to begin with. */
const START = 4;
/** Calls in a row that are given up, after which the server is taken to be out of order. */
const MOST_GIVEN_UP = 10;
const NOTHING: CallTokens = { input: 0, output: 0 };

/** Makes calls. */
export class Caller {
  readonly limit: AdaptiveLimit;
  readonly #options: CallerOptions;
  readonly #halt = new AbortController();
  readonly #signal: AbortSignal;
  readonly #asked = new Map<string, Promise<Asked>>();
  #number: number;
  #answers = 0;
  #givenUp = 0;
  #budgetSpent = false;

  constructor(options: CallerOptions) {
    this.#options = options;
    this.limit = new AdaptiveLimit({ start: START, most: options.concurrency });
    this.#signal = AbortSignal.any([options.signal, this.#halt.signal]);
    this.#number = options.journal.content.lastNumber;
  }

  /** Answers of this session. */
  get answers(): number {
    return this.#answers;
  }

  /**
   * Has a call answered: by the journal, or by the server, again where that may help. The same call is never under way
   * twice.
   *
   * @throws The reason of the signal, or {@link EndpointLostError} when no further call has a chance; calls of others that
   * are under way then still end and are written down.
   */
  async ask(call: Call, about: CallLabel): Promise<Asked> {
    const key = keyOf(call);
    const known = this.#options.journal.content.answers.get(key);
    if (known !== undefined) return known;
    let asked = this.#asked.get(key);
    if (asked === undefined) {
      asked = this.#call(key, call, about);
      this.#asked.set(key, asked);
    }
    return await asked;
  }

  async #call(key: string, call: Call, about: CallLabel): Promise<Asked> {
    const { retries = 6 } = this.#options.retry;
    for (let attempt = 0;; attempt++) {
      const before = this.#answers;
      const result = await this.#attempt(key, call, about);
      if (result === null) return { unanswered: "budget" };
      if (!(result instanceof EndpointError)) {
        this.#answers++;
        this.#givenUp = 0;
        return result;
      }
      if (result.kind === "stop") throw this.#stop(result.message, result);
      // While others are answered, a refusal for the rate alone is no reason to give up.
      if (result.kind === "limited" && this.#answers > before) attempt--;
      if (result.kind === "refused" || attempt >= retries) {
        if (++this.#givenUp >= MOST_GIVEN_UP) {
          const words =
            `The server has answered none of the last ${MOST_GIVEN_UP} questions: ${result.message}`;
          throw this.#stop(words, result);
        }
        return { unanswered: result.kind === "refused" ? "refused" : "failed", reason: result.message };
      }
      await this.#wait(key, attempt, result);
    }
  }

  /** One call; null where the budget has no room for it. */
  async #attempt(
    key: string,
    { model, messages }: Call,
    { id, pass }: CallLabel,
  ): Promise<Answer | EndpointError | null> {
    const { endpoint, journal, budget, sampling } = this.#options;
    if (this.#budgetSpent) return null;
    const place = await this.limit.enter(this.#signal);
    let end: CallEnd = "failed";
    let pause = 0;
    try {
      const worst = mostTokens(messages, sampling);
      const room = await budget.reserve(pass, worst);
      if (room === null) {
        this.#budgetSpent = true;
        return null;
      }
      let taken: CallTokens = NOTHING;
      try {
        this.#signal.throwIfAborted();
        const number = ++this.#number;
        await this.#written(journal.append({ type: "call", number, key, id, pass, worst }));
        taken = worst;
        const result = await endpoint.send({ model, messages, sampling }).catch((error: unknown) => {
          if (error instanceof EndpointError) return error;
          throw error;
        });
        if (result instanceof EndpointError) {
          const { message: error, charged } = result;
          if (!charged) taken = NOTHING;
          if (result.kind === "limited") {
            end = "limited";
            pause = result.retryAfter ?? 0;
          }
          await this.#written(journal.append({ type: "failure", number, key, error, charged }));
        } else {
          end = "answered";
          taken = result.tokens ?? worst;
          await this.#written(journal.append({ type: "answer", number, key, id, pass, ...result }));
          this.#checkCount(taken, worst);
        }
        return result;
      } finally {
        room.settle(taken);
      }
    } finally {
      place.leave(end, pause);
    }
  }

  async #written(line: Promise<void>): Promise<void> {
    try {
      await line;
    } catch (error) {
      throw this.#stop((error as Error).message, error);
    }
  }

  #checkCount(taken: CallTokens, worst: CallTokens): void {
    for (const kind of ["input", "output"] as const) {
      if (!this.#options.hasLimit || taken[kind] <= worst[kind]) continue;
      throw this.#stop(
        `The server counts "${taken[kind]}" ${kind} tokens of a call that can have ${worst[kind]} at most, ` +
          "so no budget can be kept",
      );
    }
  }

  /** Lets no further call begin: those who ask get the error. */
  end(error: unknown): void {
    this.#halt.abort(error);
  }

  #stop(message: string, cause?: unknown): EndpointLostError {
    const error = new EndpointLostError(message, { cause });
    this.end(error);
    return error;
  }

  async #wait(key: string, attempt: number, { retryAfter }: EndpointError): Promise<void> {
    const { baseSeconds = 1, mostSeconds = 60, seed } = this.#options.retry;
    const longest = Math.min(mostSeconds, baseSeconds * 2 ** Math.max(0, attempt)) * 1000;
    const wait = Math.max(retryAfter ?? 0, longest * hashFraction(seed, `wait\0${key}\0${attempt}`));
    await sleep(wait, this.#signal);
    this.#signal.throwIfAborted();
  }
}
