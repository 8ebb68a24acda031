/**
 * A real HTTP server on this machine that plays an oracle, speaks both APIs, and has the faults of real ones.
 *
 * What it says is a function of the prompt, so that runs can be compared byte for byte. It finds the better answer by
 * the word {@link BETTER}. It keeps its own account of calls and tokens, of those too whose answers never arrived.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { hashFraction } from "../../data/mod.ts";
import type { Message } from "../../engine/engine.ts";
import type { ApiName } from "../api_name.ts";
import { keyOf } from "../journal.ts";

/** Stands in each better answer of test data. */
export const BETTER = "CERTAINLY";
/** The models that the server knows. */
export const MODELS: readonly string[] = ["oracle-small", "oracle-large"];
/** The key that the server wants. */
export const KEY = "sk-test-1234567890";

/** What goes wrong with a call. */
export type Fault =
  | "none"
  | "slow"
  | "whole"
  | "rate-seconds"
  | "rate-date"
  | "overloaded"
  | "error-500"
  | "cut"
  | "malformed"
  | "ends-early"
  | "no-usage"
  | "stall";

/** Faults that leave a call without an answer. */
const UNANSWERED: ReadonlySet<Fault> = new Set([
  "rate-seconds",
  "rate-date",
  "overloaded",
  "error-500",
  "cut",
  "malformed",
  "ends-early",
  "stall",
]);

/** Options of {@link OracleServer}. */
export interface OracleServerOptions {
  readonly seed?: number;
  /** Share of calls that have a fault, drawn by the seed, the call and how often it has come. Default 0. */
  readonly faults?: number;
  /** The faults to draw from. Default all but "stall". */
  readonly kinds?: readonly Fault[];
  /** Calls at once beyond which further ones are refused. Default no limit. */
  readonly capacity?: number;
  /** Bytes that the server counts as a token. Default 3. */
  readonly bytesPerToken?: number;
  /** Milliseconds that an answer takes. Default 0. */
  readonly latency?: number;
  /** What is said. Default: traces for the two passes of a distillation. */
  readonly say?: (messages: readonly Message[], seed: number) => Said;
  /** Told of each call as it comes. */
  readonly onCall?: (call: SeenCall) => void;
}

/** A call as the server saw it. */
export interface SeenCall {
  /** As the journal has it. */
  readonly key: string;
  readonly model: string;
  readonly fault: Fault;
  readonly input: number;
  /** Tokens that were written, whether or not they arrived. */
  readonly output: number;
  /** The whole answer was sent. */
  answered: boolean;
}

interface Body {
  readonly model: string;
  readonly system?: string;
  readonly messages: readonly Message[];
  readonly max_tokens: number;
  readonly temperature?: number;
}

/** The server. */
export class OracleServer implements AsyncDisposable {
  readonly calls: SeenCall[] = [];
  /** Most calls that were under way at once. */
  mostAtOnce = 0;
  readonly #options: Required<Omit<OracleServerOptions, "onCall">> & Pick<OracleServerOptions, "onCall">;
  readonly #server: Server;
  readonly #times = new Map<string, number>();
  #underWay = 0;

