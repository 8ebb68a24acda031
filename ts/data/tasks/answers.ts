/**
 * Right and wrong answers to a problem. Both are worded by the same draws, so that length, layout and phrases say
 * nothing of which is which.
 *
 * @module
 */
import type { Draws } from "./draws.ts";
import {
  LARGEST_TOTAL,
  type Operation,
  type Problem,
  SMALLEST_TOTAL,
  type Step,
  step,
  writeStep,
} from "./problem.ts";

/** How a wrong answer departs from the solution. */
export type Fault =
  /** A step's value is miscalculated. */
  | "arithmetic"
  /** A step takes another operand than the problem states, or another total than was reached. */
  | "operand"
  /** A step applies another operation. */
  | "operation"
  /** A step is left out. */
  | "omitted"
  /** A step is taken twice. */
  | "repeated";

const FAULTS: readonly Fault[] = [
  "arithmetic",
  "arithmetic",
  "arithmetic",
  "arithmetic",
  "operand",
  "operand",
  "operation",
  "omitted",
  // Twice, since the totals that it reaches are out of range more often: as many wrong answers are longer as shorter.
  "repeated",
  "repeated",
];

const SLIPS = [-10, -10, -3, -2, -1, -1, 1, 1, 2, 3, 10, 10] as const;

const OTHER_OPERATIONS: Readonly<Record<Operation, Operation>> = { "+": "-", "-": "+", "*": "+" };

/** The steps after a departure, each from the total that was then reached. */
function carryOn(total: number, rest: readonly Step[]): Step[] {
  return rest.map(({ operation, right }) => {
    const next = step(total, operation, right);
    total = next.value;
    return next;
  });
}

/** The steps up to `at` and the departing one; null where the fault cannot happen there. */
function depart(
  draws: Draws,
  { steps, quantities }: Problem,
  fault: Fault,
  at: number,
): { departed: Step[]; rest: readonly Step[] } | null {
  const before = steps.slice(0, at);
  const current = steps[at]!;
  const after = steps.slice(at + 1);
  switch (fault) {
    case "arithmetic":
      return { departed: [...before, { ...current, value: current.value + draws.pick(SLIPS) }], rest: after };
    case "operand": {
      const totals = before.slice(0, -1).map((earlier) => earlier.value);
      const others = [...quantities, ...totals].filter((other) =>
        other !== current.left && other !== current.right
      );
      if (others.length === 0) return null;
      const other = draws.pick(others);
      const wrong = at > 0 && draws.chance(0.5)
        ? step(other, current.operation, current.right)
        : step(current.left, current.operation, other);
      return { departed: [...before, wrong], rest: after };
    }
    case "operation":
      return {
        departed: [...before, step(current.left, OTHER_OPERATIONS[current.operation], current.right)],
        rest: after,
      };
    case "omitted": {
      const [next, ...rest] = after;
      if (next === undefined) return null;
      return { departed: [...before, step(current.left, next.operation, next.right)], rest };
    }
    case "repeated": {
      // Not at the last step, as "omitted".
      if (after.length === 0) return null;
      return {
        departed: [...before, current, step(current.value, current.operation, current.right)],
        rest: after,
      };
    }
  }
}

/** Draws the steps of a wrong answer, or null where the drawn fault cannot happen or changes nothing. */
export function drawWrongSteps(draws: Draws, problem: Problem): { steps: Step[]; fault: Fault } | null {
  const fault = draws.pick(FAULTS);
  const departure = depart(draws, problem, fault, draws.below(problem.steps.length));
  if (departure === null) return null;
  const { departed, rest } = departure;
  const wrong = departed.at(-1)!;
  const steps = [...departed, ...carryOn(wrong.value, rest)];
  const known = new Set(problem.steps.flatMap(({ left, right, value }) => [left, right, value]));
  if (known.has(wrong.value) || steps.at(-1)!.value === problem.steps.at(-1)!.value) return null;
  if (steps.some(({ value }) => value < SMALLEST_TOTAL || value > LARGEST_TOTAL)) return null;
  return { steps, fault };
}

/** How an answer is laid out: what stands before all steps, before each step, after each, and before the result. */
interface Layout {
  readonly opening: string;
  readonly lead: (index: number, operation: Operation) => string;
  readonly end: string;
  readonly closing: string;
}

const VERBS: Readonly<Record<Operation, string>> = { "+": "add", "-": "subtract", "*": "multiply" };

const LAYOUTS: readonly Layout[] = [
  { opening: "", lead: () => "", end: "", closing: "The answer is " },
  { opening: "", lead: (index) => index === 0 ? "First " : "Then ", end: ".", closing: "So the answer is " },
  { opening: "", lead: (_, operation) => `We ${VERBS[operation]}: `, end: "", closing: "The result is " },
  { opening: "Step by step:\n", lead: () => "", end: ".", closing: "That makes " },
  { opening: "", lead: (index) => `Step ${index + 1}: `, end: "", closing: "Answer: " },
];

/** Words an answer: a step a line and the result in the last one. Sums and products may turn their sides around. */
export function wordAnswer(draws: Draws, steps: readonly Step[]): string {
  const layout = draws.pick(LAYOUTS);
  const lines = steps.map((current, index) => {
    const turned = current.operation !== "-" && draws.chance(0.2);
    const written = turned ? { ...current, left: current.right, right: current.left } : current;
    return `${layout.lead(index, current.operation)}${writeStep(written)}${layout.end}`;
  });
  return `${layout.opening}${lines.join("\n")}\n${layout.closing}${steps.at(-1)!.value}.`;
}
