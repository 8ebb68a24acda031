/**
 * A server behind HTTP: one call, one answer or one error that says what to do about it.
 *
 * @module
 */
import { createParser } from "eventsource-parser";
import { chunks } from "./chunks.ts";
import type { Message } from "../engine/engine.ts";
import { retryAfter } from "./adaptive_limit.ts";
import { API_NAMES, type ApiName } from "./api_name.ts";
import { APIS, type EndpointRequest, malformed, parseJson } from "./apis.ts";
import type { Answer, CallTokens } from "./call.ts";
import { EndpointError } from "./endpoint_error.ts";

/** Options of {@link Endpoint}. */
export interface EndpointOptions {
  /** A server's address, with or without the API's path. */
  readonly url: string;
  /** Default: what the address says, else "openai". */
  readonly api?: ApiName;
  /** Sent to that address alone; null sends none. */
  readonly key: string | null;
  /**
   * Ask for answers piece by piece, so that a silent server is noticed; some servers count the tokens of whole answers
   * alone. Default true.
   */
  readonly stream?: boolean;
  /** Seconds without a byte after which a call is given up. Default 300. */
  readonly stallSeconds?: number;
  /** Seconds after which a call is given up. Default 1800. */
  readonly callSeconds?: number;
}

/** Options of {@link Endpoint.send}. */
export interface SendOptions {
  /** Ends the call. */
  readonly signal?: AbortSignal;
  /** Told all text so far, where the server sends it piece by piece. */
  readonly onText?: (text: string) => void;
}

/** Statuses at which no further call has a chance. */
const STOPS: ReadonlyMap<number, string> = new Map([
  [401, "the key is missing or wrong"],
  [402, "the account has no credit"],
  [403, "the key has no right to this"],
  [404, "there is no such address or model"],
  [405, "there is no such API at this address"],
]);
/** Statuses of a server that has not begun to work on the call. */
const NOT_BEGUN: ReadonlySet<number> = new Set([429, 503, 529]);
const PASSING: ReadonlySet<number> = new Set([408, 409, 425, 429]);
const NO_CONNECTION = /connection refused|econnrefused|enotfound|dns error|network is unreachable/i;

/** Speaks to a server. */
export class Endpoint {
  readonly api: ApiName;
  /** Where calls go. */
  readonly endpoint: URL;
  readonly #key: string | null;
  readonly #stream: boolean;
  readonly #stall: number;
  readonly #call: number;

  /** @throws {RangeError} The address is none of HTTP. */
  constructor({ url, api, key, stream = true, stallSeconds = 300, callSeconds = 1800 }: EndpointOptions) {
    const endpoint = URL.canParse(url) ? new URL(url) : null;
    if (endpoint === null || !/^https?:$/.test(endpoint.protocol)) {
      throw new RangeError(
        `The server's address is "${url}", expected one that begins with http:// or https://`,
      );
    }
    const path = endpoint.pathname.replace(/\/+$/, "");
    const named = API_NAMES.find((name) => path.endsWith(APIS[name].path));
    this.api = api ?? named ?? (endpoint.hostname.endsWith("anthropic.com") ? "anthropic" : "openai");
    if (named === undefined) {
      endpoint.pathname = `${/\/v\d+$/.test(path) ? path : `${path}/v1`}${APIS[this.api].path}`;
    }
    this.endpoint = endpoint;
    this.#key = key;
    this.#stream = stream;
    this.#stall = stallSeconds * 1000;
    this.#call = callSeconds * 1000;
  }

