/**
 * A judge that rates each answer alone by a number that it writes.
 *
 * @module
 */
import type { Message } from "../engine/engine.ts";
import type { Writer } from "./engine_writer.ts";
import { judgeByScores } from "./judge_by_scores.ts";
import type { Answered, JudgeInput, Judgement, JudgeOptions, ScoreInput, Scorer } from "./judge.ts";
import { parseRewardBenchRating, renderRewardBenchRating } from "./rewardbench_prompt.ts";

/** Options of {@link RatingJudge}. */
export interface RatingJudgeOptions {
  /** For reports. */
  readonly name: string;
  /** Names the weights of a local model, best by a hash of their files. */
  readonly weights?: string;
}

/** Rates from 1 to 10, asked in the words of RewardBench 2's own scripts. */
export class RatingJudge implements Scorer {
  readonly name: string;
  readonly identity: string;
  readonly unscored = "no-rating";
  readonly #writer: Writer;

  /** @param writer closed with the judge */
  constructor(writer: Writer, { name, weights }: RatingJudgeOptions) {
    this.#writer = writer;
    this.name = name;
    this.identity = JSON.stringify({ judge: "ratings", weights, ...writer.identity });
  }

  async begin(directory: string): Promise<void> {
    await this.#writer.begin?.(directory);
  }

  render(): readonly Message[] {
    return [];
  }

  async *score(
    inputs: readonly ScoreInput[],
    { signal }: JudgeOptions = {},
  ): AsyncGenerator<Answered<number | null>> {
    const askings = inputs.map((input) => ({ messages: renderRewardBenchRating(input), sample: 0 }));
    for await (const event of this.#writer.write(askings, signal === undefined ? {} : { signal })) {
      if (event === "idle") continue;
      if (event.error !== undefined) yield event;
      else {
        const { index, answer: { text } } = event;
        yield { index, answer: text === null ? null : parseRewardBenchRating(text) };
      }
    }
  }

  judge(inputs: readonly JudgeInput[], options: JudgeOptions = {}): AsyncGenerator<Answered<Judgement>> {
    return judgeByScores(this, inputs, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer[Symbol.asyncDispose]();
  }
}
