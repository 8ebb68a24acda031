import { expect } from "expect";
import { mkdtemp, readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Baseline } from "rm-r1/judge";
import type { ItemOutcome } from "../benchmark.ts";
import { averageRows, estimate } from "../figures.ts";
import { runBenchmark } from "../run.ts";
import { DATA, needs } from "../testing/needs.ts";
import { rmBench } from "./benchmark.ts";

const files = join(DATA, "rm-bench");
const published = join(DATA, "rm-r1-results");
const RM_BENCH = rmBench();
const DOMAINS = RM_BENCH.sectionsOf([]);
const LEVELS = ["hard", "normal", "easy"];

Deno.test("RM-Bench's own files load without a malformed record", needs("rm-bench"), async () => {
  const set = await RM_BENCH.load(files);
  expect(set.malformed).toEqual([]);
  let records = 0;
  for (const file of Object.keys(set.files)) {
    records += JSON.parse(await readFile(join(files, file), "utf8")).length;
  }
  expect(set.items.length).toBe(records);
});

Deno.test(
  "the length baselines' figures on RM-Bench's own files agree with a count",
  needs("rm-bench"),
  async () => {
    const { items } = await RM_BENCH.load(files);
    const directory = await mkdtemp(join(tmpdir(), "run-"));
    const result = await runBenchmark(RM_BENCH, { data: files, judge: Baseline.longest(), directory });
    const length = (text: string): number => Array.from(text).length;
    for (const [domain, subsets] of Object.entries(DOMAINS)) {
      const of = items.filter(({ subset }) => subsets.includes(subset));
      if (of.length === 0) continue;
      let [hard, all] = [0, 0];
      for (const { answers } of of) {
        for (let i = 0; i < 3; i++) {
          for (let j = 0; j < 3; j++) {
            const won = length(answers[i]!.text) > length(answers[3 + j]!.text) ? 1 : 0;
            all += won;
            if (i < j) hard += won;
          }
        }
      }
      expect(result.domains![domain]!.levels["hard"]).toBeCloseTo(hard / (3 * of.length), 12);
      expect(result.sections[domain]!.score).toBeCloseTo(all / (9 * of.length), 12);
    }
    const floor = (name: string): { score: number; low: number | null; high: number | null } =>
      result.floors.find(({ judge }) => judge.startsWith(name))!.overall;
    expect(result.overall + floor("baseline:shortest").score).toBeLessThanOrEqual(1);
    // Chance, within twice its own interval.
    const { score, low, high } = floor("baseline:random");
    expect(Math.abs(score - 0.5)).toBeLessThan(high! - low!);
  },
);

Deno.test(
  "published RM-Bench results keep the identities and come from the pooled items",
  needs("rm-r1-results"),
  async () => {
    const size = (domain: string): number =>
      DOMAINS[domain]!.reduce((sum, subset) => sum + RM_BENCH.sizes![subset]!, 0);
    const judges = await readdir(published);
    expect(judges.length).toBeGreaterThan(0);
    for (const judge of judges) {
      const golden = JSON.parse(
        await readFile(join(published, judge, "RM-Bench", "final_result.json"), "utf8"),
      );
      const outcomes = Object.entries(DOMAINS).flatMap(([domain, subsets]) => {
        // Each item gave nine judgements of 0 or 1; with the safety subsets apart this would be no whole number.
        const right = golden[domain] * 9 * size(domain);
        expect(Math.abs(right - Math.round(right))).toBeLessThan(1e-9 * right);
        // Items that have the published domain means and levels: the levels' departures from the mean are put on each domain.
        const [hard, normal, easy] = LEVELS.map((level) =>
          golden[`${level}_acc`] + golden[domain] - golden.total_avg_acc
        ) as [number, number, number];
        const pairs = [normal, hard, hard, easy, normal, hard, easy, easy, normal];
        const item = { key: "", subset: subsets[0]!, conversation: [], answers: [], pairs: [] };
        return Array.from({ length: size(domain) }, (): ItemOutcome => ({ item, pairs, scores: null }));
      });
      const rows = averageRows(RM_BENCH, [outcomes]);
      const { sections, levels, overall } = estimate(RM_BENCH, rows, { seed: 0, replicates: 0 })!;
      expect(Math.abs(overall.score - golden.total_avg_acc)).toBeLessThan(1e-12);
      for (const domain of Object.keys(DOMAINS)) {
        expect(Math.abs(sections[domain]!.score - golden[domain])).toBeLessThan(1e-12);
      }
      for (const level of LEVELS) {
        expect(Math.abs(levels[level]!.score - golden[`${level}_acc`])).toBeLessThan(1e-12);
      }
    }
  },
);
