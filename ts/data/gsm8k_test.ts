import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "expect";
import { checkQuotes, parseTrace } from "../cor/trace.ts";
import {
  finalAnswer,
  type GradedProblem,
  type GradedSolution,
  pairGradedProblems,
  readGradedProblems,
  stripCalculator,
} from "./gsm8k.ts";
import { bothOrders } from "./placement.ts";
import { traceFromData } from "./traces.ts";

const solution = (model: string, isCorrect: boolean, text: string): GradedSolution => ({
  model,
  isCorrect,
  solution: text,
});
const problem = (question: string, solutions: readonly GradedSolution[]): GradedProblem => ({
  line: 1,
  question,
  groundTruth: "2 + 2 = <<2+2=4>>4\nA: 4",
  solutions,
});
const right = solution("m1", true, "2 + 2 = <<2+2=4>>4\nA: 4");
const wrong = solution("m2", false, "2 + 2 = <<2+2=5>>5\nA: 5");

Deno.test("calculator annotations are taken out, cut ones too", () => {
  expect(stripCalculator("a <<1+1=2>>2 b <<3*3=9>>9\nc <<1+")).toBe("a 2 b 9\nc ");
  expect(stripCalculator("1 < 2 << 3")).toBe("1 < 2 ");
});

Deno.test("the final answer is read from the final line", () => {
  expect(finalAnswer("x\nA: 2,034,500")).toBe(2034500);
  expect(finalAnswer("x\nA: -2.5\n")).toBe(-2.5);
  expect(finalAnswer("A: 3\nand more")).toBe(null);
  expect(finalAnswer("A: many")).toBe(null);
});

Deno.test("right and wrong solutions are paired, and all that is left out is counted", () => {
  const { splits, statistics } = pairGradedProblems([
    problem("q1", [right, wrong, solution("m3", false, "A: 6"), solution("m4", false, "2 + 2 = 5\nA: 5")]),
    problem("q2", [right]),
    problem("q3", [wrong]),
    problem("q4", [
      solution("m1", true, "A: 9"),
      solution("m2", false, "A: 4"),
      solution("m3", false, "no end"),
    ]),
    { ...problem("q5", [right, wrong]), groundTruth: "four" },
  ], { validation: 0, test: 0 });
  expect(splits.train.map(({ id, ...rest }) => [id.split("/").slice(1), rest])).toEqual(
    [["m2", "2 + 2 = 5\nA: 5"], ["m3", "A: 6"]].map(([model, rejected]) => [["m1", model], {
      conversation: [{ role: "user", content: "q1" }],
      chosen: "2 + 2 = 4\nA: 4",
      rejected,
      group: expect.stringMatching(/^gsm8k-[0-9a-f]{12}$/),
      solution: "2 + 2 = 4\nA: 4",
      source: "gsm8k",
    }]),
  );
  expect(statistics).toEqual({
    problems: 5,
    solutions: 11,
    pairs: 2,
    problemsWithPairs: 1,
    excluded: {
      "problem:no-final-answer": 1,
      "problem:all-right": 1,
      "problem:all-wrong": 1,
      "problem:no-solution-left": 1,
      "solution:no-final-answer": 1,
      "solution:graded-right-value-wrong": 1,
      "solution:graded-wrong-value-right": 1,
      "solution:same-text": 1,
    },
  });
  const kept = pairGradedProblems([problem("q1", [right, wrong])], {
    calculator: "keep",
    validation: 0,
    test: 0,
  });
  expect(kept.splits.train[0]).toMatchObject({ chosen: right.solution, rejected: wrong.solution });
});

Deno.test("shares that leave nothing to train on are refused", () => {
  expect(() => pairGradedProblems([], { validation: 0.5, test: 0.5 })).toThrow('found "0.5" and "0.5"');
  expect(() => pairGradedProblems([], { test: -1 })).toThrow(RangeError);
});

Deno.test("the split is by problem, in the shares asked for, and does not depend on the others", () => {
  const problems = Array.from({ length: 3000 }, (_, index) => problem(`question ${index}`, [right, wrong]));
  const { splits } = pairGradedProblems(problems, { validation: 0.2, test: 0.1, seed: 3 });
  expect(Math.abs(splits.validation.length / 3000 - 0.2)).toBeLessThan(0.03);
  expect(Math.abs(splits.test.length / 3000 - 0.1)).toBeLessThan(0.03);
  const some = pairGradedProblems(problems.slice(100, 200), { validation: 0.2, test: 0.1, seed: 3 });
  for (const part of ["train", "validation", "test"] as const) {
    const ids = new Set(splits[part].map(({ id }) => id));
    expect(some.splits[part].every(({ id }) => ids.has(id))).toBe(true);
  }
});

