import { expect } from "expect";
import fc from "fast-check";
import type { Side } from "rm-r1/data";
import { calibrationOf } from "./calibration.ts";
import type { StoredJudgement } from "./journal.ts";
import { type JudgedItem, majority } from "./outcomes.ts";
import { smallItems } from "./testing/small_benchmark.ts";

const [item] = smallItems();

function vote(kind: Side | null, probabilityA?: number): StoredJudgement {
  return {
    outcome: kind === null ? { kind: "unparsable", reason: "empty" } : { kind },
    tokens: 1,
    promptTokens: 1,
    finish: "eos",
    ...(probabilityA !== undefined && { probabilityA }),
  };
}

function judged(
  orders: readonly (readonly [gold: Side, samples: readonly StoredJudgement[]])[],
): JudgedItem[] {
  return orders.map(([gold, samples]) => (
    { item: item!, pairs: [[{ gold, judgement: majority(samples), samples }]] }
  ));
}

Deno.test("the share of votes is the confidence, of what could be read", () => {
  const found = calibrationOf(judged([
    ["A", [vote("A"), vote("A"), vote("A"), vote("A")]],
    ["A", [vote("A"), vote("A"), vote("A"), vote("B")]],
    ["B", [vote("A"), vote("A"), vote("A"), vote("B")]],
    ["B", [vote("A"), vote(null), vote("B"), vote(null)]],
    ["A", [vote(null), vote(null), vote(null), vote(null)]],
  ]))!;
  expect(found.of).toBe("vote-share");
  expect(found.n).toBe(4);
  expect(found.bins.map(({ n, confidence, accuracy }) => [n, confidence, accuracy])).toEqual([
    [1, 0.5, 0.5],
    [2, 0.75, 0.5],
    [1, 1, 1],
  ]);
  expect(found.ece).toBeCloseTo(2 * 0.25 / 4, 12);
  expect(found.brier).toBeCloseTo((0 + 0.25 ** 2 + 0.75 ** 2 + 0.5 ** 2) / 4, 12);
});

Deno.test("without votes the verdict's probability is the confidence, and without either there is none", () => {
  const found = calibrationOf(
    judged([["A", [vote("A", 0.9)]], ["B", [vote("A", 0.7)]], ["B", [vote("B")]]]),
  )!;
  expect(found.of).toBe("probability");
  expect(found.n).toBe(2);
  expect(found.brier).toBeCloseTo((0.1 ** 2 + 0.7 ** 2) / 2, 12);
  expect(calibrationOf(judged([["A", [vote("A")]]]))).toBeNull();
});

Deno.test("a judge that is right as often as it is sure has no calibration error", () => {
  fc.assert(fc.property(fc.constantFrom(0.55, 0.6, 0.75, 0.8, 0.95), (p) => {
    const orders = Array.from({ length: 100 }, (_, at): [Side, StoredJudgement[]] => [
      at < Math.round(100 * p) ? "A" : "B",
      [vote("A", p)],
    ]);
    const { ece, bins, brier } = calibrationOf(judged(orders))!;
    expect(bins).toHaveLength(1);
    expect(ece).toBeCloseTo(0, 12);
    expect(brier).toBeCloseTo(p * (1 - p), 12);
  }));
});
