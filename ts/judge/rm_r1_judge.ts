/**
 * A reasoning judge: it writes a chain of rubrics and ends with its verdict.
 *
 * @module
 */
import type { VerdictOptions } from "../cor/mod.ts";
import type { DoneEvent, Engine, Message } from "../engine/engine.ts";
import { EngineWriter, type EngineWriterOptions, type Prompt } from "./engine_writer.ts";
import type { Answered, Judge, JudgeInput, Judgement, JudgeOptions, Outcome } from "./judge.ts";
import { type PairProtocol, pairProtocol, type PairProtocolOptions } from "./pair_protocol.ts";
import {
  type BeforeVerdict,
  beforeVerdict,
  probabilitiesOfA,
  VERDICT_OPENING,
} from "./verdict_probability.ts";

/** Options of {@link RmR1Judge}. */
export interface RmR1JudgeOptions extends PairProtocolOptions, EngineWriterOptions {
  /** For reports. Default the engine's own name. */
  readonly name?: string;
  /** Names the weights, best by a hash of their files. Default the engine's own name. */
  readonly weights?: string;
}

/** A judgement whose verdict's probability is still to be asked for. */
interface WithVerdict extends BeforeVerdict {
  readonly index: number;
  readonly answer: Judgement;
}

/** Judges by a language model that follows a {@link PairProtocol}. */
export class RmR1Judge implements Judge {
  readonly name: string;
  readonly identity: string;
  readonly #writer: EngineWriter;
  readonly #protocol: PairProtocol;
  /** The verdict is all that the judge writes. */
  readonly #isVerdictAlone: boolean;

  /**
   * @param engine closed with the judge
   * @throws {RangeError} The model has no tokenizer or no chat template, or an option is out of range.
   */
  constructor(engine: Engine, options: RmR1JudgeOptions) {
    const { name = engine.info.name, weights = engine.info.name } = options;
    const { protocol, kind, chain, verdicts, name: _, weights: __, ...writing } = options;
    this.#writer = new EngineWriter(engine, writing);
    this.#protocol = pairProtocol({
      protocol,
      ...(kind !== undefined && { kind }),
      ...(chain !== undefined && { chain }),
      ...(verdicts !== undefined && { verdicts }),
    });
    this.#isVerdictAlone = kind === "genrm";
    this.name = name;
    this.identity = JSON.stringify({
      judge: "rm-r1",
      weights,
      ...this.#protocol.identity,
      ...this.#writer.identity,
    });
  }

  render(input: JudgeInput): readonly Message[] {
    return this.#protocol.render(input);
  }

  async *judge(
    inputs: readonly JudgeInput[],
    { signal, onText, logprobs = false, probability = this.#isVerdictAlone }: JudgeOptions = {},
  ): AsyncGenerator<Answered<Judgement>> {
    const askings = inputs.map((input) => ({ messages: this.render(input), sample: input.sample ?? 0 }));
    const { engine, tokenBudget } = this.#writer;
    let written: WithVerdict[] = [];
    const writing = { ...(signal !== undefined && { signal }), ...(onText !== undefined && { onText }) };
    for await (const event of this.#writer.write(askings, writing)) {
      if (event === "idle") {
        for await (
          const [{ index, answer }, probabilityA] of probabilitiesOfA(engine, written, tokenBudget)
        ) {
          yield { index, answer: probabilityA === null ? answer : { ...answer, probabilityA } };
        }
        written = [];
      } else if (event.error !== undefined) {
        yield event;
      } else {
        const { index, answer: { prompt, done } } = event;
        const answer = done === null ? tooLong(prompt) : this.#judgementOf(prompt, done, logprobs);
        if (probability && done !== null) {
          const before = answer.outcome.kind === "unparsable" ? null : beforeVerdict(done.text);
          written.push({ index, answer, prompt: prompt.tokens, before });
        } else yield { index, answer };
      }
    }
  }

  /**
   * The probability of the verdict for A, against that for B, behind a rationale that is given, whoever wrote it; null
   * where it does not fit into the model's context. Nothing is generated.
   *
   * @param given `rationale`: all that stands before `<answer>`, of a chain with its whitespace
   */
  async *verdictsGiven(
    given: readonly { readonly input: JudgeInput; readonly rationale: string }[],
    { signal }: Pick<JudgeOptions, "signal"> = {},
  ): AsyncGenerator<Answered<number | null>> {
    const { engine, tokenBudget } = this.#writer;
    const prompts = await this.#writer.tokenize(
      given.map(({ input }) => ({ messages: this.render(input), sample: 0 })),
    );
    const written = prompts.map(({ index, tokens }) => (
      { index, prompt: tokens, before: `${given[index]!.rationale}${VERDICT_OPENING}` }
    ));
    for await (const [{ index }, probabilityA] of probabilitiesOfA(engine, written, tokenBudget)) {
      signal?.throwIfAborted();
      yield { index, answer: probabilityA };
    }
  }

  /**
   * The verdicts to which the judge comes when it goes on from a text that is given, whoever wrote it.
   *
   * @param given `prefix`: what the judgement begins with
   */
  async *continued(
    given: readonly { readonly input: JudgeInput; readonly prefix: string }[],
    { signal }: Pick<JudgeOptions, "signal"> = {},
  ): AsyncGenerator<Answered<Outcome>> {
    const askings = given.map(({ input, prefix }) => ({ messages: this.render(input), sample: 0, prefix }));
    for await (const event of this.#writer.write(askings, signal === undefined ? {} : { signal })) {
      if (event === "idle") continue;
      if (event.error !== undefined) yield event;
      else {
        const { index, answer: { prompt, done } } = event;
        yield {
          index,
          answer: done === null
            ? tooLong(prompt).outcome
            : this.#protocol.read(given[index]!.prefix + done.text, thinkingOf(prompt)),
        };
      }
    }
  }

  #judgementOf(prompt: Prompt, done: DoneEvent, logprobs: boolean): Judgement {
    return {
      outcome: this.#protocol.read(done.text, thinkingOf(prompt)),
      text: done.text,
      tokens: done.tokens.length,
      promptTokens: done.promptTokens,
      finish: done.finish,
      ...(prompt.opensThinking ? { thinking: "required" } : {}),
      ...(logprobs ? { logprobs: done.logprobs } : {}),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer[Symbol.asyncDispose]();
  }
}

function thinkingOf({ opensThinking }: Prompt): VerdictOptions {
  return { thinking: opensThinking ? "required" : "optional" };
}

function tooLong({ tokens }: Prompt): Judgement {
  const outcome = { kind: "none", reason: "prompt-too-long" } as const;
  return { outcome, text: "", tokens: 0, promptTokens: tokens.length, finish: null };
}
