/**
 * Scores beside the package `rewardbench`: the same random verdicts give the same sections. Run by
 * `deno task test:peers`, in an environment of its own.
 */
import { expect } from "expect";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Benchmark, BENCHMARKS, runBenchmark } from "rm-r1-harness";
import { Baseline } from "rm-r1/judge";
import { rewardBenchPython } from "../../benchmarks/peers/environment.ts";
import { inTemporary, python } from "./python.ts";

const SCRIPT = fileURLToPath(new URL("rewardbench_scores.py", import.meta.url));
const { rewardbench: FIRST, "rewardbench-2": SECOND } = BENCHMARKS;

/** As many records as the benchmark has, with texts that say nothing. */
function firstRecords(): object[] {
  return Object.entries(FIRST.sizes!).flatMap(([subset, size]) =>
    Array.from({ length: size }, (_, id) => ({
      id: `${subset}-${id}`,
      subset,
      prompt: `question ${id}`,
      chosen: `better ${subset} ${id}`,
      rejected: `worse ${subset} ${id}`,
    }))
  );
}

function secondRecords(): object[] {
  return Object.entries(SECOND.sizes!).flatMap(([subset, size]) =>
    Array.from({ length: size }, (_, at) => {
      const isTies = subset === "Ties";
      const isTied = isTies && at % 2 === 1;
      const id = isTies ? `${isTied ? "tied" : "ref"}:${at >> 1}` : `${subset}-${at}`;
      const texts = (kind: string, count: number): string[] =>
        Array.from({ length: count }, (_, answer) => `${kind} ${answer} of ${id}`);
      const right = isTied ? 2 + at % 7 : 1;
      const wrong = isTies ? 2 + at % 4 : 3;
      return {
        id,
        subset,
        prompt: `question ${id}`,
        chosen: texts("right", right),
        rejected: texts("wrong", wrong),
        num_correct: right,
      };
    })
  );
}

async function sectionsOf(
  benchmark: Benchmark,
  records: readonly object[],
  judge: Baseline,
): Promise<Record<string, number>> {
  const folder = await mkdtemp(join(tmpdir(), "rewardbench-"));
  const data = join(folder, "records.json");
  await writeFile(data, JSON.stringify(records));
  const result = await runBenchmark(benchmark, { data, judge, directory: join(folder, "run") });
  expect(result.scope).toBe("full");
  return Object.fromEntries(Object.entries(result.sections).map(([name, { score }]) => [name, score]));
}

/** The scores that the judge gives the answers to each question. */
async function scoresOf(
  judge: Baseline,
  questions: readonly { readonly prompt: string; readonly answers: readonly string[] }[],
): Promise<number[][]> {
  const inputs = questions.flatMap(({ prompt, answers }) =>
    answers.map((response) => ({ conversation: [{ role: "user" as const, content: prompt }], response }))
  );
  const scores: number[] = [];
  for await (const { index, answer } of judge.score(inputs)) scores[index] = answer!;
  const each = scores.values();
  return questions.map(({ answers }) => answers.map(() => each.next().value!));
}

Deno.test("RewardBench and RewardBench 2 score random verdicts as the package rewardbench does", async () => {
  for (const seed of [1, 2, 3]) {
    const judge = Baseline.random(seed);
    const one = firstRecords() as { subset: string; prompt: string; chosen: string; rejected: string }[];
    const two = secondRecords() as {
      id: string;
      subset: string;
      prompt: string;
      chosen: string[];
      rejected: string[];
    }[];
    const pairs = await scoresOf(
      judge,
      one.map(({ prompt, chosen, rejected }) => ({ prompt, answers: [chosen, rejected] })),
    );
    const lists = await scoresOf(
      judge,
      two.map(({ prompt, chosen, rejected }) => ({ prompt, answers: [...chosen, ...rejected] })),
    );
    const verdicts = {
      v1: one.map(({ subset }, at) => ({ subset, result: pairs[at]![0]! > pairs[at]![1]! ? 1 : 0 })),
      v2: two.map(({ id, subset, chosen }, at) => ({
        id,
        subset,
        num_correct: chosen.length,
        scores: lists[at]!,
      })),
    };
    await inTemporary(async (folder) => {
      const path = join(folder, "verdicts.json");
      await writeFile(path, JSON.stringify(verdicts));
      const { code, stdout, stderr } = await python([SCRIPT, path], rewardBenchPython());
      if (code !== 0) throw new Error(`The script ended with status ${code}: ${stderr.slice(-2000)}`);
      const theirs = JSON.parse(stdout.trim().split("\n").at(-1)!);
      const ours = { v1: await sectionsOf(FIRST, one, judge), v2: await sectionsOf(SECOND, two, judge) };
      for (const version of ["v1", "v2"] as const) {
        expect(Object.keys(ours[version]).toSorted()).toEqual(Object.keys(theirs[version]).toSorted());
        for (const [name, score] of Object.entries(ours[version])) {
          expect({ name, score: theirs[version][name] }).toEqual({ name, score: expect.closeTo(score, 12) });
        }
      }
    });
  }
});
