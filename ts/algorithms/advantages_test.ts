import { expect } from "expect";
import fc from "fast-check";
import { type AdvantageStd, groupAdvantages, hasSpread } from "./advantages.ts";

const STDS: readonly AdvantageStd[] = ["sample", "population", "none"];
const reward = fc.double({ min: -10, max: 10, noNaN: true });
const rewards = fc.array(reward, { minLength: 2, maxLength: 16 });

Deno.test("one winner among eight gets 2.475 with n − 1, 2.646 with n", () => {
  const group = [1, -1, -1, -1, -1, -1, -1, -1];
  expect(groupAdvantages(group, { std: "sample" })[0]).toBeCloseTo(2.475, 3);
  expect(groupAdvantages(group, { std: "population" })[0]).toBeCloseTo(2.646, 3);
  expect(groupAdvantages(group, { std: "none" })[0]).toBeCloseTo(1.75, 12);
});

Deno.test("a group of one, or of equal rewards, has advantages of exactly 0", () => {
  fc.assert(
    fc.property(reward, fc.integer({ min: 1, max: 16 }), fc.constantFrom(...STDS), (value, n, std) => {
      const group = new Array<number>(n).fill(value);
      expect(hasSpread(group)).toBe(false);
      expect([...groupAdvantages(group, { std })].every((advantage) => advantage === 0)).toBe(true);
    }),
  );
});

Deno.test("an empty group has no advantages", () => {
  for (const std of STDS) expect(groupAdvantages([], { std }).length).toBe(0);
});

Deno.test("advantages of a group add up to 0", () => {
  fc.assert(fc.property(rewards, fc.constantFrom(...STDS), (group, std) => {
    const sum = groupAdvantages(group, { std, epsilon: 1 }).reduce(
      (total, advantage) => total + advantage,
      0,
    );
    expect(sum).toBeCloseTo(0, 9);
  }));
});

Deno.test("permuting a group permutes its advantages", () => {
  fc.assert(fc.property(rewards, fc.constantFrom(...STDS), fc.nat(), (group, std, turn) => {
    const by = turn % group.length;
    const turned = [...group.slice(by), ...group.slice(0, by)];
    const plain = groupAdvantages(group, { std, epsilon: 1 });
    const moved = groupAdvantages(turned, { std, epsilon: 1 });
    for (const [i, advantage] of moved.entries()) {
      expect(advantage).toBeCloseTo(plain[(i + by) % group.length]!, 9);
    }
  }));
});

Deno.test("adding a constant to all rewards changes nothing", () => {
  const plain = groupAdvantages([1, -1, 1, 0.5], { std: "sample" });
  const raised = groupAdvantages([4, 2, 4, 3.5], { std: "sample" });
  for (const [i, advantage] of raised.entries()) expect(advantage).toBeCloseTo(plain[i]!, 9);
});

Deno.test("a reward that is not finite is refused, not averaged", () => {
  expect(() => groupAdvantages([1, NaN], { std: "sample" })).toThrow('rollout 1 to be finite, not "NaN"');
});
