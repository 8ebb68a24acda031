import { expect } from "expect";
import fc from "fast-check";
import { Baseline } from "./baseline.ts";
import { bestOfN, type Candidates, tournament, type TournamentCall } from "./best_of_n.ts";
import type { Answered, Judge, JudgeInput, Judgement, Outcome } from "./judge.ts";

const METHODS = ["knockout", "all-pairs"] as const;

function question(answers: readonly string[], id = "q"): Candidates {
  return { id, conversation: [{ role: "user", content: "Which?" }], answers };
}

/** Picks the longer text; `null` for texts of one length. */
function longer({ input: { a, b } }: TournamentCall): Outcome {
  if (a.length === b.length) return { kind: "unparsable", reason: "no-answer" };
  return { kind: a.length > b.length ? "A" : "B" };
}

Deno.test("a judge that orders the answers has its best one found, in n − 1 or n(n − 1)/2 comparisons", async () => {
  await fc.assert(fc.asyncProperty(
    fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 9 }),
    fc.integer({ min: 0, max: 1000 }),
    fc.constantFrom("both" as const, "seeded" as const),
    async (lengths, seed, orders) => {
      const answers = lengths.map((length) => "x".repeat(length));
      const n = answers.length;
      for (const method of METHODS) {
        const rounds: number[] = [];
        const [found] = await tournament([question(answers)], (calls) => {
          rounds.push(calls.length);
          return Promise.resolve(calls.map(longer));
        }, { method, seed, orders });
        expect(answers[found!.best]!.length).toBe(Math.max(...lengths));
        const comparisons = method === "knockout" ? n - 1 : n * (n - 1) / 2;
        expect(found!.comparisons).toHaveLength(comparisons);
        expect(rounds.reduce((sum, calls) => sum + calls, 0)).toBe(comparisons * (orders === "both" ? 2 : 1));
        expect(rounds).toHaveLength(n === 1 ? 0 : method === "knockout" ? Math.ceil(Math.log2(n)) : 1);
      }
    },
  ));
});

Deno.test("points of all pairs are the comparisons won, and an undecided one counts half", async () => {
  const [found] = await tournament(
    [question(["aa", "bb", "cccc"])],
    (calls) => Promise.resolve(calls.map(longer)),
    { method: "all-pairs" },
  );
  expect(found!.points).toEqual([0.5, 0.5, 2]);
  expect(found!.best).toBe(2);
  expect(found!.comparisons.filter(({ winner }) => winner === null)).toHaveLength(1);
});

Deno.test("a judge that always says A decides nothing in both orders, and no place in the list is favoured", async () => {
  const questions = Array.from({ length: 2000 }, (_, at) => question(["w", "x", "y", "z"], `q${at}`));
  for (const method of METHODS) {
    const found = await tournament(questions, (calls) => Promise.resolve(calls.map(() => ({ kind: "A" }))), {
      method,
    });
    expect(found.every(({ comparisons }) => comparisons.every(({ winner }) => winner === null))).toBe(true);
    for (const answer of [0, 1, 2, 3]) {
      const share = found.filter(({ best }) => best === answer).length / questions.length;
      // A quarter, within four standard errors.
      expect(Math.abs(share - 0.25)).toBeLessThan(4 * Math.sqrt(0.25 * 0.75 / questions.length));
    }
  }
});

Deno.test("equal texts are not compared", async () => {
  let asked = 0;
  const [found] = await tournament([question(["same", "same", "longer one"])], (calls) => {
    asked += calls.length;
    return Promise.resolve(calls.map(longer));
  }, { method: "all-pairs" });
  expect(asked).toBe(4);
  expect(found!.best).toBe(2);
});

Deno.test("a judge that scores rates each answer once, and questions without answers are refused", async () => {
  const judge = Baseline.longest();
  const [found, other] = await bestOfN(judge, [question(["a", "bbb", "cc"]), question(["dd", "e"], "r")]);
  expect(found).toEqual({ best: 1, points: [1, 3, 2], comparisons: [] });
  expect(other!.best).toBe(0);
  await expect(bestOfN(judge, [question([], "empty")])).rejects.toThrow(
    'Question "empty" has no answers, expected at least one',
  );
  await expect(tournament([question([], "empty")], () => Promise.resolve([]))).rejects.toThrow(RangeError);
});

Deno.test("a call that fails is no verdict: it ends the search with the judge's own error", async () => {
  const broken = {
    name: "broken",
    identity: "broken",
    render: () => [],
    async *judge(inputs: readonly JudgeInput[]): AsyncGenerator<Answered<Judgement>> {
      for (const index of inputs.keys()) yield { index, error: new Error("Engine lost") };
    },
    async [Symbol.asyncDispose]() {},
  } satisfies Judge;
  await expect(bestOfN(broken, [question(["a", "b"])])).rejects.toThrow(
    'Judge "broken" failed on a call: Engine lost',
  );
});
