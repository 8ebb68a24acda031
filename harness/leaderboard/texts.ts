/**
 * The leaderboard as text: for a terminal, as Markdown and as CSV.
 *
 * @module
 */
import type { BenchmarkName } from "../benchmark.ts";
import { BENCHMARKS } from "../benchmarks.ts";
import { textTable } from "../report.ts";
import { type Cell, COLUMNS, type LeaderboardRow } from "./merge.ts";
import { MODEL_TYPES } from "./published.ts";

/** Explains the marks. */
export const LEGEND: readonly string[] = [
  "Per cent. Published rows are as their sources have them, without intervals. Ours have 95 % intervals.",
  "~ a stratified sample, * a part of the benchmark: neither is the benchmark's score, and there is no average of them.",
  "The average is of RewardBench, RM-Bench and RMB.",
];

/** A benchmark's title. */
export function titleOf(column: BenchmarkName): string {
  return BENCHMARKS[column].title;
}

/** What stands behind a figure that is not the benchmark's score. */
export function markOf(scope: Cell["scope"]): string {
  return scope === "full" ? "" : scope === "sample" ? "~" : "*";
}

/** A figure with its mark, its interval and its items; a dash for none. */
export function cellText(cell: Cell | undefined): string {
  if (cell === undefined) return "–";
  const { score, interval, scope, items } = cell;
  const bounds = interval === null ? "" : ` [${interval[0].toFixed(1)}, ${interval[1].toFixed(1)}]`;
  const of = items === null || scope === "full" ? "" : ` of ${items}`;
  return `${score.toFixed(1)}${markOf(scope)}${bounds}${of}`;
}

/** The columns of which there is a figure. */
export function columnsOf(rows: readonly LeaderboardRow[]): BenchmarkName[] {
  return COLUMNS.filter((column) => rows.some(({ cells }) => cells[column] !== undefined));
}

function averageText({ average }: LeaderboardRow): string {
  return average === null ? "–" : average.toFixed(1);
}

/** Lines for a terminal: figures without intervals, which the other forms have. */
export function formatLeaderboard(rows: readonly LeaderboardRow[]): string {
  const columns = columnsOf(rows);
  const short = (cell: Cell | undefined): string =>
    cell === undefined ? "–" : `${cell.score.toFixed(1)}${markOf(cell.scope)}`;
  const body = MODEL_TYPES.flatMap((type) => {
    const of = rows.filter((row) => row.type === type);
    if (of.length === 0) return [];
    return [
      [type, ...columns.map(() => ""), ""],
      ...of.map((row) => [
        `${row.source === null ? "→" : " "} ${row.name}`,
        ...columns.map((column) => short(row.cells[column])),
        averageText(row),
      ]),
    ];
  });
  return [
    ...textTable([["judge", ...columns.map(titleOf), "average"], ...body]),
    "",
    "→ our runs.",
    ...LEGEND,
  ].join("\n");
}

function escapeMarkdown(text: string): string {
  return text.replaceAll(/[\\|*_`<>[\]]/g, "\\$&");
}

/** A Markdown document. */
export function leaderboardMarkdown(rows: readonly LeaderboardRow[]): string {
  const columns = columnsOf(rows);
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const tables = MODEL_TYPES.flatMap((type) => {
    const of = rows.filter((row) => row.type === type);
    if (of.length === 0) return [];
    return [
      `## ${type}`,
      "",
      line(["judge", ...columns.map(titleOf), "average", "source"]),
      line(["---", ...columns.map(() => "---:"), "---:", "---"]),
      ...of.map((row) =>
        line([
          escapeMarkdown(row.name),
          ...columns.map((column) => escapeMarkdown(cellText(row.cells[column]))),
          averageText(row),
          row.source === null ? "our run" : `[${escapeMarkdown(row.source.title)}](${row.source.url})`,
        ])
      ),
      "",
    ];
  });
  return ["# Leaderboard", "", ...LEGEND, "", ...tables].join("\n");
}

function quoted(value: string | number | null): string {
  const text = value === null ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** One line a figure (RFC 4180): easier to filter and to draw than a table with columns of benchmarks. */
export function leaderboardCsv(rows: readonly LeaderboardRow[]): string {
  const head = ["judge", "type", "benchmark", "score", "low", "high", "scope", "items", "source"];
  const lines = rows.flatMap(({ name, type, cells, source }) =>
    COLUMNS.flatMap((column) => {
      const cell = cells[column];
      if (cell === undefined) return [];
      const { score, interval, scope, items } = cell;
      const [low, high] = interval ?? [null, null];
      return [[name, type, column, score, low, high, scope, items, source?.url ?? null]];
    })
  );
  return [head, ...lines].map((line) => `${line.map(quoted).join(",")}\r\n`).join("");
}
