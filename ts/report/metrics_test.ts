import { expect } from "expect";
import { METRICS } from "./metrics.ts";
import type { Figure, Step } from "./records.ts";

function figure(title: string, step: Partial<Step>): Figure {
  const metric = METRICS.find((each) => each.title === title);
  if (metric === undefined) throw new Error(`No metric "${title}"`);
  return metric.of({ type: "step", stage: 2, step: 1, ...step });
}

Deno.test("what an update measures is missing where there was none", () => {
  const step = { entropy: 0, loss: 0, policy: { meanKl: 0, clipFraction: 0 } };
  for (const title of ["Entropy", "Loss", "KL", "Clipped"]) {
    expect(figure(title, { ...step, updates: 0 })).toBeNull();
    expect(figure(title, { ...step, updates: 1 })).toBe(0);
    expect(figure(title, step)).toBe(0);
  }
});

Deno.test("groups are not told of where a critic takes their place", () => {
  const step = { groups: 4, equalGroups: 1, distinct: 0.5 };
  expect(figure("Groups of equal rewards", { ...step, critic: null })).toBe(0.25);
  expect(figure("Groups of equal rewards", { ...step, critic: { loss: 1 } })).toBeNull();
  expect(figure("Distinct rollouts", { ...step, critic: { loss: 1 } })).toBeNull();
});
