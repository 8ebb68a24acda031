/**
 * What the embedded base model is trained on: worked solutions, answers to problems, differences of numbers,
 * and judge transcripts whose verdict is a coin flip. All of it is made of training tasks and bare numbers; no document
 * says which of two answers is the better.
 *
 * @module
 */
import { formatTrace, quote } from "../../ts/cor/format.ts";
import { publishedForm } from "../../ts/cor/form.ts";
import { renderPrompt } from "../../ts/cor/prompts.ts";
import { place } from "../../ts/data/placement.ts";
import type { PlacedPair, Side } from "../../ts/data/record.ts";
import { judgedEnds, writeDifference } from "../../ts/data/traces.ts";
import { Draws } from "../../ts/data/tasks/draws.ts";
import { drawTasks, type Operation, type Task } from "../../ts/data/tasks/mod.ts";
import { evaluate, LARGEST_TOTAL, SMALLEST_TOTAL } from "../../ts/data/tasks/problem.ts";
import type { Message } from "../../ts/engine/engine.ts";

/** A prompt, where there is one, and texts that each answer it. */
export interface Document {
  readonly kind: "drill" | "solve" | "difference" | "judge";
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

/** Differences in a document. */
const DIFFERENCES = 16;

/** Share of differences among documents that are no judge transcripts. */
const DIFFERENCE_SHARE = 0.2;

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
    if (draws.chance(DIFFERENCE_SHARE)) {
      const differences = Array.from({ length: DIFFERENCES }, () => drawDifference(draws));
      yield { kind: "difference", prompt: null, responses: [differences.join("\n")] };
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

/** The difference of two totals, which are as likely as not the same and often near each other. */
export function drawDifference(draws: Draws): string {
  const right = draws.between(SMALLEST_TOTAL, LARGEST_TOTAL);
  if (draws.chance(0.5)) return writeDifference(right, right);
  const near = right + draws.pick([-10, -2, -1, 1, 2, 10]);
  const drawn = draws.chance(0.5) ? near : draws.between(SMALLEST_TOTAL, LARGEST_TOTAL);
  return writeDifference(Math.min(Math.max(drawn, SMALLEST_TOTAL), LARGEST_TOTAL), right);
}

/** Two transcripts on one pair, which find opposite answers better for opposite reasons: their verdicts carry nothing. */
function judgeTranscripts(draws: Draws, { record }: Task): Document {
  const pair = place(record, draws.chance(0.5) ? "A" : "B");
  return {
    kind: "judge",
    prompt: renderPrompt(publishedForm("compact"), {
      conversation: record.conversation,
      a: pair.a,
      b: pair.b,
    }),
    responses: [blindTrace(draws, pair, "A"), blindTrace(draws, pair, "B")],
  };
}

const EQUATION = /(\d+)([-+*])(\d+)=(\d+)/;

/**
 * A trace in the form of those that stage 1 learns from, with the right solution, final values and differences, that
 * says that the given side differs and the other agrees, and calls a random line of each side wrong and right
 * accordingly, whatever they say.
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
  const end = (text: string): number => Number(text.match(/\d+/g)!.at(-1));
  const right = wrong === "A" ? "B" : "A";
  return formatTrace({
    type: "Reasoning",
    solution,
    eval: judgedEnds(end(solution), { A: end(a), B: end(b) }, right, {
      A: remark("A", a),
      B: remark("B", b),
    }),
    verdict: right,
  });
}
