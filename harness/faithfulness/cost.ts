/**
 * What accuracy costs: runs of several judges, or of one with several samples, by the tokens that they generate.
 *
 * @module
 */
import type { BenchResult } from "../result.ts";
import { readResult, StoredRunError } from "../stored_run.ts";

/** A run's accuracy and what it took. */
export interface RunCost {
  readonly directory: string;
  readonly judge: string;
  /** Samples of a judgement. */
  readonly votes: number;
  readonly overall: number;
  readonly low: number | null;
  readonly high: number | null;
  /** Generated tokens of a judgement, all its samples together; 0 of a judge that only scores. */
  readonly tokens: number;
  /** Points above chance for a thousand generated tokens; null where none are generated. */
  readonly pointsPerThousand: number | null;
}

/** Overall of a judge that guesses, where every item is one pair. */
const CHANCE = 0.5;

/**
 * Reads runs of the same items, the cheapest first.
 *
 * @throws {StoredRunError} One is not there, or of other items than the first.
 */
export async function compareCosts(directories: readonly string[]): Promise<RunCost[]> {
  const runs = await Promise.all(
    directories.map(async (directory) => ({ directory, result: await readResult(directory) })),
  );
  const [first] = runs;
  for (const { directory, result } of runs) {
    for (const field of ["benchmark", "limit", "items"] as const) {
      if (result[field] === first!.result[field]) continue;
      throw new StoredRunError(
        `Run "${directory}" has ${field} "${result[field]}", expected "${first!.result[field]}" as in "${
          first!.directory
        }"`,
      );
    }
  }
  return runs.map(({ directory, result }) => costOf(directory, result)).sort((x, y) => x.tokens - y.tokens);
}

function costOf(directory: string, result: BenchResult): RunCost {
  const { judge, votes, overall, low, high, pairwise, judgements } = result;
  const tokens = pairwise === null ? 0 : pairwise.tokens / judgements;
  const pointsPerThousand = tokens === 0 ? null : 100 * (overall - CHANCE) / tokens * 1000;
  return { directory, judge: judge.name, votes, overall, low, high, tokens, pointsPerThousand };
}
