import { expect } from "expect";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Baseline } from "rm-r1/judge";
import { figuresOf, LEVELS, type ScoredItem } from "./figures.ts";
import { DOMAINS, loadRmBench, SUBSETS } from "./items.ts";
import { runRmBench } from "./run.ts";

const data = process.env["RMR1_DATA"] ?? fileURLToPath(new URL("../../../shared/data", import.meta.url));
const benchmark = join(data, "rm-bench");
const published = join(data, "rm-r1-results");

/** Names why a test does not run, where it can be seen. */
function needs(path: string): { ignore: boolean } {
  const ignore = !existsSync(path);
  if (ignore) {
    process.stderr.write(`SKIPPED: no data at "${path}"; set RMR1_DATA to the folder that holds it\n`);
  }
  return { ignore };
}

Deno.test("RM-Bench's own files load without a malformed record", needs(benchmark), async () => {
  const { items, malformed, files } = await loadRmBench(benchmark);
  expect(malformed).toEqual([]);
  let records = 0;
  for (const file of Object.keys(files)) {
    records += JSON.parse(await readFile(join(benchmark, file), "utf8")).length;
  }
  expect(items.length).toBe(records);
  expect(new Set(items.map(({ key }) => key)).size).toBe(records);
});

Deno.test(
  "the length baselines' figures on RM-Bench's own files agree with a count",
  needs(benchmark),
  async () => {
    const { items } = await loadRmBench(benchmark);
    const result = await runRmBench({
      data: benchmark,
      judge: Baseline.longest(),
      directory: await mkdtemp(join(tmpdir(), "run-")),
    });
    const length = (text: string): number => Array.from(text).length;
    for (const domain of DOMAINS) {
      const of = items.filter((item) => item.domain === domain);
      if (of.length === 0) continue;
      let [hard, all] = [0, 0];
      for (const { chosen, rejected } of of) {
        for (let i = 0; i < 3; i++) {
          for (let j = 0; j < 3; j++) {
            const won = length(chosen[i]!) > length(rejected[j]!) ? 1 : 0;
            all += won;
            if (i < j) hard += won;
          }
        }
      }
      expect(result.domains[domain]!.hard).toBeCloseTo(hard / (3 * of.length), 12);
      expect(result.domains[domain]!.mean).toBeCloseTo(all / (9 * of.length), 12);
    }
    const longest = result.overall;
    const shortest = result.floors.find(({ judge }) => judge === "baseline:shortest")!.overall;
    const random = result.floors.find(({ judge }) => judge.startsWith("baseline:random"))!;
    expect(longest + shortest).toBeLessThanOrEqual(1);
    // Chance, within twice its own interval.
    expect(Math.abs(random.overall - 0.5)).toBeLessThan(random.high! - random.low!);
  },
);

Deno.test(
  "published RM-Bench results keep the identities and come from the pooled items",
  needs(published),
  async () => {
    const size = (domain: string): number =>
      Object.values(SUBSETS).filter((subset) => subset.domain === domain).reduce(
        (sum, { items }) => sum + items,
        0,
      );
    const judges = await readdir(published);
    expect(judges.length).toBeGreaterThan(0);
    for (const judge of judges) {
      const golden = JSON.parse(
        await readFile(join(published, judge, "RM-Bench", "final_result.json"), "utf8"),
      );
      for (const domain of DOMAINS) {
        // Each item gave nine judgements of 0 or 1; with the safety subsets apart this would be no whole number.
        const right = golden[domain] * 9 * size(domain);
        expect(Math.abs(right - Math.round(right))).toBeLessThan(1e-9 * right);
      }
      // Items that have the published domain means and levels: the levels' departures from the mean are put on each domain.
      const items = DOMAINS.flatMap((domain) => {
        const [hard, normal, easy] = LEVELS.map((level) =>
          golden[`${level}_acc`] + golden[domain] - golden.total_avg_acc
        ) as [number, number, number];
        const cells = [normal, hard, hard, easy, normal, hard, easy, easy, normal];
        return Array.from(
          { length: size(domain) },
          (): ScoredItem => ({ domain, cells, judged: 9, parsed: 9, right: 0 }),
        );
      });
      const { domains, levels, overall } = figuresOf(items, { replicates: 0 });
      expect(Math.abs(overall.score - golden.total_avg_acc)).toBeLessThan(1e-12);
      for (const domain of DOMAINS) {
        expect(Math.abs(domains[domain]!.mean - golden[domain])).toBeLessThan(
          1e-12,
        );
      }
      for (const level of LEVELS) {
        expect(Math.abs(levels[level].score - golden[`${level}_acc`])).toBeLessThan(1e-12);
      }
    }
  },
);
