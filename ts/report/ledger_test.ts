import { expect } from "expect";
import fc from "fast-check";
import type { History } from "./history.ts";
import { countLedger, rolloutOutcomes } from "./ledger.ts";
import type { LedgerLine, Step } from "./records.ts";

const NONE: History = {
  state: "finished",
  stages: [],
  evaluations: {},
  sessions: [],
  warnings: [],
  leftOut: {},
  data: null,
  seconds: 0,
  lastActivity: null,
};

function historyOf(steps: readonly Step[], leftOut: Readonly<Record<string, number>> = {}): History {
  const stage = { stage: 2, planned: 9, examples: 9, leftOut, steps, evaluations: [], chosen: null } as const;
  return { ...NONE, stages: [stage] };
}

function stepOf(step: number, cut: number, unreadable: number): Step {
  const outcomes = { "correct": 3, "unparsable: no-answer": unreadable };
  return { type: "step", stage: 2, step, outcomes, finishes: { eos: 3, length: cut } };
}

function linesOf({ step, outcomes, finishes }: Step): LedgerLine[] {
  const line = (id: number, what: string, reason: string): LedgerLine => ({
    stage: 2,
    step,
    id: `r${id % 2}`,
    what,
    reason,
  });
  return [
    ...Array.from({ length: finishes!["length"]! }, (_, id) => line(id, "truncated", "length")),
    ...Array.from(
      { length: outcomes!["unparsable: no-answer"]! },
      (_, id) => line(id, "unparsable", "no-answer"),
    ),
  ];
}

const steps = fc.array(
  fc.record({ cut: fc.nat(4), unreadable: fc.nat(4), times: fc.integer({ min: 1, max: 3 }) }),
  {
    maxLength: 6,
  },
);

Deno.test("a step whose lines were written several times is counted once, as without a ledger", () => {
  fc.assert(fc.property(steps, (drawn) => {
    const done = drawn.map(({ cut, unreadable }, index) => stepOf(index + 1, cut, unreadable));
    const ledger = done.flatMap((step, index) =>
      Array.from({ length: drawn[index]!.times }, () => linesOf(step)).flat()
    );
    const strip = (counts: ReturnType<typeof countLedger>): unknown[] =>
      counts.map(({ what, reason, count }) => `${what} ${reason} ${count}`).sort();
    expect(strip(countLedger(ledger, historyOf(done)))).toEqual(strip(countLedger(null, historyOf(done))));
  }));
});

Deno.test("lines of a step that the journal does not have do not count", () => {
  const [kept, lost] = [stepOf(1, 1, 0), stepOf(2, 2, 0)];
  expect(countLedger([...linesOf(kept), ...linesOf(lost)], historyOf([kept]))).toEqual([
    { stage: 2, what: "truncated", reason: "length", count: 1, examples: 1 },
  ]);
});

Deno.test("counts are by stage and reason, the most frequent first, with the examples that they are of", () => {
  const filtered = (id: string, reason: string): LedgerLine => ({
    stage: null,
    step: null,
    id,
    what: "filtered",
    reason,
  });
  const step = stepOf(1, 1, 3);
  const ledger = [filtered("a", "x"), filtered("b", "y"), filtered("c", "y"), ...linesOf(step)];
  expect(countLedger(ledger, historyOf([step]))).toEqual([
    { stage: null, what: "filtered", reason: "y", count: 2, examples: 2 },
    { stage: null, what: "filtered", reason: "x", count: 1, examples: 1 },
    { stage: 2, what: "unparsable", reason: "no-answer", count: 3, examples: 2 },
    { stage: 2, what: "truncated", reason: "length", count: 1, examples: 1 },
  ]);
});

Deno.test("without a ledger what the loaders and stages left out is counted too", () => {
  const history = { ...historyOf([stepOf(1, 0, 0)], { "too-long": 4, none: 0 }), leftOut: { same: 5 } };
  expect(countLedger(null, history)).toEqual([
    { stage: null, what: "filtered", reason: "same", count: 5, examples: null },
    { stage: 2, what: "filtered", reason: "too-long", count: 4, examples: null },
  ]);
});

Deno.test("outcomes of rollouts add up over the steps", () => {
  expect(rolloutOutcomes(historyOf([stepOf(1, 0, 2), stepOf(2, 0, 1)]))).toEqual({
    "correct": 6,
    "unparsable: no-answer": 3,
  });
});
