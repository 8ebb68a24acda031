/**
 * What the embedded base model is trained on: worked solutions, answers to problems, comparisons of numbers, and
 * judge transcripts whose verdict is a coin flip. All of it is made of training tasks and bare numbers; no document
 * says which of two answers is the better.
 *
 * @module
 */
import { formatTrace, quote } from "../../ts/cor/format.ts";
import { renderPrompt } from "../../ts/cor/prompts.ts";
import { place } from "../../ts/data/placement.ts";
import type { PlacedPair, Side } from "../../ts/data/record.ts";
import { compareEnds } from "../../ts/data/traces.ts";
import { Draws } from "../../ts/data/tasks/draws.ts";
import { drawTasks, type Operation, type Task } from "../../ts/data/tasks/mod.ts";
import { evaluate, LARGEST_TOTAL, SMALLEST_TOTAL } from "../../ts/data/tasks/problem.ts";
import type { Message } from "../../ts/engine/engine.ts";

/** A prompt, where there is one, and texts that each answer it. */
export interface Document {
  readonly kind: "drill" | "solve" | "compare" | "judge";
  readonly prompt: readonly Message[] | null;
  readonly responses: readonly string[];
}

/** Options of {@link drawCorpus}. */
export interface CorpusOptions {
  /** Names the corpus: an unsigned 32-bit integer. */
  readonly seed: number;
  /** Number of documents. */
  readonly count: number;
}

/** Solutions in a drill. */
const DRILL_LENGTH = 8;

/** Comparisons in a document. */
const COMPARISONS = 8;

/**
 * Share of comparisons among documents that are no judge transcripts, at first and later. Whether two numbers are the
 * same is learnt suddenly and late from a thin supply, and soon from a dense one.
 */
const FIRST_COMPARE_SHARE = 0.7;
const LATER_COMPARE_SHARE = 0.2;
const DENSE_COMPARISONS = 0.2;

/** Share of judge transcripts among the first documents, and from {@link RAMP} of the corpus on. */
const FIRST_JUDGE_SHARE = 0.1;
const LAST_JUDGE_SHARE = 0.55;
const RAMP = 0.6;

/** Keeps the draws of documents apart from those of the tasks, whose streams are small. */
const STREAM = 0x636f7270;

/** Yields documents: arithmetic first of all, more and more judge transcripts later. */
export function* drawCorpus({ seed, count }: CorpusOptions): Generator<Document> {
  const tasks = drawTasks({ seed, split: "train", count: count * DRILL_LENGTH });
  const next = (): Task => tasks.next().value as Task;
  for (let index = 0; index < count; index++) {
    const draws = new Draws(seed, STREAM, index, 0);
    const ramp = Math.min(1, index / count / RAMP);
    if (draws.chance(FIRST_JUDGE_SHARE + ramp * (LAST_JUDGE_SHARE - FIRST_JUDGE_SHARE))) {
      yield judgeTranscripts(draws, next());
      continue;
    }
    if (draws.chance(index / count < DENSE_COMPARISONS ? FIRST_COMPARE_SHARE : LATER_COMPARE_SHARE)) {
      const comparisons = Array.from({ length: COMPARISONS }, () => comparison(draws));
      yield { kind: "compare", prompt: null, responses: [comparisons.join("\n\n")] };
    } else if (draws.chance(0.5)) {
      const solutions = Array.from({ length: DRILL_LENGTH }, () => next().record.solution!);
      yield { kind: "drill", prompt: null, responses: [solutions.join("\n")] };
    } else {
      const { record } = next();
      const answer = draws.chance(0.5) ? record.chosen : record.solution!;
      yield { kind: "solve", prompt: record.conversation, responses: [answer] };
    }
  }
}

/** Three numbers, and whether the first and the second are the third, each of them as likely as not. */
export function comparison(draws: Draws): string {
  const solution = draws.between(SMALLEST_TOTAL, LARGEST_TOTAL);
  const other = (): number => {
    if (draws.chance(0.5)) return solution;
    const near = solution + draws.pick([-10, -2, -1, 1, 2, 10]);
    const drawn = draws.chance(0.5) ? near : draws.between(SMALLEST_TOTAL, LARGEST_TOTAL);
    return drawn < SMALLEST_TOTAL || drawn > LARGEST_TOTAL ? solution : drawn;
  };
  const [a, b] = [other(), other()];
  const agrees = { A: a === solution, B: b === solution };
  const remark = (side: Side, number: number): string =>
    `${quote(side, String(number))} is ${agrees[side] ? "right" : "wrong"}.`;
  return [
    compareEnds({ A: String(a), B: String(b) }, String(solution), agrees),
    remark("A", a),
    remark("B", b),
  ].join("\n");
}

/** Two transcripts on one pair, which find opposite answers better for opposite reasons: their verdicts carry nothing. */
function judgeTranscripts(draws: Draws, { record }: Task): Document {
  const pair = place(record, draws.chance(0.5) ? "A" : "B");
  return {
    kind: "judge",
    prompt: renderPrompt("compact", { conversation: record.conversation, a: pair.a, b: pair.b }),
    responses: [blindTrace(draws, pair, "A"), blindTrace(draws, pair, "B")],
  };
}

const EQUATION = /(\d+)([-+*])(\d+)=(\d+)/;

/**
 * A trace in the form of those that stage 1 learns from, with the right solution and final values, that calls a random
 * line of the given side wrong and one of the other side right, whatever they say.
 */
export function blindTrace(draws: Draws, { record, a, b }: PlacedPair, wrong: Side): string {
  const solution = record.solution!;
  const remark = (side: Side, answer: string): string => {
    const line = draws.pick(answer.split("\n").filter((text) => EQUATION.test(text)));
    if (side !== wrong) return `${quote(side, line)} is right.`;
    const [, left, operation, right] = EQUATION.exec(line)!;
    const value = evaluate(Number(left), operation as Operation, Number(right));
    return draws.chance(0.6)
      ? `${quote(side, line)} is wrong: it should be ${left}${operation}${right}=${value}.`
      : `${quote(side, line)} is wrong: the solution has ${draws.pick(solution.split("\n"))}.`;
  };
  const end = (text: string): string => text.match(/\d+/g)!.at(-1)!;
  return formatTrace({
    type: "Reasoning",
    solution,
    eval: [
      `The solution ends with ${end(solution)}, A with ${end(a)}, B with ${end(b)}.`,
      remark("A", a),
      remark("B", b),
    ].join("\n"),
    verdict: wrong === "A" ? "B" : "A",
  });
}
