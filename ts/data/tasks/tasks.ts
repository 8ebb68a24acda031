/**
 * Generated verifiable tasks: short arithmetic problems, each with a right and a wrong answer whose labels follow
 * from the arithmetic alone. The test split states only quantities and uses only sentences that no other split has.
 *
 * @module
 */
import type { PreferenceRecord, Split } from "../record.ts";
import { drawWrongSteps, type Fault, wordAnswer } from "./answers.ts";
import { Draws } from "./draws.ts";
import { drawProblem, type Problem, type Step, writeStep } from "./problem.ts";

/** Options of {@link generateTasks}. */
export interface TaskOptions {
  /** Names the set: an unsigned 32-bit integer. */
  readonly seed: number;
  readonly split: Split;
  /** Number of tasks. */
  readonly count: number;
}

/** A task with what it was made from. */
export interface Task {
  readonly record: PreferenceRecord;
  readonly problem: Problem;
  readonly wrongSteps: readonly Step[];
  readonly fault: Fault;
}

const STREAMS: Readonly<Record<Split, number>> = { train: 0, validation: 1, test: 2 };

const MOST_ATTEMPTS = 10_000;

function checkInteger(name: string, value: number, largest: number): void {
  if (!Number.isInteger(value) || value < 0 || value > largest) {
    throw new RangeError(`Expected "${name}" to be an integer from 0 to ${largest}, not "${value}"`);
  }
}

/**
 * Yields tasks one by one: no two of a set have the same problem, and a shorter set is the start of a longer one.
 * Throws a RangeError for a seed or count that is no unsigned 32-bit integer, and when a split has no problems left.
 */
export function* drawTasks({ seed, split, count }: TaskOptions): Generator<Task> {
  checkInteger("seed", seed, 2 ** 32 - 1);
  checkInteger("count", count, 2 ** 32 - 1);
  const seen = new Set<string>();
  for (let index = 0; index < count; index++) {
    const task = drawTask(seed, split, index, seen);
    seen.add(task.problem.text);
    yield task;
  }
}

function drawTask(seed: number, split: Split, index: number, seen: ReadonlySet<string>): Task {
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const draws = new Draws(seed, STREAMS[split], index, attempt);
    const problem = drawProblem(draws, split);
    if (problem === null || seen.has(problem.text)) continue;
    const wrong = drawWrongSteps(draws, problem);
    if (wrong === null) continue;
    const record: PreferenceRecord = {
      id: `${split}-${seed}-${index}`,
      conversation: [{ role: "user", content: problem.text }],
      chosen: wordAnswer(draws, problem.steps),
      rejected: wordAnswer(draws, wrong.steps),
      group: problem.text,
      solution: problem.steps.map(writeStep).join("\n"),
      source: "generated",
    };
    return { record, problem, wrongSteps: wrong.steps, fault: wrong.fault };
  }
  throw new RangeError(
    `No new problem for task "${index}" of the split "${split}" in ${MOST_ATTEMPTS} attempts`,
  );
}

/** The records of {@link drawTasks}. */
export function generateTasks(options: TaskOptions): PreferenceRecord[] {
  return Array.from(drawTasks(options), ({ record }) => record);
}
