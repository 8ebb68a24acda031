/**
 * Verdicts on pairs from scores of their answers.
 *
 * @module
 */
import type { Answered, JudgeInput, Judgement, JudgeOptions, NoVerdictReason, Scorer } from "./judge.ts";

/** A pair's verdict is the higher score; equal scores are none, nor are scores that a judge could not give. */
export async function* judgeByScores(
  judge: Pick<Scorer, "score" | "unscored">,
  inputs: readonly JudgeInput[],
  options: JudgeOptions = {},
): AsyncGenerator<Answered<Judgement>> {
  const answers = inputs.flatMap(({ conversation, a, b }) => [
    { conversation, response: a },
    { conversation, response: b },
  ]);
  const waiting = new Map<number, Answered<number | null>>();
  for await (const scored of judge.score(answers, options)) {
    const other = waiting.get(scored.index ^ 1);
    if (other === undefined) {
      waiting.set(scored.index, scored);
      continue;
    }
    waiting.delete(other.index);
    const [a, b] = scored.index % 2 === 0 ? [scored, other] : [other, scored];
    const index = scored.index >> 1;
    const error = a.error ?? b.error;
    if (error !== undefined) yield { index, error };
    else yield { index, answer: judgementOf(a.answer!, b.answer!, judge.unscored ?? "prompt-too-long") };
  }
}

/** What a judge that only scores writes. */
const NOTHING = { text: "", tokens: 0, promptTokens: 0, finish: null };

function judgementOf(a: number | null, b: number | null, reason: NoVerdictReason): Judgement {
  if (a === null || b === null) return { ...NOTHING, outcome: { kind: "none", reason } };
  const outcome = a === b ? { kind: "none", reason: "tie" } as const : { kind: a > b ? "A" : "B" } as const;
  return { ...NOTHING, outcome, scores: { A: a, B: b } };
}
