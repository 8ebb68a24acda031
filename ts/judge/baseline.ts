/**
 * Judges that read no meaning: the floor that a real one has to beat.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { Message } from "../engine/engine.ts";
import type { Answered, JudgeInput, Judgement, JudgeOptions, Outcome, ScoreInput, Scorer } from "./judge.ts";

/** Number of Unicode code points of a text. */
export function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** A number in [0, 1) that depends on nothing but the seed, the conversation and the answer. */
function randomScore(seed: number, { conversation, response }: ScoreInput): number {
  const turns = conversation.map(({ role, content }) => [role, content]);
  const digest = createHash("sha256").update(JSON.stringify([seed, turns, response])).digest();
  return digest.readUIntBE(0, 6) / 2 ** 48;
}

/** Scores by a function of the conversation and the answer. */
export class Baseline implements Scorer {
  readonly name: string;
  /** The score of one answer, at once. */
  readonly scoreOf: (input: ScoreInput) => number;

  private constructor(name: string, scoreOf: (input: ScoreInput) => number) {
    this.name = name;
    this.scoreOf = scoreOf;
  }

  /** `baseline:longest`: the score is the number of Unicode code points. */
  static longest(): Baseline {
    return new Baseline("baseline:longest", ({ response }) => codePoints(response));
  }

  /** `baseline:shortest`: the score is minus the number of Unicode code points. */
  static shortest(): Baseline {
    return new Baseline("baseline:shortest", ({ response }) => -codePoints(response));
  }

  /** `baseline:random:SEED`: an even draw in [0, 1), equal for equal answers to one question. */
  static random(seed: number): Baseline {
    return new Baseline(`baseline:random:${seed}`, (input) => randomScore(seed, input));
  }

  get identity(): string {
    return this.name;
  }

  render(): readonly Message[] {
    return [];
  }

  async *score(
    inputs: readonly ScoreInput[],
    { signal }: JudgeOptions = {},
  ): AsyncGenerator<Answered<number>> {
    for (const [index, input] of inputs.entries()) {
      signal?.throwIfAborted();
      yield { index, answer: this.scoreOf(input) };
    }
  }

  async *judge(
    inputs: readonly JudgeInput[],
    { signal }: JudgeOptions = {},
  ): AsyncGenerator<Answered<Judgement>> {
    for (const [index, { conversation, a, b }] of inputs.entries()) {
      signal?.throwIfAborted();
      const scoreA = this.scoreOf({ conversation, response: a });
      const scoreB = this.scoreOf({ conversation, response: b });
      const outcome: Outcome = scoreA === scoreB
        ? { kind: "none", reason: "tie" }
        : { kind: scoreA > scoreB ? "A" : "B" };
      yield { index, answer: { outcome, text: "", tokens: 0, promptTokens: 0, finish: null } };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