  private constructor(options: OracleServerOptions) {
    const kinds: readonly Fault[] = [...UNANSWERED, "slow", "whole", "no-usage"];
    this.#options = {
      seed: 0,
      faults: 0,
      kinds: kinds.filter((kind) => kind !== "stall"),
      capacity: Infinity,
      bytesPerToken: 3,
      latency: 0,
      say,
      ...options,
    };
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
  }

  /** Starts a server on a free port. */
  static async start(options: OracleServerOptions = {}): Promise<OracleServer> {
    const server = new OracleServer(options);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  /** Address of the server, without a slash at its end. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Tokens of all calls that were worked on. */
  get tokens(): { readonly input: number; readonly output: number } {
    const sum = (of: "input" | "output"): number => this.calls.reduce((total, call) => total + call[of], 0);
    return { input: sum("input"), output: sum("output") };
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const api: ApiName = request.url === "/v1/messages" ? "anthropic" : "openai";
    let text = "";
    for await (const chunk of request.setEncoding("utf8")) text += chunk;
    const given = api === "openai"
      ? request.headers.authorization?.replace(/^Bearer /, "")
      : request.headers["x-api-key"];
    if (given !== KEY) return refuse(response, 401, `Incorrect API key provided: ${given}`);
    if (!/^\/v1\/(messages|chat\/completions)$/.test(request.url ?? "")) {
      return refuse(response, 404, "No such page");
    }
    const body: Body = JSON.parse(text);
    if (!MODELS.includes(body.model)) {
      return refuse(response, 404, `The model "${body.model}" does not exist`);
    }
    this.#underWay++;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#underWay);
    try {
      await this.#work(api, body, response);
    } finally {
      this.#underWay--;
    }
  }

  async #work(api: ApiName, body: Body, response: ServerResponse): Promise<void> {
    const { latency, capacity, bytesPerToken, onCall } = this.#options;
    const messages = body.system === undefined
      ? body.messages
      : [{ role: "system" as const, content: body.system }, ...body.messages];
    const sampling = {
      maxTokens: body.max_tokens,
      ...(body.temperature !== undefined && { temperature: body.temperature }),
    };
    const key = keyOf({ writer: api, model: body.model, messages, sampling, sample: 0 });
    const fault = this.#underWay > capacity ? "rate-seconds" : this.#fault(key);
    const said = this.#options.say(messages, this.#options.seed);
    const worked = !["rate-seconds", "rate-date", "overloaded"].includes(fault);
    const bytes = messages.reduce((sum, { content }) => sum + Buffer.byteLength(content), 0);
    const call: SeenCall = {
      key,
      model: body.model,
      fault,
      input: worked ? Math.ceil(bytes / bytesPerToken) : 0,
      output: worked ? Math.min(body.max_tokens, Math.ceil(said.text.length / bytesPerToken)) : 0,
      answered: false,
    };
    this.calls.push(call);
    onCall?.(call);
    if (latency > 0) await sleep(latency);
    switch (fault) {
      case "rate-seconds":
        return refuse(response, 429, "Too many calls", { "retry-after": "0" });
      case "rate-date":
        return refuse(response, 429, "Too many calls", {
          "retry-after": new Date(Date.now() - 1000).toUTCString(),
        });
      case "overloaded":
        return refuse(response, 529, "Overloaded");
      case "error-500":
        return refuse(response, 500, "Something broke");
      case "stall":
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.write(": still here\n\n");
        return;
    }
    const usage = fault === "no-usage" ? null : call;
    const { body: sent, type } = fault === "whole"
      ? { body: [JSON.stringify(wholeAnswer(api, body.model, said, usage))], type: "application/json" }
      : { body: events(api, body.model, said, usage), type: "text/event-stream; charset=utf-8" };
    if (fault === "malformed") sent.splice(1, 1, 'data: {"choices": [{"delta": {"conte\n\n');
    if (fault === "ends-early") sent.splice(-2);
    response.writeHead(200, { "content-type": type });
    if (fault === "cut") {
      response.write(sent.slice(0, 2).join(""), () => setTimeout(() => response.destroy(), 2));
      return;
    }
    for (const part of sent) {
      response.write(part);
      if (fault === "slow") await sleep(4);
    }
    response.end(() => call.answered = !UNANSWERED.has(fault));
  }

  #fault(key: string): Fault {
    const { seed, faults, kinds } = this.#options;
    const times = this.#times.get(key) ?? 0;
    this.#times.set(key, times + 1);
    if (hashFraction(seed, `fault\0${key}\0${times}`) >= faults) return "none";
    return kinds[Math.floor(hashFraction(seed, `kind\0${key}\0${times}`) * kinds.length)]!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

function refuse(
  response: ServerResponse,
  status: number,
  message: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers })
    .end(JSON.stringify({ error: { type: "error", message } }));
}

/** A text, and whether the limit of tokens ended it. */
export interface Said {
  readonly text: string;
  readonly cut: boolean;
}

