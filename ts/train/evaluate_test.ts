import { expect } from "expect";
import { publishedForm } from "../cor/mod.ts";
import fc from "fast-check";
import { place, type PreferenceRecord } from "../data/mod.ts";
import type { Judgement } from "../judge/mod.ts";
import { evaluate, type EvaluatedPair, proportion, reportOf } from "./evaluate.ts";
import { TabularEngine } from "./testing/tabular_engine.ts";

const record = (id: string): PreferenceRecord => ({
  id,
  conversation: [{ role: "user", content: `${id}?` }],
  chosen: "yes",
  rejected: "no",
});

const judged = (outcome: Judgement["outcome"], gold: "A" | "B"): EvaluatedPair => ({
  pair: place(record("x"), gold),
  judgement: {
    outcome,
    text: "",
    tokens: 2,
    promptTokens: 5,
    finish: outcome.kind === "none" ? null : "eos",
  },
});

Deno.test("what cannot be read is wrong in the strict accuracy and left out of that of the parsed", () => {
  const report = reportOf([
    judged({ kind: "A" }, "A"),
    judged({ kind: "B" }, "A"),
    judged({ kind: "unparsable", reason: "no-answer" }, "B"),
    judged({ kind: "none", reason: "prompt-too-long" }, "B"),
  ], 1);
  expect(report).toMatchObject({
    examples: 4,
    correct: 1,
    parsed: 2,
    accuracy: { value: 0.25 },
    parsedAccuracy: { value: 0.5 },
    parseRate: { value: 0.5 },
    sides: { A: 1, B: 1 },
    unparsable: { "no-answer": 1, "prompt-too-long": 1 },
    finishes: { eos: 3 },
    tokens: 8,
  });
});

Deno.test("with nothing parsed there is no accuracy of the parsed", () => {
  expect(reportOf([judged({ kind: "unparsable", reason: "empty" }, "A")], 1)).toMatchObject({
    accuracy: { value: 0 },
    parsedAccuracy: null,
  });
});

Deno.test("Wilson's interval solves its own equation and holds the share", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 2000 }), fc.nat(), (total, some) => {
    const successes = some % (total + 1);
    const { value, interval } = proportion(successes, total);
    expect(interval[0]).toBeLessThanOrEqual(value + 1e-12);
    expect(interval[1]).toBeGreaterThanOrEqual(value - 1e-12);
    for (const bound of interval) {
      const squared = (value - bound) ** 2;
      expect(squared).toBeCloseTo(1.959963984540054 ** 2 * bound * (1 - bound) / total, 9);
    }
  }));
  const [low, high] = proportion(85, 100).interval;
  expect([low.toFixed(4), high.toFixed(4)]).toEqual(["0.7672", "0.9069"]);
  expect(() => proportion(0, 0)).toThrow(RangeError);
});

Deno.test("each record is judged once, at A and B in turn, and the result does not depend on the batch", async () => {
  const engine = TabularEngine.fresh();
  const records = ["one", "two", "three", "four", "five"].map(record);
  const run = (batch: number) =>
    evaluate(engine, records, {
      kind: "reasrm",
      form: publishedForm("compact"),
      config: { batch, maxNewTokens: 12 },
    });
  const [one, many] = [await run(1), await run(4)];
  expect(one.judged.map(({ pair }) => pair.gold)).toEqual(["A", "B", "A", "B", "A"]);
  expect(one.judged.map(({ judgement }) => judgement.text)).toEqual(
    many.judged.map(({ judgement }) => judgement.text),
  );
  expect({ ...one.report, wallSeconds: 0 }).toEqual({ ...many.report, wallSeconds: 0 });
  expect(Object.values(one.report.finishes).reduce((sum, count) => sum + count, 0)).toBe(5);
});

Deno.test("an engine that fails is an error, never a verdict", async () => {
  const engine = TabularEngine.fresh(1, {
    onCall: (name) => {
      if (name === "generate") throw new Error("The device was lost");
    },
  });
  const config = { batch: 1, maxNewTokens: 4 };
  await expect(evaluate(engine, [record("one")], { kind: "reasrm", form: publishedForm("compact"), config }))
    .rejects.toThrow(
      "The device was lost",
    );
});
