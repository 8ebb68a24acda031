/**
 * A judge behind HTTP: any server that speaks OpenAI's or Anthropic's API.
 *
 * @module
 */
import type { Answer } from "../endpoint/call.ts";
import type { Message } from "../engine/engine.ts";
import type { Answered, Judge, JudgeInput, Judgement, JudgeOptions } from "./judge.ts";
import type { ServedWriter } from "./served_writer.ts";
import { type PairProtocol, pairProtocol, type PairProtocolOptions } from "./pair_protocol.ts";

/** Options of {@link EndpointJudge}. */
export interface EndpointJudgeOptions extends PairProtocolOptions {
  /** For reports. */
  readonly name: string;
}

/** Judges by the texts of a server's model that follows a {@link PairProtocol}. */
export class EndpointJudge implements Judge {
  readonly name: string;
  readonly identity: string;
  readonly #writer: ServedWriter;
  readonly #protocol: PairProtocol;

  /** @param writer closed with the judge */
  constructor(writer: ServedWriter, { name, ...protocol }: EndpointJudgeOptions) {
    this.#writer = writer;
    this.#protocol = pairProtocol(protocol);
    this.name = name;
    this.identity = JSON.stringify({ judge: "endpoint", ...this.#protocol.identity, ...writer.identity });
  }

  render(input: JudgeInput): readonly Message[] {
    return this.#protocol.render(input);
  }

  async begin(directory: string): Promise<void> {
    await this.#writer.begin?.(directory);
  }

  async *judge(
    inputs: readonly JudgeInput[],
    { signal, onText }: JudgeOptions = {},
  ): AsyncGenerator<Answered<Judgement>> {
    const askings = inputs.map((input) => ({ messages: this.render(input), sample: input.sample ?? 0 }));
    for await (
      const event of this.#writer.write(askings, {
        ...(signal !== undefined && { signal }),
        ...(onText !== undefined && { onText }),
      })
    ) {
      if (event.error !== undefined) yield event;
      else yield { index: event.index, answer: this.#judgementOf(event.answer.answer) };
    }
  }

  #judgementOf({ text, end, tokens }: Answer): Judgement {
    return {
      outcome: end === "refusal" ? { kind: "none", reason: "refused" } : this.#protocol.read(text),
      text,
      tokens: tokens?.output ?? 0,
      promptTokens: tokens?.input ?? 0,
      finish: end === "refusal" ? null : end,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer[Symbol.asyncDispose]();
  }
}
