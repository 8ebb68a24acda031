import { expect } from "expect";
import fc from "fast-check";
import type { Side } from "rm-r1/data";
import type { Outcome } from "rm-r1/judge";
import type { StoredJudgement } from "./journal.ts";
import {
  type JudgedItem,
  majority,
  outcomesByOrder,
  outcomesByRule,
  outcomesOfScores,
  type Treatment,
} from "./outcomes.ts";
import { smallItems } from "./testing/small_benchmark.ts";

const [item] = smallItems();
const UNREAD: Outcome = { kind: "unparsable", reason: "empty" };

function sample(outcome: Outcome, tokens = 0): StoredJudgement {
  return { outcome, tokens, promptTokens: 1, finish: null };
}

type Placed = readonly (readonly [gold: Side, outcome: Outcome])[];

function judged(...placed: Placed): JudgedItem[] {
  const pair = placed.map(([gold, outcome]) => {
    const judgement = sample(outcome);
    return { gold, judgement, samples: [judgement] };
  });
  return [{ item: item!, pairs: [pair] }];
}

const A: Outcome = { kind: "A" };
const B: Outcome = { kind: "B" };

function values(items: readonly JudgedItem[], treatment: Treatment): number[] {
  return outcomesByOrder(items, treatment).map(([outcome]) => outcome!.pairs[0]!);
}

Deno.test("each order is an outcome of its own, and a failure counts as its treatment has it", () => {
  const items = judged(["A", A], ["B", UNREAD]);
  expect(values(items, "wrong")).toEqual([1, 0]);
  expect(values(items, "tie")).toEqual([1, 0.5]);
  expect(values(items, "excluded")).toEqual([1, NaN]);
});

Deno.test("orders are taken together by rule", () => {
  const by = (rule: "all" | "consistent" | "sign", ...orders: Placed): number =>
    outcomesByRule(judged(...orders), rule)[0]!.pairs[0]!;
  const both: Placed = [["A", A], ["B", B]];
  const flip: Placed = [["A", A], ["B", A]];
  const none: Placed = [["A", B], ["B", A]];
  const half: Placed = [["A", A], ["B", UNREAD]];
  expect([both, flip, none, half].map((orders) => by("all", ...orders))).toEqual([1, 0, 0, 0]);
  expect([both, flip, none, half].map((orders) => by("consistent", ...orders))).toEqual([1, NaN, 0, NaN]);
  expect([both, flip, none, half].map((orders) => by("sign", ...orders))).toEqual([1, 0, 0, 1]);
});

Deno.test("a scorer's pair is right where the better answer's score is higher, whatever the scores' scale", () => {
  const score = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constant(null));
  fc.assert(fc.property(score, score, (better, worse) => {
    const of = (treatment: Treatment): number =>
      outcomesOfScores([{ item: item!, scores: [better, worse] }], treatment)[0]!.pairs[0]!;
    const unread = better === null || worse === null || better === worse;
    const right = unread ? undefined : better > worse ? 1 : 0;
    expect(of("wrong")).toBe(right ?? 0);
    expect(of("tie")).toBe(right ?? 0.5);
    expect(of("excluded")).toBe(right ?? NaN);
  }));
});

Deno.test("the majority of samples counts, those that could not be read have no vote", () => {
  const of = (...outcomes: readonly Outcome[]): Outcome =>
    majority(outcomes.map((each) => sample(each))).outcome;
  expect(of(B)).toEqual(B);
  expect(of(A, B, A)).toEqual(A);
  expect(of(UNREAD, B, UNREAD)).toEqual(B);
  expect(of(A, B)).toEqual({ kind: "none", reason: "votes-tied" });
  expect(of(UNREAD, UNREAD)).toEqual(UNREAD);
  expect(majority([sample(A, 3), sample(B, 4), sample(B, 5)])).toMatchObject({ tokens: 12, promptTokens: 3 });
  expect(() => majority([])).toThrow("There are no samples");
});
