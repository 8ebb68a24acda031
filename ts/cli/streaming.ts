/**
 * Shows what a model writes while it writes it.
 *
 * @module
 */
import type { Engine } from "../engine/mod.ts";

/** Tokens after which shown text is let go of, at the next whole character. */
const WINDOW = 32;

/**
 * Turns tokens into text as they come. Text that ends inside a character waits for the rest of it.
 */
export class TextStream {
  readonly #engine: Engine;
  readonly #show: (text: string) => void;
  #tokens: number[] = [];
  #shown = "";

  /** `show` gets each new piece of text. */
  constructor(engine: Engine, show: (text: string) => void) {
    this.#engine = engine;
    this.#show = show;
  }

  /** Takes the next token. */
  async push(token: number): Promise<void> {
    this.#tokens.push(token);
    const [text = ""] = await this.#engine.decode([Uint32Array.from(this.#tokens)]);
    if (text.endsWith("\ufffd")) return;
    this.#show(text.slice(this.#shown.length));
    this.#shown = text;
    if (this.#tokens.length >= WINDOW) {
      this.#tokens = [];
      this.#shown = "";
    }
  }
}

/** The same engine, save that the first request's text is also shown while it is generated. */
export function showing(engine: Engine, show: (text: string) => void): Engine {
  return {
    info: engine.info,
    encode: (texts) => engine.encode(texts),
    decode: (tokens, options) => engine.decode(tokens, options),
    renderChat: (messages, options) => engine.renderChat(messages, options),
    logprobs: (forest, options) => engine.logprobs(forest, options),
    scores: (forest, tokens) => engine.scores(forest, tokens),
    async *generate(requests, options) {
      const stream = new TextStream(engine, show);
      for await (const event of engine.generate(requests, { ...options, stream: true })) {
        if (event.type === "token" && event.request === 0) await stream.push(event.token);
        if (event.type === "done" || options?.stream === true) yield event;
      }
    },
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}
