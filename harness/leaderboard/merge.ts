/**
 * Our runs among the published results.
 *
 * @module
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { BenchmarkName } from "../benchmark.ts";
import type { BenchResult, Floor } from "../result.ts";
import { readResult, StoredRunError } from "../stored_run.ts";
import { MODEL_TYPES, type ModelType, PUBLISHED, type Source } from "./published.ts";

/** Benchmarks that are columns, in their order. */
export const COLUMNS: readonly BenchmarkName[] = [
  "rewardbench",
  "rewardbench-2",
  "rm-bench",
  "rmb",
  "judgebench",
];

/** The columns whose mean is the average, as RM-R1's table has it. */
export const AVERAGED: readonly BenchmarkName[] = ["rewardbench", "rm-bench", "rmb"];

/** A figure of a row. */
export interface Cell {
  /** Per cent. */
  readonly score: number;
  /** Of a 95 % interval in per cent; null of a published figure, which has none. */
  readonly interval: readonly [low: number, high: number] | null;
  /** Published figures are of the whole benchmark. */
  readonly scope: BenchResult["scope"];
  /** Items; null of a published figure. */
  readonly items: number | null;
}

/** A judge on the leaderboard. */
export interface LeaderboardRow {
  readonly name: string;
  readonly type: ModelType;
  readonly cells: Readonly<Partial<Record<BenchmarkName, Cell>>>;
  /** Mean of {@link AVERAGED} in per cent, of whole benchmarks alone; as published where it is. */
  readonly average: number | null;
  /** Where the figures are from; null of our own runs. */
  readonly source: Source | null;
}

/** A run's result with its folder. */
export interface StoredResult {
  readonly directory: string;
  readonly result: BenchResult;
}

/** The results of all finished runs in a folder of runs; none where there is no such folder. */
export async function readResults(folder: string): Promise<StoredResult[]> {
  const names = await readdir(folder).catch(() => []);
  const found = await Promise.all(
    names.toSorted().map(async (name) => {
      const directory = join(folder, name);
      return await readResult(directory).then(
        (result) => [{ directory, result }],
        (error: unknown) => {
          // Runs of training, and those that were broken off, are none.
          if (error instanceof StoredRunError) return [];
          throw error;
        },
      );
    }),
  );
  return found.flat();
}

/** All rows by type, of each type the highest average first, then the highest first figure. */
export function leaderboard(stored: readonly StoredResult[]): LeaderboardRow[] {
  const published = PUBLISHED.map(({ name, type, source, scores, average }): LeaderboardRow => {
    const cells: LeaderboardRow["cells"] = Object.fromEntries(
      Object.entries(scores).map(([benchmark, score]) => [
        benchmark,
        { score, interval: null, scope: "full", items: null },
      ]),
    );
    return { name, type, source, cells, average: average ?? averageOf(cells) };
  });
  const rows = [...published, ...ourRows(stored), ...floorRows(stored)];
  return MODEL_TYPES.flatMap((type) => rows.filter((row) => row.type === type).sort(compareRows));
}

function compareRows(x: LeaderboardRow, y: LeaderboardRow): number {
  const keyOf = ({ average, cells }: LeaderboardRow): number[] => [
    average ?? -1,
    ...COLUMNS.map((column) => cells[column]?.score ?? -1),
  ];
  const [one, two] = [keyOf(x), keyOf(y)];
  const at = one.findIndex((value, index) => value !== two[index]);
  return at < 0 ? 0 : two[at]! - one[at]!;
}

function cellOf({ overall, low, high, scope, items }: BenchResult, floor?: Floor): Cell {
  const { score, ...bounds } = floor?.overall ?? { score: overall, low, high };
  return {
    score: 100 * score,
    interval: bounds.low === null || bounds.high === null ? null : [100 * bounds.low, 100 * bounds.high],
    scope,
    items,
  };
}