/** What the oracle says: in pass 1 wrong for some prompts, in pass 2 mostly right, now and then unfit. */
function say(messages: readonly Message[], seed: number): Said {
  const prompt = messages.at(-1)!.content;
  const [question] = prompt.split("[Known Verdict]") as [string];
  const second = question.length < prompt.length;
  const better = question.indexOf(BETTER) < question.indexOf("[The Start of Chatbot B's Response]")
    ? "A"
    : "B";
  const worse = better === "A" ? "B" : "A";
  const name = createHash("sha256").update(prompt).digest("hex");
  const draw = hashFraction(seed, `say\0${name}`);
  const quoted = /\[The Start of Chatbot A's Response\]\n(.*)\n/.exec(question)?.[1] ?? "";
  const because = second ? "On a closer look" : "At first sight";
  const trace = (
    side: string,
    eval_ = `${because}, <quote_A>${quoted}</quote_A> settles ${name.slice(0, 12)}.`,
  ): string =>
    `<type>Reasoning</type>\n\n<solution>\n${
      name.slice(12, 20)
    } é\n</solution>\n\n<eval>\n${eval_}\n</eval>\n\n` +
    `<answer>[[${side}]]</answer>`;
  if (draw < 0.06) return { text: trace(better).slice(0, 90), cut: true };
  if (draw < 0.1) return { text: "I cannot decide between the two.", cut: false };
  if (draw < (second ? 0.15 : 0.4)) return { text: trace(worse), cut: false };
  if (second && draw < 0.3) {
    return { text: trace(better, "The correct verdict is known, so it is settled."), cut: false };
  }
  if (draw < 0.5) {
    return { text: trace(better, "<quote_B>words that nobody said</quote_B> settles it."), cut: false };
  }
  return { text: trace(better), cut: false };
}

function pieces(text: string): string[] {
  return Array.from({ length: Math.ceil(text.length / 40) }, (_, at) => text.slice(40 * at, 40 * at + 40));
}

type Usage = Pick<SeenCall, "input" | "output"> | null;

function events(api: ApiName, model: string, { text, cut }: Said, usage: Usage): string[] {
  if (api === "openai") {
    const chunk = (fields: object): string =>
      `data: ${JSON.stringify({ model, choices: [], ...fields })}\n\n`;
    const choice = (delta: object, finish_reason: string | null): string =>
      chunk({ choices: [{ index: 0, delta, finish_reason }] });
    return [
      choice({ role: "assistant", content: "" }, null),
      ...pieces(text).map((content) => choice({ content }, null)),
      ...(usage === null
        ? []
        : [chunk({ usage: { prompt_tokens: usage.input, completion_tokens: usage.output } })]),
      choice({}, cut ? "length" : "stop"),
      "data: [DONE]\n\n",
    ];
  }
  const event = (type: string, fields: object): string =>
    `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`;
  return [
    event("message_start", {
      message: { model, usage: usage === null ? null : { input_tokens: usage.input, output_tokens: 1 } },
    }),
    event("content_block_start", { index: 0, content_block: { type: "text", text: "" } }),
    event("ping", {}),
    ...pieces(text).map((part) =>
      event("content_block_delta", { index: 0, delta: { type: "text_delta", text: part } })
    ),
    event("content_block_stop", { index: 0 }),
    event("message_delta", {
      delta: { stop_reason: cut ? "max_tokens" : "end_turn" },
      usage: usage === null ? null : { output_tokens: usage.output },
    }),
    event("message_stop", {}),
  ];
}

function wholeAnswer(api: ApiName, model: string, { text, cut }: Said, usage: Usage): object {
  return api === "openai"
    ? {
      model,
      choices: [{
        index: 0,
        message: { role: "assistant", content: text },
        finish_reason: cut ? "length" : "stop",
      }],
      usage: usage === null ? null : { prompt_tokens: usage.input, completion_tokens: usage.output },
    }
    : {
      model,
      content: [{ type: "text", text }],
      stop_reason: cut ? "max_tokens" : "end_turn",
      usage: usage === null ? null : { input_tokens: usage.input, output_tokens: usage.output },
    };
}
