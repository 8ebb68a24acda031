/**
 * Shows what a model writes while it writes it.
 *
 * @module
 */
import type { Engine } from "../engine/mod.ts";
import { TextStream } from "../judge/text_stream.ts";

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
