/**
 * Texts by a server's model for products: nothing is written down, and a cancelled call ends at once.
 *
 * @module
 */
import type { Answer } from "../endpoint/call.ts";
import type { Sampling } from "../endpoint/apis.ts";
import type { Endpoint, SendOptions } from "../endpoint/endpoint.ts";
import { EndpointError } from "../endpoint/endpoint_error.ts";
import { closedError } from "../engine/core/door.ts";
import { sleep } from "../endpoint/sleep.ts";
import type { Asking, WriteOptions } from "./engine_writer.ts";
import type { Answered } from "./judge.ts";
import type { EndpointText, ServedWriter } from "./served_writer.ts";

/** How a server is asked. */
export interface ServerWriterOptions {
  readonly endpoint: Endpoint;
  readonly model: string;
  readonly sampling: Sampling;
  /** Attempts after the first one. Default 4. */
  readonly retries?: number;
}

/** Milliseconds of the first wait; each further one is twice as long. */
const FIRST_WAIT = 500;

/** Writes by a server's model, all texts at once. */
export class ServerWriter implements ServedWriter {
  readonly #options: ServerWriterOptions;
  readonly #closed = new AbortController();

  /** Calls begin with {@link ServerWriter.write}. */
  constructor(options: ServerWriterOptions) {
    this.#options = options;
  }

  get identity(): Readonly<Record<string, unknown>> {
    const { endpoint, model, sampling } = this.#options;
    return { api: endpoint.api, endpoint: String(endpoint.endpoint), model, ...sampling };
  }

  async *write(
    askings: readonly Asking[],
    { signal, onText }: WriteOptions,
  ): AsyncGenerator<Answered<EndpointText>> {
    this.#closed.signal.throwIfAborted();
    const left = new AbortController();
    const ends = AbortSignal.any([
      left.signal,
      this.#closed.signal,
      ...(signal === undefined ? [] : [signal]),
    ]);
    const open = new Map(askings.map((asking, index) => {
      const telling = onText === undefined ? {} : { onText: (text: string) => onText(index, text) };
      return [index, this.#ask(index, asking, { signal: ends, ...telling })];
    }));
    try {
      while (open.size > 0) {
        const answered = await Promise.race(open.values());
        open.delete(answered.index);
        signal?.throwIfAborted();
        yield answered;
      }
    } finally {
      left.abort();
    }
  }

  async #ask(
    index: number,
    { messages }: Asking,
    options: SendOptions & { readonly signal: AbortSignal },
  ): Promise<Answered<EndpointText>> {
    const { endpoint, model, sampling, retries = 4 } = this.#options;
    for (let attempt = 0;; attempt++) {
      let answer: Answer;
      try {
        answer = await endpoint.send({ model, messages, sampling }, options);
      } catch (error) {
        const again = error instanceof EndpointError && (error.kind === "limited" || error.kind === "retry");
        if (!again || attempt >= retries) {
          return { index, error: error instanceof Error ? error : new Error(String(error)) };
        }
        await sleep(Math.max(error.retryAfter ?? 0, FIRST_WAIT * 2 ** attempt), options.signal);
        continue;
      }
      return { index, answer: { text: answer.end === "refusal" ? null : answer.text, answer } };
    }
  }

  /** Ends all calls; there are no more. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort(closedError());
    return Promise.resolve();
  }
}
