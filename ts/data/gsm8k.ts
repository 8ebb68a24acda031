/**
 * Verified preference pairs from GSM8K's graded model solutions (`example_model_solutions.jsonl` of
 * github.com/openai/grade-school-math, Cobbe et al., arXiv 2110.14168): one right and one wrong solution of a problem.
 *
 * @module
 */
import { createHash } from "node:crypto";
import * as z from "zod";
import { evaluate } from "./arithmetic.ts";
import { DataError } from "./data_error.ts";
import { hashFraction } from "./hash.ts";
import { readJsonLines } from "./json_lines.ts";
import type { PreferenceRecord, Split } from "./record.ts";

/** One model's solution with the grade that the data give it. */
export interface GradedSolution {
  readonly model: string;
  readonly isCorrect: boolean;
  readonly solution: string;
}

/** One problem with its own solution and the models' ones. */
export interface GradedProblem {
  /** Line of the file, from 1. */
  readonly line: number;
  readonly question: string;
  readonly groundTruth: string;
  /** In the order of the file. */
  readonly solutions: readonly GradedSolution[];
}

const graded = z.object({ is_correct: z.boolean(), solution: z.string() });
const problemSchema = z.object({ question: z.string().min(1), ground_truth: z.string().min(1) }).catchall(
  graded,
);

/**
 * Reads the graded solutions.
 *
 * @throws {DataError} A malformed line, a question that occurs twice, or a file without any problem.
 */
export async function readGradedProblems(path: string): Promise<GradedProblem[]> {
  const problems: GradedProblem[] = [];
  const lineOf = new Map<string, number>();
  for await (const { line, value } of readJsonLines(path, problemSchema)) {
    const { question, ground_truth: groundTruth, ...models } = value;
    const earlier = lineOf.get(question);
    if (earlier !== undefined) {
      throw new DataError(
        path,
        line,
        `Field "question": expected each question once, found that of line ${earlier}`,
      );
    }
    lineOf.set(question, line);
    const solutions = Object.entries(models).map(([model, { is_correct: isCorrect, solution }]) => ({
      model,
      isCorrect,
      solution,
    }));
    problems.push({ line, question, groundTruth, solutions });
  }
  if (problems.length === 0) throw new DataError(path, null, "Expected at least one problem, found none");
  return problems;
}

/** Removes the calculator annotations, such as `<<6*7=42>>`, one that the text's end cuts off included. */
export function stripCalculator(text: string): string {
  return text.replaceAll(/<<[^<>\n]*(?:>>|$)/g, "");
}

/** The value of the final line `A: 42`; null where there is none or it is no number. */
export function finalAnswer(solution: string): number | null {
  const last = solution.trimEnd().split("\n").at(-1) ?? "";
  const stated = /^A: *(.+)$/.exec(last)?.[1];
  return stated === undefined ? null : evaluate(stated);
}

/**
 * Why something was left out.
 *
 * - Problems: `no-final-answer` (of their own solution); of the solutions that can be used, `all-right`, `all-wrong`
 *   or `no-solution-left`.
 * - Solutions: `no-final-answer`; `graded-right-value-wrong` and `graded-wrong-value-right`, where the grade and the
 *   final value disagree; `same-text` as an earlier solution of the problem.
 */
export type ExclusionReason =
  | "problem:no-final-answer"
  | "problem:all-right"
  | "problem:all-wrong"
  | "problem:no-solution-left"
  | "solution:no-final-answer"
  | "solution:graded-right-value-wrong"
  | "solution:graded-wrong-value-right"
  | "solution:same-text";

/** Options of {@link pairGradedProblems}. */
export interface PairOptions {
  /** `strip` takes the calculator annotations out of all texts, `keep` leaves them in. Default `strip`. */
  readonly calculator?: "strip" | "keep";
  /** Seed of the split. Default 0. */
  readonly seed?: number;
  /** Share of the problems. Default 0.1. */
  readonly validation?: number;
  /** Share of the problems. Default 0.1. */
  readonly test?: number;
}

