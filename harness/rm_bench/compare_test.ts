import { expect } from "expect";
import type { StoredJudgement } from "../journal.ts";
import { compareJudgements, compareScores, failuresOf, type JudgedItem, orderFigures } from "./compare.ts";
import type { RmBenchItem } from "./items.ts";

const item: RmBenchItem = {
  key: "chat:1",
  subset: "chat",
  domain: "chat",
  prompt: "p",
  chosen: ["a", "aa", "aaa"],
  rejected: ["b", "bb", "bbb"],
};

/** `R` right, `W` wrong, `N` no answer, `L` prompt too long; the better answer stands in A, then in B. */
function judged(...cells: string[]): JudgedItem {
  return {
    item,
    cells: cells.map((orders) =>
      Array.from(orders, (letter, order) => {
        const gold = order === 0 ? "A" : "B";
        const other = order === 0 ? "B" : "A";
        const outcomes: Record<string, StoredJudgement["outcome"]> = {
          R: { kind: gold },
          W: { kind: other },
          N: { kind: "unparsable", reason: "no-answer" },
          L: { kind: "none", reason: "prompt-too-long" },
        };
        return { gold, judgement: { outcome: outcomes[letter]!, tokens: 1, promptTokens: 1, finish: "eos" } };
      })
    ),
  };
}

const example = judged("RR", "RW", "WR", "WW", "RN", "NN", "NW", "LR", "RR");

Deno.test("compareJudgements: mean of the orders, first order, right in all", () => {
  expect(compareJudgements(example)).toEqual({
    domain: "chat",
    cells: [1, 0.5, 0.5, 0, 0.5, 0, 0, 0.5, 1],
    judged: 18,
    parsed: 13,
    right: 8,
  });
  expect(compareJudgements(example, "first")).toMatchObject({
    cells: [1, 1, 0, 0, 1, 0, 0, 0, 1],
    judged: 9,
    parsed: 6,
    right: 4,
  });
  expect(compareJudgements(example, "both").cells).toEqual([1, 0, 0, 0, 0, 0, 0, 0, 1]);
});

Deno.test("orderFigures counts flips among what could be read in both orders", () => {
  // Five cells were read twice; two of them flip; of the three others two are right.
  expect(orderFigures([example])).toEqual({
    readable: 5,
    flips: 2,
    consistentAccuracy: 2 / 3,
    // A is picked by R in the first order and by W in the second.
    firstPlaceShare: 7 / 13,
  });
  const once = judged("R", "W", "N", "R", "R", "R", "R", "R", "R");
  expect(orderFigures([once])).toEqual({
    readable: 0,
    flips: 0,
    consistentAccuracy: null,
    firstPlaceShare: 7 / 8,
  });
  const nothing = judged(...Array(9).fill("NN"));
  expect(orderFigures([nothing])).toMatchObject({ consistentAccuracy: null, firstPlaceShare: null });
});

Deno.test("failuresOf names each reason", () => {
  expect(failuresOf([example, example])).toEqual({ "no-answer": 8, "prompt-too-long": 2 });
});

Deno.test("compareScores: a comparison with an answer that is too long is wrong and not read", () => {
  expect(compareScores(item, { chosen: [1, null, 3], rejected: [0, 0, null] })).toEqual({
    domain: "chat",
    cells: [1, 1, 0, 0, 0, 0, 1, 1, 0],
    judged: 9,
    parsed: 4,
    right: 4,
    ties: 0,
  });
});

Deno.test("compareScores: equal scores are wrong and counted as ties", () => {
  expect(compareScores(item, { chosen: [1, 2, 3], rejected: [2, 2, 0] })).toEqual({
    domain: "chat",
    cells: [0, 0, 1, 0, 0, 1, 1, 1, 1],
    judged: 9,
    parsed: 9,
    right: 5,
    ties: 2,
  });
});