  /**
   * Makes one call, once.
   *
   * @throws {EndpointError} There is no answer.
   * @throws The signal's reason.
   */
  async send(request: EndpointRequest, { signal, onText }: SendOptions = {}): Promise<Answer> {
    const { headers, body } = APIS[this.api];
    using limits = new Timeouts(this.#stall, this.#call, signal);
    let response: Response;
    try {
      response = await fetch(this.endpoint, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers(this.#key) },
        body: JSON.stringify(body(request, { host: this.endpoint.hostname, stream: this.#stream })),
        // Another address would get the key.
        redirect: "manual",
        signal: limits.signal,
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw this.#lost(error, limits);
    }
    try {
      limits.bytesCame();
      if (response.status !== 200) throw await this.#refusal(response);
      return await this.#read(response, limits, onText);
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof EndpointError)) throw this.#lost(error, limits);
      throw new EndpointError(error.kind, this.#redact(error.message), error);
    } finally {
      await response.body?.cancel().catch(() => {});
    }
  }

  async #read(response: Response, limits: Timeouts, onText: SendOptions["onText"]): Promise<Answer> {
    const api = APIS[this.api];
    const streamed = /^text\/event-stream\b/i.test(response.headers.get("content-type") ?? "");
    const reader = api.reader();
    const parser = createParser({ onEvent: ({ event, data }) => reader.push({ event, data }) });
    const decoder = new TextDecoder("utf-8", { fatal: true });
    let whole = "";
    for await (const chunk of response.body === null ? [] : chunks(response.body)) {
      limits.bytesCame();
      const text = decoder.decode(chunk, { stream: true });
      if (!streamed) whole += text;
      else {
        parser.feed(text);
        onText?.(reader.text());
      }
    }
    // The last event may lack the line end that hands it over.
    parser.feed("\n\n");
    const answer = streamed ? reader.finish() : api.read(parseJson(whole));
    if (answer === null) {
      throw new EndpointError("retry", "The server's answer ended in the middle", { charged: true });
    }
    if (!answer.text.isWellFormed()) throw malformed("well-formed Unicode", answer.text);
    return answer;
  }

  async #refusal(response: Response): Promise<EndpointError> {
    const { status } = response;
    const text = await response.text().catch(() => "");
    const said = sayingOf(text).trim().slice(0, 300);
    const why = `status ${status}${said === "" ? "" : `: ${said}`}`;
    if (status >= 300 && status < 400) {
      const to = response.headers.get("location") ?? "nowhere";
      return new EndpointError("stop", `The server redirects to "${to}"; name that address if it is right`, {
        charged: false,
      });
    }
    const stop = status === 429 && /insufficient_quota/.test(text) ? STOPS.get(402) : STOPS.get(status);
    if (stop !== undefined) {
      return new EndpointError("stop", `The server at ${this.endpoint} refuses all calls, ${stop} (${why})`, {
        charged: false,
      });
    }
    const wait = retryAfter(response.headers.get("retry-after"));
    const message = `The server answers with ${why}`;
    if (NOT_BEGUN.has(status)) {
      return new EndpointError("limited", message, { retryAfter: wait, charged: false });
    }
    if (PASSING.has(status) || status >= 500) {
      return new EndpointError("retry", message, { retryAfter: wait, charged: true });
    }
    return new EndpointError("refused", message, { charged: status < 400 });
  }

  #lost(cause: unknown, limits: Timeouts): EndpointError {
    const reasons = [cause, (cause as Error).cause].filter((each) => each instanceof Error)
      .map(({ message }) => message).join(": ");
    const reason = limits.passed ?? this.#redact(reasons);
    return new EndpointError("retry", `The connection to the server was lost: ${reason}`, {
      charged: limits.passed !== null || !NO_CONNECTION.test(reasons),
      cause,
    });
  }

  #redact(text: string): string {
    return this.#key === null || this.#key === "" ? text : text.replaceAll(this.#key, "[key]");
  }
}

/** The message of an error's body: of its JSON where it is some, else all of it. */
function sayingOf(text: string): string {
  try {
    const { error, message } = JSON.parse(text);
    return String(error?.message ?? message ?? error ?? text);
  } catch {
    return text;
  }
}

/** Ends a call that takes too long, on the whole or between bytes. */
class Timeouts implements Disposable {
  readonly #controller = new AbortController();
  /** Ends the call when a limit passes, or when whoever made it has enough. */
  readonly signal: AbortSignal;
  readonly #stall: number;
  readonly #whole: ReturnType<typeof setTimeout>;
  #silent: ReturnType<typeof setTimeout> | undefined;
  /** Which limit passed, in words; null where none did. */
  passed: string | null = null;

  constructor(stall: number, whole: number, signal: AbortSignal | undefined) {
    this.#stall = stall;
    this.signal = signal === undefined
      ? this.#controller.signal
      : AbortSignal.any([this.#controller.signal, signal]);
    this.#whole = this.#after(whole, `no whole answer within ${whole / 1000} s`);
    this.bytesCame();
  }

  bytesCame(): void {
    clearTimeout(this.#silent);
    this.#silent = this.#after(this.#stall, `no byte within ${this.#stall / 1000} s`);
  }

  #after(milliseconds: number, words: string): ReturnType<typeof setTimeout> {
    return setTimeout(() => {
      this.passed ??= words;
      this.#controller.abort(new Error(words));
    }, milliseconds);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#whole);
    clearTimeout(this.#silent);
  }
}

/** Tokens that a chat template may put around messages. */
const TEMPLATE_TOKENS = { chat: 256, message: 32 };

/**
 * The most tokens that messages can come to: a token of a byte-level vocabulary holds at least one byte of UTF-8, and
 * a template adds some around each message.
 */
export function mostTokens(
  messages: readonly Message[],
  { maxTokens }: EndpointRequest["sampling"],
): CallTokens {
  const bytes = messages.reduce((sum, { content }) => sum + new TextEncoder().encode(content).length, 0);
  return {
    input: bytes + messages.length * TEMPLATE_TOKENS.message + TEMPLATE_TOKENS.chat,
    output: maxTokens,
  };
}
