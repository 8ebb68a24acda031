import { expect } from "expect";
import fc from "fast-check";
import { Budget, type BudgetLimits } from "./budget.ts";

const NONE = { calls: 0, tokens: { input: 0, output: 0 } };
const nothing = { 1: NONE, 2: NONE };
const count = fc.integer({ min: 0, max: 50 });
const call = fc.record({
  pass: fc.constantFrom(1 as const, 2 as const),
  worst: fc.record({ input: count, output: count }),
  share: fc.double({ min: 0, max: 1, noNaN: true }),
});
const limits: fc.Arbitrary<BudgetLimits> = fc.record(
  {
    calls: fc.integer({ min: 0, max: 12 }),
    tokens: count.map((n) => 6 * n),
    cost: count.map((n) => n / 1e5),
  },
  { requiredKeys: [] },
);

Deno.test("whatever calls take, spent and set aside never pass a limit", async () => {
  await fc.assert(
    fc.asyncProperty(limits, fc.array(call, { maxLength: 30 }), count, async (limits, calls, turns) => {
      const prices = { 1: { input: 1, output: 4 }, 2: { input: 3, output: 15 } };
      const budget = new Budget(limits, prices, nothing);
      const check = (): void => {
        const [spent, reserved] = [budget.spent, budget.reserved];
        expect(spent.calls + reserved.calls).toBeLessThanOrEqual(limits.calls ?? Infinity);
        expect(spent.tokens + reserved.tokens).toBeLessThanOrEqual(limits.tokens ?? Infinity);
        expect(spent.cost! + reserved.cost!).toBeLessThanOrEqual((limits.cost ?? Infinity) + 1e-15);
      };
      let cost = 0;
      let given = 0;
      await Promise.all(calls.map(async ({ pass, worst, share }) => {
        const room = await budget.reserve(pass, worst);
        check();
        if (room === null) return;
        given++;
        for (let turn = 0; turn < turns % 7; turn++) await Promise.resolve();
        const taken = { input: Math.floor(worst.input * share), output: Math.floor(worst.output * share) };
        cost += (taken.input * prices[pass].input + taken.output * prices[pass].output) / 1e6;
        room.settle(taken);
        check();
      }));
      expect(budget.reserved).toEqual({ calls: 0, tokens: 0, cost: 0 });
      expect(budget.spent.calls).toBe(given);
      expect(budget.spent.cost).toBeCloseTo(cost, 12);
    }),
  );
});

Deno.test("a call waits for room that others may give back, and is refused where there is none without them", async () => {
  const budget = new Budget({ tokens: 100 }, { 1: null, 2: null }, nothing);
  const first = await budget.reserve(1, { input: 40, output: 40 });
  let second = budget.reserve(1, { input: 40, output: 40 });
  expect(await Promise.race([second, Promise.resolve("waits")])).toBe("waits");
  first!.settle({ input: 10, output: 10 });
  expect(await second).not.toBe(null);
  second = budget.reserve(2, { input: 1, output: 0 });
  expect(await Promise.race([second, Promise.resolve("waits")])).toBe("waits");
});

Deno.test("what earlier sessions took counts, and a cost needs prices", async () => {
  const spent = { 1: { calls: 3, tokens: { input: 5, output: 7 } }, 2: NONE };
  const budget = new Budget({ calls: 3 }, { 1: null, 2: null }, spent);
  expect(budget.spent).toEqual({ calls: 3, tokens: 12, cost: null });
  expect(await budget.reserve(1, { input: 0, output: 0 })).toBe(null);
  expect(() => new Budget({ cost: 1 }, { 1: null, 2: null }, nothing)).toThrow("needs the prices");
});
