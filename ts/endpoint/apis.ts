/**
 * The two HTTP APIs of model servers: OpenAI's chat completions, which most servers speak, and Anthropic's messages.
 *
 * @module
 */
import * as z from "zod";
import type { Message } from "../engine/engine.ts";
import type { ApiName } from "./api_name.ts";
import type { Answer, AnswerEnd } from "./call.ts";
import { EndpointError } from "./endpoint_error.ts";

/** How a server samples. What is left out is left to the server. */
export interface Sampling {
  /** Most tokens of an answer. */
  readonly maxTokens: number;
  readonly temperature?: number;
  readonly topP?: number;
}

/** A call as an API takes it. */
export interface EndpointRequest {
  readonly model: string;
  readonly messages: readonly Message[];
  readonly sampling: Sampling;
}

/** An event of a stream: its name, where it has one, and its data. */
export interface StreamEvent {
  readonly event: string | undefined;
  readonly data: string;
}

/** Puts an answer together from the events of its stream. */
export interface AnswerReader {
  /** @throws {EndpointError} The event is malformed, or tells of an error. */
  push(event: StreamEvent): void;
  /** All text so far. */
  text(): string;
  /** The answer; null where the stream ended before the answer did. */
  finish(): Answer | null;
}

/** What is particular to an API. */
export interface Api {
  /** Appended to an address that ends before it. */
  readonly path: string;
  /** Environment variable of the key. */
  readonly keyVariable: string;
  headers(key: string | null): Record<string, string>;
  /** `stream`: whether the answer is to come piece by piece. */
  body(request: EndpointRequest, server: { readonly host: string; readonly stream: boolean }): object;
  /** Reads an answer that came whole. @throws {EndpointError} It is malformed. */
  read(json: unknown): Answer;
  reader(): AnswerReader;
}

const count = z.int().nonnegative();

/** The error of an answer that is not as its API has it. */
export function malformed(what: string, found: unknown): EndpointError {
  const text = typeof found === "string" ? found : JSON.stringify(found) ?? "nothing";
  return new EndpointError(
    "retry",
    `The server's answer is malformed: expected ${what}, found "${cut(text)}"`,
    {
      charged: true,
    },
  );
}

function cut(text: string): string {
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}

function parsed<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const result = schema.safeParse(value);
  if (!result.success) throw malformed(what, value);
  return result.data;
}

/** Reads JSON that a server sent. @throws {EndpointError} It is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw malformed("JSON", text);
  }
}

const openAiUsage = z.looseObject({ prompt_tokens: count, completion_tokens: count }).nullish();
const openAiWhole = z.looseObject({
  model: z.string().nullish(),
  choices: z.tuple(
    [z.looseObject({
      message: z.looseObject({ content: z.string().nullish(), refusal: z.string().nullish() }),
      finish_reason: z.string(),
    })],
    z.unknown(),
  ),
  usage: openAiUsage,
});
const openAiChunk = z.looseObject({
  model: z.string().nullish(),
  choices: z.array(z.looseObject({
    index: z.int().optional(),
    delta: z.looseObject({ content: z.string().nullish(), refusal: z.string().nullish() }).nullish(),
    finish_reason: z.string().nullish(),
  })),
  usage: openAiUsage,
});
const errorEvent = z.looseObject({
  error: z.union([z.string(), z.looseObject({ type: z.string().nullish(), message: z.string().nullish() })]),
});

/** Throws where a stream tells of an error in place of its rest. */
function refuseError(value: unknown): void {
  const result = errorEvent.safeParse(value);
  if (!result.success) return;
  const { error } = result.data;
  const [type, message] = typeof error === "string" ? ["", error] : [error.type ?? "", error.message ?? ""];
  const kind = /overloaded|rate_limit/.test(type) ? "limited" : "retry";
  throw new EndpointError(kind, `The server broke off with "${cut(`${type} ${message}`.trim())}"`, {
    charged: true,
  });
}

function endOf(reason: string, length: string, natural: readonly string[]): AnswerEnd {
  if (reason === length) return "length";
  return natural.includes(reason) ? "stop" : "refusal";
}

const openAiEnd = (reason: string): AnswerEnd => endOf(reason, "length", ["stop", "eos", "stop_sequence"]);

function openAiTokens(usage: z.output<typeof openAiUsage>): Answer["tokens"] {
  return usage ? { input: usage.prompt_tokens, output: usage.completion_tokens } : null;
}

/** OpenAI's own server takes the newer name of the limit alone; most others know the older one alone. */
const NEWER_LIMIT = /(?:^|\.)openai\.com$/;

