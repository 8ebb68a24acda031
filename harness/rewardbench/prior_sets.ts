/**
 * The test sets that are older than RewardBench, which its first leaderboard counted as a fifth section.
 *
 * @module
 */
import { basename } from "node:path";
import type { BenchItem } from "../benchmark.ts";
import { pairItem, type PairRecord } from "../preferences/benchmark.ts";
import type { Fault } from "../records.ts";

/** Name of the section. */
export const PRIOR_SETS = "Prior Sets";

/**
 * The four sets that are counted, with their sizes (Lambert et al. 2024, arXiv:2403.13787, table 1): Anthropic's Helpful
 * and HHH, Stanford's Human Preferences, and OpenAI's summaries. Upstream's other files are not.
 */
export const PRIOR_SIZES: Readonly<Record<string, number>> = {
  "anthropic_helpful": 6192,
  "anthropic_hhh": 221,
  "shp": 1741,
  "summarize": 9000,
};

/** The set that a file holds, by its name, as `anthropic_hhh-00000-of-00001.parquet`; undefined for other files. */
export function priorSetOf(file: string): string | undefined {
  const name = basename(file).replace(/(?:-\d{5}-of-\d{5}(?:-[0-9a-f]+)?)?\.[a-z]+$/i, "");
  return name in PRIOR_SIZES ? name : undefined;
}

/** A pair of one of the sets. What the record itself calls a subset is a part of the set. */
export function priorItem(record: PairRecord, file: string, index: number): BenchItem | Fault {
  const set = priorSetOf(file)!;
  const { id: _, subset: __, ...pair } = record;
  return pairItem({ ...pair, id: `${set}:${index}`, subset: set }, file, index);
}
