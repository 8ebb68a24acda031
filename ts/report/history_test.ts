import { expect } from "expect";
import fc from "fast-check";
import { historyOf } from "./history.ts";
import type { JournalEntry, JournalLine } from "./records.ts";
import { summarise } from "./summary.ts";

const BEGAN = Date.parse("2026-01-31T12:00:00Z");
const START: JournalEntry = { type: "start", code: "0.1.0", backend: "cpu" };
const RESUME: JournalEntry = { ...START, type: "resume" };

/** Lines a second apart; a session begins to count again. */
function journalOf(entries: readonly JournalEntry[], gap = 1): JournalLine[] {
  let seconds = 0;
  return entries.map((entry, index) => {
    seconds = entry.type === "start" || entry.type === "resume" ? 0 : seconds + gap;
    return { ...entry, time: new Date(BEGAN + 1000 * gap * index).toISOString(), seconds };
  });
}

function stage(from: number, steps = 20): JournalEntry {
  return { type: "stage", stage: 2, steps, from, examples: 8, leftOut: {} };
}

function step(number: number): JournalEntry {
  return { type: "step", stage: 2, step: number, reward: number };
}

function at(journal: readonly JournalLine[], secondsLater: number): Date {
  return new Date(Date.parse(journal.at(-1)!.time) + 1000 * secondsLater);
}

Deno.test("however often a run is broken off, its steps are each there once, up to the last one done", () => {
  const sessions = fc.array(fc.record({ back: fc.nat(5), steps: fc.nat(6) }), { minLength: 1, maxLength: 6 });
  fc.assert(fc.property(sessions, (sessions) => {
    const entries: JournalEntry[] = [];
    let done = 0;
    let repeated = 0;
    let furthest = 0;
    sessions.forEach(({ back, steps }, index) => {
      const from = Math.max(0, done - back);
      entries.push(index === 0 ? START : RESUME, stage(from, 100));
      for (let number = from + 1; number <= from + steps; number++) {
        entries.push(step(number));
        if (number <= furthest) repeated++;
        furthest = Math.max(furthest, number);
      }
      done = from + steps;
    });
    const history = historyOf({ journal: journalOf(entries), finished: false }, new Date(BEGAN));
    const expected = Array.from({ length: done }, (_, index) => index + 1);
    expect(history.stages[0]!.steps.map((each) => each.step)).toEqual(expected);
    expect(history.stages[0]!.steps.map(({ reward }) => reward)).toEqual(expected);
    expect(history.sessions).toHaveLength(sessions.length);
    expect(history.sessions.reduce((total, session) => total + session.repeated, 0)).toBe(repeated);
  }));
});

Deno.test("evaluations and the choice behind the step that a stage goes on from count no longer", () => {
  const report = { examples: 1, accuracy: { value: 1, interval: [0.2, 1] }, unparsable: {} } as const;
  const evaluation = (number: number): JournalEntry => ({
    type: "evaluation",
    at: "step",
    stage: 2,
    step: number,
    report,
  });
  const journal = journalOf([
    START,
    stage(0),
    step(1),
    evaluation(1),
    step(2),
    evaluation(2),
    { type: "chosen", stage: 2, step: 1, accuracy: 1, last: 2 },
    RESUME,
    stage(1),
  ]);
  const [found] = historyOf({ journal, finished: false }, new Date(BEGAN)).stages;
  expect(found!.evaluations.map((each) => each.step)).toEqual([1]);
  expect(found!.chosen).toBeNull();
});

Deno.test("a run is running while its journal is written to, and not for long after", () => {
  const journal = journalOf([START, stage(0), step(1), step(2)]);
  const stateAfter = (seconds: number, lines = journal): string =>
    historyOf({ journal: lines, finished: false }, at(lines, seconds)).state;
  expect(stateAfter(60)).toBe("running");
  expect(stateAfter(601)).toBe("interrupted");
  const slow = journalOf([START, stage(0), step(1)], 1000);
  expect(stateAfter(2999, slow)).toBe("running");
  expect(stateAfter(3001, slow)).toBe("interrupted");
});

Deno.test("sessions end as the journal says, and their seconds add up", () => {
  const journal = journalOf([
    START,
    stage(0),
    step(1),
    RESUME,
    stage(0),
    step(1),
    step(2),
    { type: "interrupted", stage: 2, step: 2 },
    RESUME,
    stage(2),
    step(3),
    { type: "finish" },
  ]);
  const { sessions, seconds, state } = historyOf({ journal, finished: true }, at(journal, 5));
  expect(state).toBe("finished");
  expect(sessions.map(({ end, repeated, seconds }) => [end, repeated, seconds])).toEqual([
    ["broken-off", 0, 2],
    ["interrupted", 1, 4],
    ["finished", 0, 3],
  ]);
  expect(seconds).toBe(9);
  const stopped = journal.slice(0, 8);
  expect(historyOf({ journal: stopped, finished: false }, at(stopped, 1)).state).toBe("interrupted");
});

Deno.test("a warning that is given again is shown once", () => {
  const journal = journalOf([
    START,
    { type: "warning", message: "x" },
    RESUME,
    { type: "warning", message: "x" },
    { type: "warning", message: "y" },
  ]);
  const { warnings } = historyOf({ journal, finished: false }, new Date(BEGAN));
  expect(warnings.map(({ message }) => message)).toEqual(["x", "y"]);
});

Deno.test("a summary tells steps done of planned, and of a stage left out nothing", () => {
  const run = {
    name: "x",
    path: "runs/x",
    config: { model: "embedded", stage1: null, stage2: { steps: 20 } },
    ledger: null,
    judgements: {},
    provenance: {},
    finished: false,
  };
  const journal = journalOf([START]);
  const before = summarise({ ...run, journal }, new Date(BEGAN));
  expect(before).toMatchObject({
    judge: "reasrm",
    steps: { stage1: null, stage2: { done: 0, planned: 20 } },
  });
  const later = journalOf([START, stage(0, 30), step(1), step(2)]);
  expect(summarise({ ...run, journal: later }, new Date(BEGAN))).toMatchObject({
    steps: { stage2: { done: 2, planned: 30 } },
    accuracy: { base: null, distilled: null, final: null },
    seconds: 3,
    lastActivity: later.at(-1)!.time,
  });
  const unknown = summarise({ ...run, config: { stage1: {} }, journal }, new Date(BEGAN));
  expect(unknown.steps.stage1).toEqual({ done: 0, planned: null });
});
