import { expect } from "expect";
import fc from "fast-check";
import type { DoneEvent, Engine, TokenEvent } from "../engine/mod.ts";
import { TextStream } from "../judge/text_stream.ts";
import { showing } from "./streaming.ts";

/** An engine whose tokens are the bytes of UTF-8; it writes a given text. */
function byteEngine(text: string): Engine {
  const bytes = new TextEncoder().encode(text);
  const decoder = new TextDecoder();
  return {
    info: {
      name: "bytes",
      backend: "test",
      parameters: 0,
      vocabSize: 256,
      contextLength: 1e6,
      eosTokenIds: [],
      bosToken: null,
      eosToken: null,
      chatTemplate: null,
      hasTokenizer: true,
      precision: null,
      frozen: false,
      exact: true,
      hasScoreHead: false,
    },
    encode: (texts) => Promise.resolve(texts.map((each) => Uint32Array.from(new TextEncoder().encode(each)))),
    decode: (tokens) => Promise.resolve(tokens.map((list) => decoder.decode(Uint8Array.from(list)))),
    renderChat: () => "",
    logprobs: () => Promise.resolve(new Float32Array()),
    scores: () => Promise.resolve(new Float32Array()),
    async *generate(requests, options): AsyncGenerator<TokenEvent | DoneEvent> {
      for (const [request] of requests.entries()) {
        for (const token of options?.stream === true ? bytes : []) {
          yield { type: "token", request, token, logprob: 0 };
        }
        await Promise.resolve();
        yield {
          type: "done",
          request,
          tokens: Uint32Array.from(bytes),
          logprobs: new Float32Array(bytes.length),
          text,
          finish: "length",
          promptTokens: 0,
        };
      }
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

const request = { prompt: Uint32Array.of(1), maxTokens: 1 };
// The replacement character is what an unfinished character decodes to.
const wellFormed = fc.string({ unit: "grapheme" }).filter((text) => !text.includes("\ufffd"));

Deno.test("the pieces shown are the text, and none ends inside a character", async () => {
  await fc.assert(fc.asyncProperty(wellFormed, async (text) => {
    const engine = byteEngine(text);
    const pieces: string[] = [];
    const stream = new TextStream(engine, (piece) => pieces.push(piece));
    for (const byte of new TextEncoder().encode(text)) await stream.push(byte);
    expect(pieces.join("")).toBe(text);
    expect(pieces.every((piece) => piece.isWellFormed() && !piece.includes("\ufffd"))).toBe(true);
  }));
});

Deno.test("a showing engine gives the events that were asked for and shows the first request alone", async () => {
  let shown = "";
  const engine = showing(byteEngine("né"), (text) => shown += text);
  const quiet: string[] = [];
  for await (const event of engine.generate([request, request])) quiet.push(event.type);
  expect(quiet).toEqual(["done", "done"]);
  expect(shown).toBe("né");
  const streamed: string[] = [];
  for await (const event of engine.generate([request], { stream: true })) streamed.push(event.type);
  expect(streamed).toEqual(["token", "token", "token", "done"]);
});