const OPENAI: Api = {
  path: "/chat/completions",
  keyVariable: "OPENAI_API_KEY",
  headers: (key) => key === null ? {} : { authorization: `Bearer ${key}` },
  body: ({ model, messages, sampling: { maxTokens, temperature, topP } }, { host, stream }) => ({
    model,
    messages,
    [NEWER_LIMIT.test(host) ? "max_completion_tokens" : "max_tokens"]: maxTokens,
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { top_p: topP }),
    stream,
    ...(stream && { stream_options: { include_usage: true } }),
  }),
  read(json) {
    const { model, choices: [choice], usage } = parsed(openAiWhole, json, "a chat completion");
    return {
      text: choice.message.content ?? "",
      end: choice.message.refusal ? "refusal" : openAiEnd(choice.finish_reason),
      tokens: openAiTokens(usage),
      servedBy: model ?? null,
    };
  },
  reader() {
    let text = "";
    let end: AnswerEnd | null = null;
    let refused = false;
    let tokens: Answer["tokens"] = null;
    let servedBy: string | null = null;
    return {
      push({ data }) {
        if (data.trim() === "[DONE]") return;
        const value = parseJson(data);
        refuseError(value);
        const { model, choices, usage } = parsed(openAiChunk, value, "a chunk of a chat completion");
        servedBy ??= model ?? null;
        tokens = openAiTokens(usage) ?? tokens;
        for (const { index = 0, delta, finish_reason: reason } of choices) {
          if (index !== 0) continue;
          text += delta?.content ?? "";
          refused ||= Boolean(delta?.refusal);
          if (reason) end = openAiEnd(reason);
        }
      },
      text: () => text,
      finish: () => end === null ? null : { text, end: refused ? "refusal" : end, tokens, servedBy },
    };
  },
};

const anthropicUsage = z.looseObject({
  input_tokens: count.nullish(),
  cache_creation_input_tokens: count.nullish(),
  cache_read_input_tokens: count.nullish(),
  output_tokens: count.nullish(),
});
type AnthropicUsage = z.output<typeof anthropicUsage>;
const anthropicWhole = z.looseObject({
  model: z.string().nullish(),
  content: z.array(z.looseObject({ type: z.string(), text: z.string().optional() })),
  stop_reason: z.string(),
  usage: anthropicUsage.nullish(),
});
const anthropicEvent = z.discriminatedUnion("type", [
  z.looseObject({
    type: z.literal("message_start"),
    message: z.looseObject({ model: z.string().nullish(), usage: anthropicUsage.nullish() }),
  }),
  z.looseObject({
    type: z.literal("content_block_delta"),
    delta: z.looseObject({ type: z.string(), text: z.string().optional() }),
  }),
  z.looseObject({
    type: z.literal("message_delta"),
    delta: z.looseObject({ stop_reason: z.string().nullish() }),
    usage: anthropicUsage.nullish(),
  }),
  z.looseObject({ type: z.literal("message_stop") }),
]);
const anyEvent = z.looseObject({ type: z.string() });
const READ_EVENTS = ["message_start", "content_block_delta", "message_delta", "message_stop"];

const anthropicEnd = (reason: string): AnswerEnd =>
  endOf(reason, "max_tokens", ["end_turn", "stop_sequence"]);

function anthropicTokens(usage: AnthropicUsage): Answer["tokens"] {
  const { input_tokens: input, output_tokens: output } = usage;
  if (input === undefined || input === null || output === undefined || output === null) return null;
  const cached = (usage.cache_creation_input_tokens ?? 0) + (usage.cache_read_input_tokens ?? 0);
  return { input: input + cached, output };
}

const ANTHROPIC: Api = {
  path: "/messages",
  keyVariable: "ANTHROPIC_API_KEY",
  headers: (key) => ({ "anthropic-version": "2023-06-01", ...(key !== null && { "x-api-key": key }) }),
  body({ model, messages, sampling: { maxTokens, temperature, topP } }, { stream }) {
    const system = messages.filter(({ role }) => role === "system").map(({ content }) => content).join(
      "\n\n",
    );
    return {
      model,
      max_tokens: maxTokens,
      ...(system !== "" && { system }),
      messages: messages.filter(({ role }) => role !== "system"),
      ...(temperature !== undefined && { temperature }),
      ...(topP !== undefined && { top_p: topP }),
      stream,
    };
  },
  read(json) {
    const { model, content, stop_reason: reason, usage } = parsed(anthropicWhole, json, "a message");
    return {
      text: content.map(({ type, text = "" }) => type === "text" ? text : "").join(""),
      end: anthropicEnd(reason),
      tokens: usage ? anthropicTokens(usage) : null,
      servedBy: model ?? null,
    };
  },
  reader() {
    let text = "";
    let end: AnswerEnd | null = null;
    let stopped = false;
    let usage: AnthropicUsage = {};
    let servedBy: string | null = null;
    return {
      push({ data }) {
        const value = parseJson(data);
        refuseError(value);
        // Further kinds of events, such as "ping", may come at any time and say nothing of the answer.
        if (!READ_EVENTS.includes(parsed(anyEvent, value, "an event with a type").type)) return;
        const event = parsed(anthropicEvent, value, "an event of a message");
        switch (event.type) {
          case "message_start":
            servedBy = event.message.model ?? null;
            usage = { ...event.message.usage };
            break;
          case "content_block_delta":
            if (event.delta.type === "text_delta") text += event.delta.text ?? "";
            break;
          case "message_delta":
            if (event.delta.stop_reason) end = anthropicEnd(event.delta.stop_reason);
            usage = { ...usage, ...definedOf(event.usage ?? {}) };
            break;
          case "message_stop":
            stopped = true;
        }
      },
      text: () => text,
      finish: () => stopped && end !== null ? { text, end, tokens: anthropicTokens(usage), servedBy } : null,
    };
  },
};

function definedOf(usage: AnthropicUsage): AnthropicUsage {
  return Object.fromEntries(
    Object.entries(usage).filter(([, value]) => value !== undefined && value !== null),
  );
}

/** The APIs. */
export const APIS: { readonly [name in ApiName]: Api } = { openai: OPENAI, anthropic: ANTHROPIC };