Deno.test("malformed graded solutions are refused with their line", async () => {
  const directory = await mkdtemp(join(tmpdir(), "rmr1-gsm8k-"));
  try {
    const path = join(directory, "graded.jsonl");
    const line = (fields: Record<string, unknown>): string =>
      JSON.stringify({ question: "q", ground_truth: "A: 1", ...fields });
    const cases: [string, string][] = [
      ["", "Expected at least one problem, found none"],
      [line({ question: 1 }), 'graded.jsonl:1: Field "question": expected string, found "1"'],
      [
        line({ m: { is_correct: "yes", solution: "" } }),
        'Field "m.is_correct": expected boolean, found "yes"',
      ],
      [`${line({})}\n${line({})}`, 'graded.jsonl:2: Field "question": expected each question once'],
    ];
    for (const [content, message] of cases) {
      await writeFile(path, content);
      await expect(readGradedProblems(path)).rejects.toThrow(message);
    }
    await writeFile(path, line({ m1: { is_correct: true, solution: "A: 1" } }));
    expect(await readGradedProblems(path)).toEqual([
      { line: 1, question: "q", groundTruth: "A: 1", solutions: [solution("m1", true, "A: 1")] },
    ]);
  } finally {
    await rm(directory, { recursive: true });
  }
});

const dataDirectory = Deno.env.get("RMR1_DATA") ?? new URL("../../../shared/data", import.meta.url).pathname;
const realFile = join(dataDirectory, "gsm8k", "example_model_solutions.jsonl");
const missing = !existsSync(realFile);
if (missing) {
  Deno.stderr.writeSync(
    new TextEncoder().encode(
      `SKIPPED: tests on the real GSM8K data need "${realFile}"; set RMR1_DATA to the folder that holds gsm8k/\n`,
    ),
  );
}

Deno.test({
  name: "real GSM8K: pairs are verified, distinct, split by problem and the same on every reading",
  ignore: missing,
  fn: async () => {
    const problems = await readGradedProblems(realFile);
    const { splits, statistics } = pairGradedProblems(problems);
    expect(pairGradedProblems(problems).splits).toEqual(splits);
    expect(statistics.pairs).toBeGreaterThan(2_300);
    expect(statistics.excluded["solution:graded-right-value-wrong"]).toBe(0);
    expect(statistics.excluded["solution:graded-wrong-value-right"]).toBe(0);
    const all = Object.values(splits).flat();
    expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
    expect(new Set(all.map(({ chosen, rejected, group }) => JSON.stringify([chosen, rejected, group]))).size)
      .toBe(all.length);
    for (const { chosen, rejected, solution: own } of all) {
      expect(chosen).not.toBe(rejected);
      expect(finalAnswer(chosen)).toBe(finalAnswer(own!));
      expect(finalAnswer(rejected)).not.toBe(finalAnswer(own!));
      expect([chosen, rejected, own].some((text) => text!.includes("<<"))).toBe(false);
    }
    const parts = Object.values(splits).map((part) => new Set(part.map(({ group }) => group)));
    const groups = new Set(all.map(({ group }) => group));
    expect(parts.reduce((sum, part) => sum + part.size, 0)).toBe(groups.size);
    expect(groups.size).toBe(statistics.problemsWithPairs);
  },
});

Deno.test({
  name: "real GSM8K: every trace parses, names the gold side and quotes verbatim, in both orders",
  ignore: missing,
  fn: async () => {
    const { splits } = pairGradedProblems(await readGradedProblems(realFile));
    const all = Object.values(splits).flat();
    let traced = 0;
    for (const record of all) {
      const outcomes = bothOrders(record).map((pair) => {
        const made = traceFromData(pair);
        if ("skipped" in made) return made.skipped;
        const trace = parseTrace(made.trace);
        expect(trace.problems).toEqual([]);
        expect(trace.verdict).toEqual({ kind: pair.gold });
        expect(trace.solution).toBe(record.solution);
        expect(checkQuotes(trace, pair).map(({ side, found }) => [side, found])).toEqual([["A", "exact"], [
          "B",
          "exact",
        ]]);
        traced++;
        return made.departure;
      });
      expect(outcomes[0]).toBe(outcomes[1]);
    }
    expect(traced / (2 * all.length)).toBeGreaterThan(0.8);
  },
});
