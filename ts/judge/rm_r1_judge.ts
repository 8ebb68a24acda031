/**
 * A reasoning judge: it writes a chain of rubrics and ends with its verdict.
 *
 * @module
 */
import type { DoneEvent, Engine, Message } from "../engine/engine.ts";
import { forestOf, gather, scatterMask } from "../engine/forest.ts";
import { EngineWriter, type EngineWriterOptions, type Prompt } from "./engine_writer.ts";
import type { Answered, Judge, JudgeInput, Judgement, JudgeOptions } from "./judge.ts";
import { type PairProtocol, pairProtocol, type PairProtocolOptions } from "./pair_protocol.ts";

/** Options of {@link RmR1Judge}. */
export interface RmR1JudgeOptions extends PairProtocolOptions, EngineWriterOptions {
  /** For reports. Default the engine's own name. */
  readonly name?: string;
  /** Names the weights, best by a hash of their files. Default the engine's own name. */
  readonly weights?: string;
}

/** A judgement whose verdict's probability is still to be asked for. */
interface WithVerdict {
  readonly index: number;
  readonly answer: Judgement;
  readonly prompt: Uint32Array;
}

/** The last verdict of a text, up to its letter. */
const LAST_VERDICT = /^[\s\S]*<answer>\s*\[\[\s*(?=[AB])/i;

/** Both verdicts behind what was written before the last one, tokenized with it: as the model itself would put them together. */
async function encodeVerdicts(
  engine: Engine,
  { prompt, answer }: WithVerdict,
): Promise<Uint32Array[] | null> {
  const before = answer.outcome.kind === "unparsable" ? undefined : LAST_VERDICT.exec(answer.text)?.[0];
  if (before === undefined) return null;
  const written = await engine.encode(["A", "B"].map((side) => `${before}${side}]]</answer>`));
  const sequences = written.map((tokens) => Uint32Array.of(...prompt, ...tokens));
  return sequences.some(({ length }) => length > engine.info.contextLength) ? null : sequences;
}

/**
 * The probability of the verdict for A behind what was written before the letter of the last verdict, against that for
 * B, of each judgement; null where no verdict was written.
 *
 * @param budget most tokens of a pass, but for a judgement that has more alone
 */
async function* probabilitiesOfA(
  engine: Engine,
  written: readonly WithVerdict[],
  budget: number,
): AsyncGenerator<readonly [WithVerdict, number | null]> {
  let batch: { readonly of: WithVerdict; readonly sequences: readonly Uint32Array[] }[] = [];
  let tokens = 0;
  for (const of of written) {
    const sequences = await encodeVerdicts(engine, of);
    if (sequences === null) {
      yield [of, null];
      continue;
    }
    const size = sequences.reduce((sum, { length }) => sum + length, 0);
    if (batch.length > 0 && tokens + size > budget) {
      yield* await scoreVerdicts(engine, batch);
      [batch, tokens] = [[], 0];
    }
    batch.push({ of, sequences });
    tokens += size;
  }
  if (batch.length > 0) yield* await scoreVerdicts(engine, batch);
}

async function scoreVerdicts(
  engine: Engine,
  batch: readonly { readonly of: WithVerdict; readonly sequences: readonly Uint32Array[] }[],
): Promise<(readonly [WithVerdict, number])[]> {
  const { forest, maps } = forestOf(batch.flatMap(({ sequences }) => sequences));
  const prompts = batch.flatMap(({ of, sequences }) => sequences.map(() => of.prompt.length));
  const masks = maps.map((map, index) => new Uint8Array(map.length).fill(1, prompts[index]));
  const logprobs = await engine.logprobs(forest, { select: scatterMask({ forest, maps }, masks) });
  const totals = maps.map((map, index) =>
    gather(map.subarray(prompts[index]), logprobs).reduce((sum, logprob) => sum + logprob, 0)
  );
  return batch.map(({ of }, index) => [of, 1 / (1 + Math.exp(totals[2 * index + 1]! - totals[2 * index]!))]);
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
    { signal, logprobs = false, probability = this.#isVerdictAlone }: JudgeOptions = {},
  ): AsyncGenerator<Answered<Judgement>> {
    const askings = inputs.map((input) => ({ messages: this.render(input), sample: input.sample ?? 0 }));
    const { engine, tokenBudget } = this.#writer;
    let written: WithVerdict[] = [];
    for await (const event of this.#writer.write(askings, signal === undefined ? {} : { signal })) {
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
        if (probability && done !== null) written.push({ index, answer, prompt: prompt.tokens });
        else yield { index, answer };
      }
    }
  }

  #judgementOf({ opensThinking }: Prompt, done: DoneEvent, logprobs: boolean): Judgement {
    return {
      outcome: this.#protocol.read(done.text, { thinking: opensThinking ? "required" : "optional" }),
      text: done.text,
      tokens: done.tokens.length,
      promptTokens: done.promptTokens,
      finish: done.finish,
      ...(opensThinking ? { thinking: "required" } : {}),
      ...(logprobs ? { logprobs: done.logprobs } : {}),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer[Symbol.asyncDispose]();
  }
}

function tooLong({ tokens }: Prompt): Judgement {
  const outcome = { kind: "none", reason: "prompt-too-long" } as const;
  return { outcome, text: "", tokens: 0, promptTokens: tokens.length, finish: null };
}
