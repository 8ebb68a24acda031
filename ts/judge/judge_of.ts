/**
 * Makes a judge of a model that is open.
 *
 * @module
 */
import type { Engine } from "../engine/engine.ts";
import type { Judge } from "./judge.ts";
import { EngineWriter } from "./engine_writer.ts";
import { type JudgeCard, type JudgeProtocolName, noProtocol } from "./judge_card.ts";
import { RatingJudge } from "./rating_judge.ts";
import { RmR1Judge, type RmR1JudgeOptions } from "./rm_r1_judge.ts";
import { ScalarJudge } from "./scalar_judge.ts";

/** Options of {@link judgeOf}. */
export interface JudgeOfOptions extends Omit<RmR1JudgeOptions, "name" | "protocol"> {
  readonly name: string;
  readonly protocol?: JudgeProtocolName;
}

/**
 * A judge by a model. Its protocol is the given one, else its card's, which also says what kind of judge it is;
 * without a card a model with a score head is a scalar one.
 *
 * @param engine closed with the judge, or if there is none
 * @throws {JudgeSpecError} No protocol is known.
 */
export async function judgeOf(
  engine: Engine,
  card: JudgeCard | null,
  { protocol, ...about }: JudgeOfOptions,
): Promise<Judge> {
  try {
    const asked = protocol ?? card?.protocol;
    const isScalar = card === null
      ? asked === undefined && engine.info.hasScoreHead
      : card.judge === "scalarrm";
    if (isScalar) return new ScalarJudge(engine, about);
    if (asked === undefined) throw noProtocol(about.name);
    if (asked === "rewardbench-2-ratings") {
      const { name, weights = name, kind: _, chain: __, verdicts: ___, ...writing } = about;
      return new RatingJudge(new EngineWriter(engine, writing), { name, weights });
    }
    const form = card === null || card.judge === "scalarrm" ? {} : { kind: card.judge, chain: card.chain };
    return new RmR1Judge(engine, { ...about, ...form, protocol: asked });
  } catch (error) {
    await engine[Symbol.asyncDispose]();
    throw error;
  }
}
