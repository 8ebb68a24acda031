import { expect } from "expect";
import fc from "fast-check";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseTrace } from "rm-r1/cor";
import { type Answered, Baseline, type JudgeInput, type Outcome, RmR1Judge } from "rm-r1/judge";
import { ScriptedEngine } from "../../ts/judge/scripted_engine.ts";
import { PREFERENCES } from "../preferences/benchmark.ts";
import { runBenchmark } from "../run.ts";
import { writePairs } from "../testing/preference_pairs.ts";
import { compareCosts } from "./cost.ts";
import { measureFaithfulness } from "./faithfulness.ts";
import { editSolution, partnersOf, rationaleOf } from "./interventions.ts";
import { formatFaithfulness } from "./report.ts";
import { weighVerdict } from "./weights.ts";

/** What a verdict rests on: the last word of the rationale, or the answers alone. */
type Rests = "rationale" | "answers";

/** Prefers A where its first answer is the better one, and for each third question the other one. */
function pick(prompt: string): "A" | "B" {
  const id = Number(/follows (\d+)/.exec(prompt)![1]);
  const a = prompt.indexOf("CERTAINLY") < prompt.indexOf("[The Start of Chatbot B's Response]");
  return a === (id % 3 !== 0) ? "A" : "B";
}

class ScriptedJudge extends RmR1Judge {
  readonly #rests: Rests;

  constructor(rests: Rests) {
    const write = (prompt: string): string => {
      const side = pick(prompt);
      return `<type>Reasoning</type>\n<solution>\n1+1=2\n</solution>\n<eval>\n<quote_A>CERTAINLY</quote_A> so ${side}\n` +
        `</eval>\n<answer>[[${side}]]</answer>`;
    };
    super(new ScriptedEngine(write), { protocol: "compact" });
    this.#rests = rests;
  }

  override async *verdictsGiven(
    given: readonly { readonly input: JudgeInput; readonly rationale: string }[],
  ): AsyncGenerator<Answered<number | null>> {
    for (const [index, { input, rationale }] of given.entries()) {
      const said = /so ([AB])/.exec(rationale)?.[1];
      const side = this.#rests === "answers" ? pick(this.render(input).at(-1)!.content) : said ?? "A";
      // A raised result turns the verdict of a judge that rests on it.
      const turned = this.#rests === "rationale" && rationale.includes("1+1=3");
      yield { index, answer: (side === "A") !== turned ? 0.9 : 0.1 };
    }
  }

  override async *continued(
    given: readonly { readonly input: JudgeInput; readonly prefix: string }[],
  ): AsyncGenerator<Answered<Outcome>> {
    for (const [index, { input, prefix }] of given.entries()) {
      const side = pick(this.render(input).at(-1)!.content);
      const turned = this.#rests === "rationale" && prefix.endsWith("1+1=3\n</solution>");
      yield { index, answer: { kind: turned ? OPPOSITE[side] : side } };
    }
  }
}

/** Goes on to the opposite of what it would have said, where the result was raised. */
const OPPOSITE = { A: "B", B: "A" } as const;

async function measured(rests: Rests): Promise<Awaited<ReturnType<typeof measureFaithfulness>>> {
  const run = await mkdtemp(join(tmpdir(), "run-"));
  await runBenchmark(PREFERENCES, {
    data: await writePairs(30),
    judge: new ScriptedJudge(rests),
    directory: run,
  });
  return await measureFaithfulness(run, new ScriptedJudge(rests));
}

Deno.test("a verdict that rests on its rationale follows another one, and one that does not stays", async () => {
  const rests = await measured("rationale");
  expect(rests.judgements).toBe(60);
  expect([rests.own.share, rests.followed.share, rests.strayed.share]).toEqual([1, 1, 0]);
  expect(rests.followed.n + rests.strayed.n).toBe(60);
  expect(rests.swapped.share).toBeCloseTo(rests.followed.n / 60, 12);
  expect(rests.solutionEdited).toMatchObject({ share: 1, n: 60 });
  expect(rests.solutionContinued).toMatchObject({ share: 1, n: 60 });
  expect(rests.without.share).toBe(0.5);
  const stays = await measured("answers");
  expect([stays.own.share, stays.swapped.share, stays.solutionContinued.share, stays.without.share]).toEqual([
    1,
    0,
    0,
    0,
  ]);
  expect(stays.quotes).toEqual({ exact: 30, normalised: 0, missing: 30, empty: 0 });
  expect(stays.trueQuotes.share).toBe(0.5);
  expect(stays.weightsAgree.n).toBe(0);
  expect(formatFaithfulness(stays, [])).toContain("Quotes: 30 verbatim");
});

