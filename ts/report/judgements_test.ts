import { expect } from "expect";
import fc from "fast-check";
import { coursesOf, resultOf, samplePairs } from "./judgements.ts";
import { type JudgedLine, POINTS } from "./records.ts";

const outcome = fc.constantFrom<JudgedLine["outcome"]>(
  { kind: "A" },
  { kind: "B" },
  { kind: "none", reason: "no-answer" },
);
const rows = fc.array(
  fc.record({ gold: fc.constantFrom("A", "B"), outcomes: fc.array(outcome, { maxLength: 3 }) }),
  {
    maxLength: 30,
  },
);

function judgementsOf(drawn: readonly { gold: "A" | "B"; outcomes: readonly JudgedLine["outcome"][] }[]) {
  return {
    judgements: Object.fromEntries(POINTS.map((point, at) => [
      point,
      drawn.flatMap(({ gold, outcomes }, index): JudgedLine[] => {
        const outcome = outcomes[at];
        return outcome === undefined
          ? []
          : [{ id: `${index}`, gold, outcome, finish: null, tokens: 0, text: "" }];
      }),
    ])),
  };
}

Deno.test("what is no verdict is unreadable, whatever the better answer", () => {
  const judged = { id: "x", gold: "A", finish: null, tokens: 0, text: "" } as const;
  expect(resultOf({ ...judged, outcome: { kind: "A" } })).toBe("right");
  expect(resultOf({ ...judged, outcome: { kind: "B" } })).toBe("wrong");
  expect(resultOf({ ...judged, outcome: { kind: "none", reason: "tie" } })).toBe("unreadable");
});

Deno.test("courses hold each pair once, and say rightly whether its outcome changed", () => {
  fc.assert(fc.property(rows, (drawn) => {
    const courses = coursesOf(judgementsOf(drawn));
    const ids = courses.flatMap(({ pairs }) => pairs.map(({ id }) => id));
    const judged = drawn.flatMap(({ outcomes }, index) => outcomes.length > 0 ? [`${index}`] : []);
    expect(ids.toSorted()).toEqual(judged.toSorted());
    for (const { pairs, results, changed } of courses) {
      expect(changed).toBe(new Set(results.map(({ result }) => result)).size > 1);
      for (const { judgements } of pairs) {
        expect(judgements.map(({ judged }) => resultOf(judged))).toEqual(results.map(({ result }) => result));
      }
    }
    expect(courses.map(({ changed }) => changed)).toEqual(
      courses.map(({ changed }) => changed).toSorted((x, y) => Number(y) - Number(x)),
    );
  }));
});

Deno.test("a sample has no pair twice, takes those that changed first, and as many courses as it can", () => {
  fc.assert(fc.property(rows, fc.nat(40), (drawn, most) => {
    const courses = coursesOf(judgementsOf(drawn));
    const sample = samplePairs(courses, most);
    const all = courses.reduce((total, { pairs }) => total + pairs.length, 0);
    expect(sample).toHaveLength(Math.min(most, all));
    expect(new Set(sample).size).toBe(sample.length);
    const courseOf = (pair: typeof sample[number]) => courses.find(({ pairs }) => pairs.includes(pair))!;
    const changed = sample.map((pair) => courseOf(pair).changed);
    expect(changed).toEqual(changed.toSorted((x, y) => Number(y) - Number(x)));
    const changing = courses.filter((course) => course.changed);
    const shown = new Set(sample.filter((pair) => courseOf(pair).changed).map(courseOf));
    expect(shown.size).toBe(Math.min(most, changing.length));
  }));
});
