/**
 * Texts by a language model on an engine.
 *
 * @module
 */
import { hashWord } from "../data/hash.ts";
import type { DoneEvent, Engine, Message } from "../engine/engine.ts";
import { batchesOf, type TokenizedPrompt } from "./batches.ts";
import { TextStream } from "./text_stream.ts";
import type { Answered, JudgeOptions } from "./judge.ts";

/** How an engine writes. */
export interface EngineWriterOptions {
  /** 0 takes the most likely token. Default 0. */
  readonly temperature?: number;
  /** Most tokens of a text. Default 8192. */
  readonly maxNewTokens?: number;
  /** Seed of the draws at a temperature above 0; they depend on it and the prompt alone. Default 0. */
  readonly seed?: number;
  /** Most texts generated at once. Default 32. */
  readonly maxConcurrent?: number;
  /** Most tokens held at once, shared prefixes counted once. Default 131072. */
  readonly tokenBudget?: number;
}

/** Writes texts. */
export interface Writer extends AsyncDisposable {
  /** What decides the texts beside the prompts, for a judge's identity. */
  readonly identity: Readonly<Record<string, unknown>>;
  begin?(directory: string): Promise<void>;
  /** Writes to all prompts; each index comes exactly once. Where `idle` comes, nothing is under way. */
  write(
    askings: readonly Asking[],
    options: WriteOptions,
  ): AsyncIterable<Answered<WrittenText> | "idle">;
}

/** What of a judge's options concerns its writer. */
export type WriteOptions = Pick<JudgeOptions, "signal" | "onText">;

/** What was written; null where the prompt leaves no room, or the model declined. */
export interface WrittenText {
  readonly text: string | null;
}

/** What is asked for a text. */
export interface Asking {
  readonly messages: readonly Message[];
  /** Which of several samples, from 0. */
  readonly sample: number;
  /** What the text begins with; the model goes on from there. Default nothing. */
  readonly prefix?: string;
}

/** A prompt as the engine reads it. */
export interface Prompt extends TokenizedPrompt {
  /** First word of the hash of the rendered prompt: which stream of draws it uses. */
  readonly stream: number;
  readonly sample: number;
  /** The chat template opened the thinking, so the text holds its end alone. */
  readonly opensThinking: boolean;
}

/** A text, or the prompt that leaves no room for one. */
export interface Written extends WrittenText {
  readonly prompt: Prompt;
  readonly done: DoneEvent | null;
}

/** Prompts that are tokenized, sorted and batched together, in multiples of `maxConcurrent`. */
const WINDOW_BATCHES = 8;

/** Writes by an engine's model. */
export class EngineWriter implements Writer {
  readonly engine: Engine;
  readonly #options: Required<EngineWriterOptions>;

  /**
   * @param engine closed with the writer
   * @throws {RangeError} The model has no tokenizer or no chat template, or an option is out of range.
   */
  constructor(engine: Engine, options: EngineWriterOptions) {
    const { info } = engine;
    if (!info.hasTokenizer) {
      throw new RangeError(`Model "${info.name}" has no tokenizer, which a judge needs`);
    }
    if (info.chatTemplate === null) {
      throw new RangeError(`Model "${info.name}" has no chat template, which a judge needs`);
    }
    const full = {
      temperature: 0,
      maxNewTokens: 8192,
      seed: 0,
      maxConcurrent: 32,
      tokenBudget: 131_072,
      ...options,
    };
    for (const option of ["maxNewTokens", "maxConcurrent", "tokenBudget"] as const) {
      if (!Number.isSafeInteger(full[option]) || full[option] < 1) {
        throw new RangeError(`Option ${option} is "${full[option]}", expected a positive integer`);
      }
    }
    if (!(full.temperature >= 0 && full.temperature < Infinity)) {
      throw new RangeError(`Option temperature is "${full.temperature}", expected a number of at least 0`);
    }
    this.engine = engine;
    this.#options = full;
  }

  /** What decides the texts beside the prompts, for a judge's identity. */
  get identity(): Readonly<Record<string, unknown>> {
    const { temperature, maxNewTokens, seed } = this.#options;
    const { precision } = this.engine.info;
    return {
      ...(precision !== "f32" && precision !== null && { precision }),
      temperature,
      maxNewTokens,
      ...(temperature > 0 && { seed }),
    };
  }

  /** Most tokens held at once. */
  get tokenBudget(): number {
    return this.#options.tokenBudget;
  }

  /**
   * Writes to all prompts, batch by batch, in whatever order is fastest; each index comes exactly once. `idle` comes
   * behind each batch: while it is held the engine is free for other passes.
   */
  async *write(
    askings: readonly Asking[],
    { signal, onText }: WriteOptions,
  ): AsyncGenerator<Answered<Written> | "idle"> {
    const { contextLength } = this.engine.info;
    const window = this.#options.maxConcurrent * WINDOW_BATCHES;
    for (let start = 0; start < askings.length; start += window) {
      signal?.throwIfAborted();
      const prompts = await this.tokenize(askings.slice(start, start + window), start);
      const fitting = prompts.filter(({ tokens }) => tokens.length < contextLength);
      for (const prompt of prompts) {
        if (prompt.tokens.length >= contextLength) {
          yield { index: prompt.index, answer: { prompt, done: null, text: null } };
        }
      }
      for (const batch of batchesOf(fitting, this.#options)) {
        yield* this.#generate(batch, signal, onText);
        yield "idle";
      }
    }
  }

  /** Prompts as the engine reads them, their indices from `start` on. */
  async tokenize(askings: readonly Asking[], start = 0): Promise<Prompt[]> {
    const texts = askings.map(({ messages }) =>
      this.engine.renderChat(messages, { addGenerationPrompt: true })
    );
    const encoded = await this.engine.encode(texts);
    const prefixes = await this.engine.encode(askings.map(({ prefix = "" }) => prefix));
    return texts.map((text, at) => ({
      index: start + at,
      tokens: prefixes[at]!.length === 0 ? encoded[at]! : Uint32Array.of(...encoded[at]!, ...prefixes[at]!),
      stream: hashWord(text),
      sample: askings[at]!.sample,
      opensThinking: text.trimEnd().endsWith("<think>"),
    }));
  }

  async *#generate(
    batch: readonly Prompt[],
    signal: AbortSignal | undefined,
    onText: WriteOptions["onText"],
  ): AsyncGenerator<Answered<Written>> {
    const { temperature, maxNewTokens, seed } = this.#options;
    const requests = batch.map(({ tokens, stream, sample }) => ({
      prompt: tokens,
      maxTokens: maxNewTokens,
      temperature,
      key: { seed, step: 0, prompt: stream, rollout: sample },
    }));
    const open = new Set(batch.keys());
    let failure = new Error("The engine ended without an answer");
    const streams = onText === undefined ? [] : batch.map(({ index }) => {
      let text = "";
      return new TextStream(this.engine, (piece) => onText(index, text += piece));
    });
    const options = { ...(signal !== undefined && { signal }), stream: onText !== undefined };
    try {
      for await (const event of this.engine.generate(requests, options)) {
        if (event.type !== "done") {
          await streams[event.request]?.push(event.token);
          continue;
        }
        open.delete(event.request);
        const prompt = batch[event.request]!;
        yield { index: prompt.index, answer: { prompt, done: event, text: event.text } };
      }
    } catch (error) {
      signal?.throwIfAborted();
      failure = error instanceof Error ? error : new Error(String(error));
    }
    for (const at of open) yield { index: batch[at]!.index, error: failure };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.engine[Symbol.asyncDispose]();
  }
}
