/**
 * An engine whose answers are a function of the prompt: for tests of what is built on an engine.
 *
 * @module
 */
import type {
  DoneEvent,
  Engine,
  GenerateOptions,
  GenerateRequest,
  Message,
  ModelInfo,
} from "../engine/engine.ts";

/** A model whose tokens are UTF-8 bytes, and which says what a function tells it to. */
export class ScriptedEngine implements Engine {
  readonly info: ModelInfo;
  /** The requests of each call of {@link generate}. */
  readonly calls: (readonly GenerateRequest[])[] = [];
  readonly #answer: (prompt: string) => string;

  /** @param answer gives the text for a rendered prompt; what it throws ends the call of {@link generate} */
  constructor(answer: (prompt: string) => string, info: Partial<ModelInfo> = {}) {
    this.#answer = answer;
    this.info = {
      name: "scripted",
      backend: "script",
      parameters: 0,
      vocabSize: 256,
      contextLength: 1 << 20,
      eosTokenIds: [],
      bosToken: null,
      eosToken: null,
      chatTemplate: "scripted",
      hasTokenizer: true,
      precision: null,
      frozen: false,
      exact: true,
      hasScoreHead: false,
      ...info,
    };
  }

  encode(texts: readonly string[]): Promise<Uint32Array[]> {
    return Promise.resolve(texts.map((text) => Uint32Array.from(new TextEncoder().encode(text))));
  }

  decode(tokens: readonly Uint32Array[]): Promise<string[]> {
    return Promise.resolve(tokens.map((ids) => new TextDecoder().decode(Uint8Array.from(ids))));
  }

  renderChat(messages: readonly Message[]): string {
    return messages.map(({ role, content }) => `${role}: ${content}\n`).join("") + "assistant:";
  }

  async *generate(
    requests: readonly GenerateRequest[],
    { signal }: GenerateOptions = {},
  ): AsyncGenerator<DoneEvent> {
    this.calls.push(requests);
    for (const [request, { prompt }] of requests.entries()) {
      signal?.throwIfAborted();
      const tokens = prompt instanceof Uint32Array
        ? prompt
        : (await this.encode([this.renderChat(prompt)]))[0]!;
      const text = this.#answer((await this.decode([tokens]))[0]!);
      const written = (await this.encode([text]))[0]!;
      const logprobs = new Float32Array(written.length);
      yield {
        type: "done",
        request,
        tokens: written,
        logprobs,
        text,
        finish: "eos",
        promptTokens: tokens.length,
      };
    }
  }

  logprobs(): Promise<Float32Array> {
    return Promise.reject(new Error("A scripted engine has no log-probabilities"));
  }

  scores(): Promise<Float32Array> {
    return Promise.reject(new Error("A scripted engine has no score head"));
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
