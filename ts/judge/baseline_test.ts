import { expect } from "expect";
import fc from "fast-check";
import { Baseline, codePoints } from "./baseline.ts";
import type { Outcome } from "./judge.ts";

async function judgeOne(judge: Baseline, a: string, b: string): Promise<Outcome> {
  const conversation = [{ role: "user", content: "q" } as const];
  const [result] = await Array.fromAsync(judge.judge([{ conversation, a, b }]));
  return result!.answer!.outcome;
}

Deno.test("codePoints counts a surrogate pair once", () => {
  expect(codePoints("a😀é")).toBe(3);
});

Deno.test("longest and shortest pick by length, and equal lengths are a tie", async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), async (a, b) => {
      const [x, y] = [[...a].length, [...b].length];
      const tie = { kind: "none", reason: "tie" };
      const longer = x === y ? tie : { kind: x > y ? "A" : "B" };
      const shorter = x === y ? tie : { kind: x > y ? "B" : "A" };
      expect(await judgeOne(Baseline.longest(), a, b)).toEqual(longer);
      expect(await judgeOne(Baseline.shortest(), a, b)).toEqual(shorter);
    }),
  );
});

Deno.test("random picks by seed and text alone, ties equal texts and favours no place", async () => {
  let first = 0;
  for (let i = 0; i < 1000; i++) {
    const outcome = await judgeOne(Baseline.random(7), `x${i}`, `y${i}`);
    const swapped = await judgeOne(Baseline.random(7), `y${i}`, `x${i}`);
    expect([outcome.kind, swapped.kind].toSorted()).toEqual(["A", "B"]);
    if (outcome.kind === "A") first++;
  }
  // Five standard deviations of a fair coin.
  expect(Math.abs(first - 500)).toBeLessThan(80);
  expect(await judgeOne(Baseline.random(7), "same", "same")).toEqual({ kind: "none", reason: "tie" });
});

Deno.test("random draws differ between seeds", async () => {
  const picks = async (seed: number): Promise<string> => {
    const kinds = [];
    for (let i = 0; i < 64; i++) kinds.push((await judgeOne(Baseline.random(seed), `x${i}`, `y${i}`)).kind);
    return kinds.join("");
  };
  expect(await picks(1)).not.toBe(await picks(2));
});
