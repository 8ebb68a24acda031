/**
 * A scalar reward model: a score head rates each answer alone (Bradley–Terry).
 *
 * @module
 */
import type { Engine, Message } from "../engine/engine.ts";
import { forestOf, type SequenceForest } from "../engine/forest.ts";
import { batchesOf } from "./batches.ts";
import { judgeByScores } from "./judge_by_scores.ts";
import type { Answered, JudgeInput, Judgement, JudgeOptions, ScoreInput, Scorer } from "./judge.ts";

/** Options of {@link ScalarJudge}. */
export interface ScalarJudgeOptions {
  /** For reports. Default the engine's own name. */
  readonly name?: string;
  /** Names the weights, best by a hash of their files. Default the engine's own name. */
  readonly weights?: string;
  /** Most answers scored at once. Default 32. */
  readonly maxConcurrent?: number;
  /** Most tokens of a forward pass, shared prefixes counted once; a longer answer has one of its own. Default 16384. */
  readonly tokenBudget?: number;
}

/**
 * Token ids of conversations with an answer, as the chat template renders them.
 *
 * @throws {RangeError} The model has no tokenizer or no chat template.
 */
export async function encodeAnswers(engine: Engine, inputs: readonly ScoreInput[]): Promise<Uint32Array[]> {
  const { name, hasTokenizer, chatTemplate } = engine.info;
  if (!hasTokenizer) throw new RangeError(`Model "${name}" has no tokenizer, which a judge needs`);
  if (chatTemplate === null) {
    throw new RangeError(`Model "${name}" has no chat template, which a judge needs`);
  }
  return await engine.encode(
    inputs.map(({ conversation, response }) =>
      engine.renderChat([...conversation, { role: "assistant", content: response }])
    ),
  );
}

/** The token of each sequence that is scored: its last one. */
export function scoredTokens({ maps }: Pick<SequenceForest, "maps">): Uint32Array {
  return Uint32Array.from(maps, (map) => map.at(-1)!);
}

/** Answers that are tokenized at once, in multiples of `maxConcurrent`. */
const WINDOW_BATCHES = 8;

/** Judges by the scores that a model's score head gives. */
export class ScalarJudge implements Scorer {
  readonly name: string;
  readonly identity: string;
  readonly #engine: Engine;
  readonly #options: Required<Omit<ScalarJudgeOptions, "name" | "weights">>;

  /**
   * @param engine closed with the judge
   * @throws {RangeError} The model has no score head.
   */
  constructor(engine: Engine, options: ScalarJudgeOptions = {}) {
    const { info } = engine;
    if (!info.hasScoreHead) {
      throw new RangeError(`Model "${info.name}" has no score head, which a scalar judge needs`);
    }
    const { name = info.name, weights = info.name, maxConcurrent = 32, tokenBudget = 16_384 } = options;
    for (const [option, value] of Object.entries({ maxConcurrent, tokenBudget })) {
      if (!Number.isSafeInteger(value) || value < 1) {
        throw new RangeError(`Option ${option} is "${value}", expected a positive integer`);
      }
    }
    this.#engine = engine;
    this.#options = { maxConcurrent, tokenBudget };
    this.name = name;
    const precision = info.precision === "f32" || info.precision === null
      ? {}
      : { precision: info.precision };
    this.identity = JSON.stringify({ judge: "scalar", weights, ...precision });
  }

  render(): readonly Message[] {
    return [];
  }

  async *score(
    inputs: readonly ScoreInput[],
    { signal }: JudgeOptions = {},
  ): AsyncGenerator<Answered<number | null>> {
    const { maxConcurrent } = this.#options;
    const window = maxConcurrent * WINDOW_BATCHES;
    for (let start = 0; start < inputs.length; start += window) {
      signal?.throwIfAborted();
      const encoded = await encodeAnswers(this.#engine, inputs.slice(start, start + window));
      const { contextLength } = this.#engine.info;
      const prompts = encoded.map((tokens, at) => ({ index: start + at, tokens }));
      for (const { index, tokens } of prompts) {
        if (tokens.length > contextLength) yield { index, answer: null };
      }
      const fitting = prompts.filter(({ tokens }) => tokens.length <= contextLength);
      for (const batch of batchesOf(fitting, { ...this.#options, maxNewTokens: 0 })) {
        signal?.throwIfAborted();
        const layout = forestOf(batch.map(({ tokens }) => tokens));
        try {
          const scores = await this.#engine.scores(layout.forest, scoredTokens(layout));
          for (const [at, { index }] of batch.entries()) yield { index, answer: scores[at]! };
        } catch (error) {
          const failure = error instanceof Error ? error : new Error(String(error));
          for (const { index } of batch) yield { index, error: failure };
        }
      }
    }
  }

  judge(inputs: readonly JudgeInput[], options: JudgeOptions = {}): AsyncGenerator<Answered<Judgement>> {
    return judgeByScores(this, inputs, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#engine[Symbol.asyncDispose]();
  }
}
