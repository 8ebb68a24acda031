import { expect } from "expect";
import type { StepEvaluation } from "./journal.ts";
import { Selection } from "./selection.ts";

function evaluation(step: number, accuracy: number): StepEvaluation {
  const share = { value: accuracy, interval: [0, 1] } as const;
  const report = {
    examples: 10,
    correct: 10 * accuracy,
    parsed: 10,
    accuracy: share,
    parsedAccuracy: share,
    parseRate: share,
    sides: { A: 5, B: 5 },
    unparsable: {},
    finishes: {},
    tokens: 10,
    wallSeconds: 1,
  };
  return { stage: 2, step, report };
}

const CONFIG = { every: 10, examples: 10, keepBest: true, patience: null };

function after(
  accuracies: readonly number[],
  changes: Partial<typeof CONFIG | { patience: number }> = {},
): Selection {
  return new Selection(
    { ...CONFIG, ...changes },
    45,
    accuracies.map((accuracy, index) => evaluation(Math.min(45, 10 * (index + 1)), accuracy)),
  );
}

Deno.test("every so many steps are due, and the last one, each once", () => {
  const due = (selection: Selection): number[] =>
    Array.from({ length: 45 }, (_, index) => index + 1).filter((step) => selection.isDue(step));
  expect(due(after([]))).toEqual([10, 20, 30, 40, 45]);
  expect(due(after([0.5, 0.6]))).toEqual([30, 40, 45]);
});

Deno.test("the highest accuracy is chosen, the earliest of equals, unless it is the last or nobody asked", () => {
  expect(after([0.5, 0.7, 0.7, 0.6]).chosen?.step).toBe(20);
  expect(after([0.5, 0.6]).chosen).toBeNull();
  expect(after([0.7, 0.6], { keepBest: false }).chosen).toBeNull();
  expect(after([]).chosen).toBeNull();
});

Deno.test("the stage ends after so many evaluations without a better one", () => {
  expect(after([0.5, 0.5], { patience: 2 }).isOver).toBe(false);
  expect(after([0.5, 0.5, 0.4], { patience: 2 }).isOver).toBe(true);
  expect(after([0.5, 0.5, 0.6], { patience: 2 }).isOver).toBe(false);
  expect(after([0.5, 0.4, 0.3, 0.2]).isOver).toBe(false);
});