/** Verified pairs, split by problem, with the count of all that was left out. */
export interface GradedPairs {
  readonly splits: { readonly [split in Split]: readonly PreferenceRecord[] };
  readonly statistics: {
    readonly problems: number;
    readonly solutions: number;
    readonly pairs: number;
    readonly problemsWithPairs: number;
    /** Reasons that did not occur are 0. */
    readonly excluded: { readonly [reason in ExclusionReason]: number };
  };
}

/**
 * Pairs each right solution of a problem with each wrong one, in the order of the file. All pairs of a problem fall
 * into one part of the split, by a hash of the seed and the question.
 *
 * A solution is right or wrong only where its grade and its final value agree on it. Solutions of a problem with the
 * same text count once, so no pair occurs twice and no pair has identical answers.
 *
 * @throws {RangeError} Shares that are negative or leave nothing to train on.
 */
export function pairGradedProblems(
  problems: readonly GradedProblem[],
  options: PairOptions = {},
): GradedPairs {
  const { calculator = "strip", seed = 0, validation = 0.1, test = 0.1 } = options;
  if (!(validation >= 0 && test >= 0 && validation + test < 1)) {
    throw new RangeError(
      `Shares of "validation" and "test" must be at least 0 and below 1 together, found "${validation}" and "${test}"`,
    );
  }
  const clean = calculator === "strip" ? stripCalculator : (text: string): string => text;
  const excluded = noExclusions();
  const splits: { [split in Split]: PreferenceRecord[] } = { train: [], validation: [], test: [] };
  let problemsWithPairs = 0;
  for (const problem of problems) {
    const truth = finalAnswer(problem.groundTruth);
    if (truth === null) {
      excluded["problem:no-final-answer"]++;
      continue;
    }
    const { right, wrong } = sortSolutions(problem, truth, clean, excluded);
    if (right.length === 0 || wrong.length === 0) {
      const side = right.length > 0 ? "all-right" : wrong.length > 0 ? "all-wrong" : "no-solution-left";
      excluded[`problem:${side}`]++;
      continue;
    }
    problemsWithPairs++;
    const draw = hashFraction(seed, `split\0${problem.question}`);
    const split = draw < test ? "test" : draw < test + validation ? "validation" : "train";
    const group = `gsm8k-${createHash("sha256").update(problem.question).digest("hex").slice(0, 12)}`;
    for (const better of right) {
      for (const worse of wrong) {
        splits[split].push({
          id: `${group}/${better.model}/${worse.model}`,
          conversation: [{ role: "user", content: problem.question }],
          chosen: better.solution,
          rejected: worse.solution,
          group,
          solution: clean(problem.groundTruth).trim(),
          source: "gsm8k",
        });
      }
    }
  }
  return {
    splits,
    statistics: {
      problems: problems.length,
      solutions: problems.reduce((sum, { solutions }) => sum + solutions.length, 0),
      pairs: splits.train.length + splits.validation.length + splits.test.length,
      problemsWithPairs,
      excluded,
    },
  };
}

function noExclusions(): { [reason in ExclusionReason]: number } {
  return {
    "problem:no-final-answer": 0,
    "problem:all-right": 0,
    "problem:all-wrong": 0,
    "problem:no-solution-left": 0,
    "solution:no-final-answer": 0,
    "solution:graded-right-value-wrong": 0,
    "solution:graded-wrong-value-right": 0,
    "solution:same-text": 0,
  };
}

function sortSolutions(
  problem: GradedProblem,
  truth: number,
  clean: (text: string) => string,
  excluded: { [reason in ExclusionReason]: number },
): { right: GradedSolution[]; wrong: GradedSolution[] } {
  const right: GradedSolution[] = [];
  const wrong: GradedSolution[] = [];
  const seen = new Set<string>();
  for (const { model, isCorrect, solution } of problem.solutions) {
    const text = clean(solution).trim();
    const value = finalAnswer(text);
    if (value === null) {
      excluded["solution:no-final-answer"]++;
    } else if ((value === truth) !== isCorrect) {
      excluded[isCorrect ? "solution:graded-right-value-wrong" : "solution:graded-wrong-value-right"]++;
    } else if (seen.has(text)) {
      excluded["solution:same-text"]++;
    } else {
      seen.add(text);
      (isCorrect ? right : wrong).push({ model, isCorrect, solution: text });
    }
  }
  return { right, wrong };
}
