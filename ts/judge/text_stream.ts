/**
 * A model's tokens as text, while it writes them.
 *
 * @module
 */
import type { Engine } from "../engine/engine.ts";

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