Deno.test("another judge's run, and one of scores, are refused", async () => {
  const data = await writePairs(2);
  const run = await mkdtemp(join(tmpdir(), "run-"));
  await runBenchmark(PREFERENCES, { data, judge: Baseline.longest(), directory: run });
  await expect(measureFaithfulness(run, new ScriptedJudge("answers"))).rejects.toThrow("is of judge");
});

Deno.test("costs are of the same items, the cheapest first", async () => {
  const data = await writePairs(12);
  const runs = await Promise.all([1, 2].map(() => mkdtemp(join(tmpdir(), "run-"))));
  await runBenchmark(PREFERENCES, { data, judge: new ScriptedJudge("answers"), directory: runs[0]! });
  await runBenchmark(PREFERENCES, { data, judge: Baseline.longest(), directory: runs[1]! });
  const [scorer, writer] = await compareCosts([runs[0]!, runs[1]!]);
  expect([scorer!.tokens, scorer!.pointsPerThousand]).toEqual([0, null]);
  expect(writer!.tokens).toBeGreaterThan(50);
  expect(writer!.pointsPerThousand).toBeCloseTo(100 * (writer!.overall - 0.5) / writer!.tokens * 1000, 9);
  const other = await mkdtemp(join(tmpdir(), "run-"));
  await runBenchmark(PREFERENCES, { data, judge: Baseline.longest(), directory: other, limit: 5 });
  await expect(compareCosts([runs[0]!, other])).rejects.toThrow('has limit "5", expected "null"');
});

Deno.test("a partner is of another item wherever there is one", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 30 }), fc.nat(), (ids, seed) => {
      const items = ids.map(String);
      for (const [index, partner] of partnersOf(items, seed).entries()) {
        if (partner === null) expect(new Set(items).size).toBe(1);
        else expect(items[partner]).not.toBe(items[index]);
      }
    }),
  );
});

Deno.test("a solution's result is raised wherever the solution states it, and nowhere else", () => {
  const rationale = "<type>Reasoning</type><solution>12+7=19\nso 19</solution><eval>A says 19, B 21</eval>";
  expect(editSolution(rationale)).toBe(
    "<type>Reasoning</type><solution>12+7=20\nso 20</solution><eval>A says 19, B 21</eval>",
  );
  expect(editSolution("<type>Chat</type><eval>19</eval>")).toBeNull();
  expect(editSolution("<type>Reasoning</type><solution>none</solution>")).toBeNull();
  expect(rationaleOf("x <answer>[[A]]</answer> y <answer>[[B]]</answer>")).toBe(
    "x <answer>[[A]]</answer> y ",
  );
  expect(rationaleOf("x")).toBeNull();
});

Deno.test("weights are held against what the evaluation says of each criterion", () => {
  const trace = (evaluation: string): ReturnType<typeof parseTrace> =>
    parseTrace(
      "<type>Chat</type><rubric>\n1. Accuracy (60%): facts\n2. Clarity (30%): reads well\n3. Tone (10%)\n" +
        `<justify>because</justify></rubric><eval>${evaluation}</eval><answer>[[A]]</answer>`,
    );
  const clear = weighVerdict(
    trace("On accuracy, A is better. On clarity Chatbot B is clearly stronger. Tone is equal."),
  )!;
  expect(clear.readable).toBeCloseTo(1, 12);
  expect(clear.lead).toBeCloseTo(0.3, 12);
  const lacking = weighVerdict(trace("Accuracy: A's response fails in two places. Both have clarity."))!;
  expect(lacking.lead).toBeCloseTo(-0.6, 12);
  expect(weighVerdict(trace("Nothing of it."))).toEqual({ readable: 0, lead: 0 });
  expect(weighVerdict(parseTrace("<type>Reasoning</type><eval>A is better</eval>"))).toBeNull();
});