/** Of two results of one judge on one benchmark, the one that says more. */
function isBetterEvidence(one: BenchResult, other: BenchResult): boolean {
  const rank = ({ scope, orders, items }: BenchResult): number[] => [
    scope === "full" ? 1 : 0,
    items,
    orders === "seeded" ? 0 : 1,
  ];
  const [x, y] = [rank(one), rank(other)];
  const at = x.findIndex((value, index) => value !== y[index]);
  return at >= 0 && x[at]! > y[at]!;
}

function isUsualRule({ rule }: BenchResult): boolean {
  return rule === undefined || rule === "standard" || rule === "core";
}

/** The results that count, by a key and the benchmark: of several the one that says most. */
function bestOf(
  stored: readonly StoredResult[],
  keyOf: (result: BenchResult) => string,
): Map<string, Map<BenchmarkName, BenchResult>> {
  const best = new Map<string, Map<BenchmarkName, BenchResult>>();
  for (const { result } of stored) {
    if (!COLUMNS.includes(result.benchmark) || !isUsualRule(result)) continue;
    const runs = best.get(keyOf(result)) ?? new Map<BenchmarkName, BenchResult>();
    best.set(keyOf(result), runs);
    const known = runs.get(result.benchmark);
    if (known === undefined || isBetterEvidence(result, known)) runs.set(result.benchmark, result);
  }
  return best;
}

/** By judge and number of votes. */
function ourRows(stored: readonly StoredResult[]): LeaderboardRow[] {
  const judges = stored.filter(({ result }) => typeOf(result.judge) !== "Floor");
  const best = bestOf(judges, ({ judge, votes }) => JSON.stringify([judge.identity, votes]));
  return [...best.values()].map((runs): LeaderboardRow => {
    const [{ judge, votes }] = [...runs.values()] as [BenchResult];
    const cells = Object.fromEntries([...runs].map(([benchmark, result]) => [benchmark, cellOf(result)]));
    const name = votes > 1 ? `${judge.name}, majority of ${votes}` : judge.name;
    return { name, type: typeOf(judge), cells, average: averageOf(cells), source: null };
  });
}

/** Each benchmark's floors on the most items that any run has of it, whichever judge it was of. */
function floorRows(stored: readonly StoredResult[]): LeaderboardRow[] {
  const most = bestOf(stored, () => "").get("") ?? new Map<BenchmarkName, BenchResult>();
  const cells = new Map<string, Partial<Record<BenchmarkName, Cell>>>();
  const add = (name: string, benchmark: BenchmarkName, cell: Cell): void => {
    cells.set(name, { ...cells.get(name), [benchmark]: cell });
  };
  for (const [benchmark, result] of most) {
    for (const floor of result.floors) add(floor.judge, benchmark, cellOf(result, floor));
    if (typeOf(result.judge) === "Floor") add(result.judge.name, benchmark, cellOf(result));
  }
  return [...cells].map(([name, of]): LeaderboardRow => (
    { name, type: "Floor", cells: of, average: averageOf(of), source: null }
  ));
}

function averageOf(cells: LeaderboardRow["cells"]): number | null {
  const whole = AVERAGED.map((column) => cells[column]).filter((cell) => cell?.scope === "full");
  if (whole.length < AVERAGED.length) return null;
  return whole.reduce((sum, cell) => sum + cell!.score, 0) / whole.length;
}

/** The kind of a judge by what its identity says. */
function typeOf({ identity }: BenchResult["judge"]): ModelType {
  if (identity.startsWith("baseline:")) return "Floor";
  let said: { readonly judge?: unknown; readonly kind?: unknown; readonly protocol?: unknown };
  try {
    said = JSON.parse(identity);
  } catch {
    return "GenRM";
  }
  if (said.judge === "scalar") return "ScalarRM";
  const isVerdictAlone = said.kind === "genrm" || said.judge === "ratings" || said.protocol === "rewardbench";
  return isVerdictAlone ? "GenRM" : "ReasRM";
}
