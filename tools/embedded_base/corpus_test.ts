import { expect } from "expect";
import { checkQuotes, parseTrace } from "../../ts/cor/trace.ts";
import { HELD_RANGES } from "../../ts/data/tasks/mod.ts";
import { blindTrace, type Document, drawCorpus } from "./corpus.ts";
import { bothOrders, place } from "../../ts/data/placement.ts";
import { generateTasks } from "../../ts/data/tasks/mod.ts";
import { Draws } from "../../ts/data/tasks/draws.ts";

const CORPUS: readonly Document[] = [...drawCorpus({ seed: 9, count: 600 })];

Deno.test("every judged pair has one transcript for each verdict, well formed and with real quotes", () => {
  const judged = CORPUS.filter(({ kind }) => kind === "judge");
  expect(judged.length).toBeGreaterThan(100);
  for (const { prompt, responses } of judged) {
    const traces = responses.map((response) => parseTrace(response));
    expect(traces.map(({ verdict }) => verdict.kind).sort()).toEqual(["A", "B"]);
    for (const trace of traces) {
      expect(trace.problems).toEqual([]);
      expect(trace.quotes.length).toBe(2);
      const [, a, b] = /Chatbot A's Response\]\n(.*)\n\[The End.*Chatbot B's Response\]\n(.*)\n\[The End/s
        .exec(prompt![0]!.content)!;
      expect(checkQuotes(trace, { a: a!, b: b! }).map(({ found }) => found)).toEqual(["exact", "exact"]);
    }
  }
});

Deno.test("a blind trace depends on the side that it was told, not on which answer is right", () => {
  for (const record of generateTasks({ seed: 4, split: "train", count: 50 })) {
    for (const pair of bothOrders(record)) {
      for (const wrong of ["A", "B"] as const) {
        const text = blindTrace(new Draws(1, 2, 3, 4), pair, wrong);
        const { verdict } = parseTrace(text);
        expect(verdict).toEqual({ kind: wrong === "A" ? "B" : "A" });
        expect(text).toMatch(wrong === "A" ? /A differs.*B agrees/s : /A agrees.*B differs/s);
      }
    }
  }
});

Deno.test("a blind trace gives the value of the expression that it calls wrong", () => {
  const [record] = generateTasks({ seed: 4, split: "train", count: 1 });
  const pair = place({ ...record!, chosen: "2+2=5\n5" }, "A");
  const texts = Array.from({ length: 20 }, (_, item) => blindTrace(new Draws(1, 2, item, 4), pair, "A"));
  expect(texts.some((text) => text.includes("<quote_A>2+2=5</quote_A> is wrong: it should be 2+2=4."))).toBe(
    true,
  );
});

Deno.test("no problem states a quantity that validation or test keep to themselves", () => {
  const held = Object.values(HELD_RANGES).flat();
  for (const { kind, prompt } of CORPUS) {
    if (kind !== "solve") continue;
    for (const [digits] of prompt![0]!.content.matchAll(/\d+/g)) {
      expect(held.some(([low, high]) => low <= Number(digits) && Number(digits) <= high)).toBe(false);
    }
  }
});

Deno.test("drills are equations that hold", () => {
  const drills = CORPUS.filter(({ kind }) => kind === "drill");
  expect(drills.length).toBeGreaterThan(100);
  for (const { responses } of drills) {
    for (const line of responses[0]!.split("\n")) {
      const [, left, operation, right, value] = /^(\d+)([-+*])(\d+)=(\d+)$/.exec(line)!;
      const [x, y] = [Number(left), Number(right)];
      expect(Number(value)).toBe(operation === "+" ? x + y : operation === "-" ? x - y : x * y);
    }
  }
});

Deno.test("differences are right, and about half of them are none", () => {
  const lines = CORPUS.filter(({ kind }) => kind === "difference")
    .flatMap(({ responses }) => responses[0]!.split("\n"));
  expect(lines.length).toBeGreaterThan(200);
  for (const line of lines) {
    const [, left, right, value] = /^(\d+)-(\d+)=(-?\d+)$/.exec(line)!;
    expect([line, Number(value)]).toEqual([line, Number(left) - Number(right)]);
  }
  const none = lines.filter((line) => line.endsWith("=0")).length;
  expect(Math.abs(none / lines.length - 0.5)).toBeLessThan(0.15);
});

Deno.test("the corpus depends on its seed alone and turns to judging", () => {
  expect([...drawCorpus({ seed: 9, count: 600 })]).toEqual(CORPUS);
  const judged = (part: readonly Document[]): number => part.filter(({ kind }) => kind === "judge").length;
  expect(judged(CORPUS.slice(400))).toBeGreaterThan(2 * judged(CORPUS.slice(0, 200)));
});
