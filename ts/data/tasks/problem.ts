/**
 * Arithmetic problems of one to three steps, and their solutions.
 *
 * @module
 */
import type { Draws } from "./draws.ts";
import type { Split } from "../record.ts";
import { ITEMS, NUMBER, type Slot, STORY, SUBJECTS } from "./wordings.ts";

/** An arithmetic operation, as it is written. */
export type Operation = "+" | "-" | "*";

/** One step of a solution. `value` is what the step says, which in a wrong answer need not be right. */
export interface Step {
  readonly left: number;
  readonly operation: Operation;
  readonly right: number;
  readonly value: number;
}

/** A problem and the steps that solve it: each step's left side is the value of the one before. */
export interface Problem {
  readonly text: string;
  readonly steps: readonly Step[];
  /** The quantities that the text states, factors left out. */
  readonly quantities: readonly number[];
}

/** Smallest running total of a problem: above the numbers that count an answer's steps. */
export const SMALLEST_TOTAL = 6;

/** Largest running total of a problem. */
export const LARGEST_TOTAL = 199;

const SMALLEST_QUANTITY = 11;
const LARGEST_QUANTITY = 99;
const LARGEST_DOUBLED = 99;
const SMALLEST_FACTOR = 2;
const LARGEST_FACTOR = 9;
const LONGEST_CHAIN = 3;

/**
 * Ranges of quantities, both ends included, that one split keeps to itself. Every digit still stands in both
 * places of the quantities that training states.
 */
export const HELD_RANGES: Readonly<Record<"validation" | "test", readonly (readonly [number, number])[]>> = {
  validation: [[47, 48], [82, 83]],
  test: [[34, 36], [64, 66], [91, 93]],
};

function within(value: number, ranges: readonly (readonly [number, number])[]): boolean {
  return ranges.some(([low, high]) => low <= value && value <= high);
}

/** The split whose problems may state this quantity. */
export function splitOfQuantity(quantity: number): Split {
  if (within(quantity, HELD_RANGES.validation)) return "validation";
  return within(quantity, HELD_RANGES.test) ? "test" : "train";
}

const QUANTITIES: Readonly<Record<Split, readonly number[]>> = (() => {
  const pools: Record<Split, number[]> = { train: [], validation: [], test: [] };
  for (let quantity = SMALLEST_QUANTITY; quantity <= LARGEST_QUANTITY; quantity++) {
    pools[splitOfQuantity(quantity)].push(quantity);
  }
  return pools;
})();

/** What an operation gives. */
export function evaluate(left: number, operation: Operation, right: number): number {
  switch (operation) {
    case "+":
      return left + right;
    case "-":
      return left - right;
    case "*":
      return left * right;
  }
}

/** A step with its right value. */
export function step(left: number, operation: Operation, right: number): Step {
  return { left, operation, right, value: evaluate(left, operation, right) };
}

/** A step as it is written, `12+30=42`. */
export function writeStep({ left, operation, right, value }: Step): string {
  return `${left}${operation}${right}=${value}`;
}

/** Fills a sentence's places. Throws where a place has no value. */
function fill(sentence: string, values: Readonly<Record<string, string | number>>): string {
  return sentence.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) {
      throw new Error(`No value for the place "{${name}}" of the sentence "${sentence}"`);
    }
    return String(value);
  });
}

/** Draws a problem of a split, or null where the drawn operations leave the range of totals. */
export function drawProblem(draws: Draws, split: Split): Problem | null {
  const wordings = (draws.chance(0.75) ? STORY : NUMBER)[split];
  const names = { who: draws.pick(SUBJECTS), item: draws.pick(ITEMS) };
  const say = (slot: Slot, values: Readonly<Record<string, number>> = {}): string => {
    const sentence = fill(draws.pick(wordings[slot]), { ...names, ...values });
    return sentence[0]!.toUpperCase() + sentence.slice(1);
  };
  const quantities: number[] = [];
  const state = (): number => {
    const quantity = draws.pick(QUANTITIES[split]);
    quantities.push(quantity);
    return quantity;
  };

  const sentences: string[] = [];
  const steps: Step[] = [];
  let length = draws.between(1, LONGEST_CHAIN);
  let total: number;
  if (length === 1 || draws.chance(0.7)) {
    total = state();
    sentences.push(say("hold", { n: total }));
  } else {
    const slot = draws.pick(["groups", "groups", "dozens", "week"] as const);
    const k = draws.between(SMALLEST_FACTOR, LARGEST_FACTOR);
    const m = slot === "groups" ? draws.between(SMALLEST_FACTOR, LARGEST_FACTOR) : slot === "dozens" ? 12 : 7;
    sentences.push(say(slot, { k, m }));
    steps.push(step(k, "*", m));
    total = k * m;
    if (total < SMALLEST_TOTAL) return null;
    length--;
  }

  for (; length > 0; length--) {
    const slot = draws.pick(["plus", "plus", "plus", "minus", "minus", "minus", "double"] as const);
    let next: Step;
    if (slot === "double") {
      if (total > LARGEST_DOUBLED) return null;
      next = step(total, "*", 2);
      sentences.push(say(slot));
    } else {
      const n = state();
      next = step(total, slot === "plus" ? "+" : "-", n);
      sentences.push(say(slot, { n }));
    }
    if (next.value < SMALLEST_TOTAL || next.value > LARGEST_TOTAL) return null;
    steps.push(next);
    total = next.value;
  }
  if (quantities.length === 0) return null;
  sentences.push(say("ask"));
  return { text: sentences.join(" "), steps, quantities };
}
