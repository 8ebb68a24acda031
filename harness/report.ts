/**
 * A run's result as plain text for a terminal.
 *
 * @module
 */
import type { AuditCell } from "./audit.ts";
import { type Benchmark, describeMalformed } from "./benchmark.ts";
import type { BenchResult, Estimate, Floor } from "./result.ts";

/** Widest line, in characters. */
const WIDTH = 100;
/** Most malformed records, and keys of identical pairs, that are listed. */
const LISTED = 5;
/** Most sections that are columns of a table. */
const MOST_COLUMNS = 6;

/** A share as per cent with one decimal; a dash for none. */
export function percent(share: number | null | undefined): string {
  return share === null || share === undefined || Number.isNaN(share) ? "–" : (100 * share).toFixed(1);
}

/** An interval in per cent; a dash for none. */
export function interval({ low, high }: Omit<Estimate, "score">): string {
  return low === null || high === null ? "–" : `[${percent(low)}, ${percent(high)}]`;
}

/** Columns as wide as their widest cell: the first to the left, the others to the right. */
export function textTable(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row.map((cell, column) => column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))
      .join("  ").trimEnd()
  );
}

/** Breaks a text at spaces; the lines after the first are indented. A word longer than a line is cut across lines. */
export function wrap(text: string): string[] {
  const lines: string[] = [];
  let rest = text;
  while (rest.length > WIDTH) {
    const space = rest.lastIndexOf(" ", WIDTH);
    const at = space > 2 ? space : WIDTH;
    lines.push(rest.slice(0, at));
    rest = `  ${rest.slice(at).trimStart()}`;
  }
  return [...lines, rest];
}

function headline({ title, sizes }: Benchmark, { scope, items, sections }: BenchResult): string {
  if (sizes === null) return `${title}, ${items} items`;
  const whole = Object.values(sizes).reduce((sum, size) => sum + size, 0);
  const count = `${items} of ${whole} items`;
  if (scope === "full") return `${title}, ${count}`;
  const what = scope === "sample" ? `A stratified sample of ${title}` : `A part of ${title}`;
  return `${what}, not the benchmark's score: ${count}, in ${Object.keys(sections).join(", ")}`;
}

function mainTable(result: BenchResult): string[] {
  const { sections, domains = {}, levels } = result;
  const names = Object.keys(levels);
  return textTable([
    ["per cent", "items", ...names, "score", "95 % interval"],
    ...Object.entries(sections).map(([name, section]) => [
      name,
      String(section.n),
      ...names.map((level) => percent(domains[name]?.levels[level])),
      percent(section.score),
      interval(section),
    ]),
    [
      result.scope === "full" ? "overall" : "of what is there",
      String(result.items),
      ...names.map((level) => percent(levels[level]!.score)),
      percent(result.overall),
      interval(result),
    ],
  ]);
}

/** The subsets, where they are not the sections themselves. */
function subsetTable({ sections, subsets }: BenchResult): string[] {
  const names = Object.keys(subsets);
  if (names.every((name) => name in sections)) return [];
  const rows = Object.entries(subsets).map(([name, subset]) => [
    name,
    String(subset.n),
    percent(subset.score),
    interval(subset),
  ]);
  return [...textTable([["subsets", "items", "score", "95 % interval"], ...rows]), ""];
}

function floorTable(floors: readonly Floor[], all: readonly string[]): string[] {
  const sections = all.length > MOST_COLUMNS ? [] : all;
  return textTable([
    ["floors on the same items", ...sections, "overall", "95 % interval"],
    ...floors.map(({ judge, overall, sections: scores }) => [
      judge,
      ...sections.map((name) => percent(scores[name])),
      percent(overall.score),
      interval(overall),
    ]),
  ]);
}

function notes(result: BenchResult): string[] {
  const { pairwise, ties, failures, judgements, missing, malformed, parsed, treatments, identical } = result;
  const lines: string[] = [];
  if (pairwise !== null) {
    const { first, allOrders, consistent, readable, flips, firstPlaceShare, cut } = pairwise;
    if (result.orders === "both") {
      lines.push(
        `Orders: both ${percent(result.overall)}, first alone ${percent(first)}, right in both ${
          percent(allOrders)
        }, where they agree ${percent(consistent)}`,
        `Flips: ${flips} of ${readable} pairs that could be read in both orders`,
      );
    }
    lines.push(`Picks of the first place: ${percent(firstPlaceShare)}`);
    const reasons = Object.entries(failures).sort(([x], [y]) => x < y ? -1 : 1);
    const list = reasons.map(([reason, count]) => `${reason} ${count}`).join(", ");
    const [low, high] = parsed.interval;
    lines.push(
      `No verdict: ${list || "none"}, of ${judgements} judgements; parse rate ${percent(parsed.rate)} ${
        interval({ low, high })
      }`,
      `Counted as wrong ${percent(treatments.wrong.score)}, left out ${
        percent(treatments.excluded?.score)
      }, as half ${percent(treatments.tie.score)}`,
    );
    if (result.upstream !== null) {
      const { rule, errors, overall } = result.upstream;
      lines.push(
        `As the published scripts count: ${
          percent(overall)
        } (one order, verdicts by the rule "${rule}", errors ${errors === "tie" ? "half" : "wrong"})`,
      );
    }
    if (cut > 0) lines.push(`Cut short by a limit of tokens: ${cut} judgements`);
  }
  if (ties !== null) lines.push(`Ties: ${ties} of ${judgements} comparisons, all counted as wrong`);
  if (missing.length > 0) lines.push(`Not scored: ${missing.join(", ")}`);
  if (identical.length > 0) {
    const more = identical.length > LISTED ? ", …" : "";
    lines.push(
      `Pairs of identical answers: ${identical.length} items (${
        identical.slice(0, LISTED).join(", ")
      }${more})`,
    );
  }
  if (malformed.length > 0) {
    lines.push(`Malformed and left out: ${malformed.length} records`);
    lines.push(...malformed.slice(0, LISTED).map((record) => `  ${describeMalformed(record)}`));
    if (malformed.length > LISTED) lines.push(`  and ${malformed.length - LISTED} more, listed in the JSON`);
  }
  if (result.unreadableLines > 0) {
    lines.push(`Journal lines that could not be read and were asked again: ${result.unreadableLines}`);
  }
  return lines;
}

function auditLines({ audit: { length, style }, calibration }: BenchResult): string[] {
  const cell = ({ accuracy, pairs }: AuditCell): string =>
    accuracy === null ? "– (no pair)" : `${percent(accuracy.score)} ${interval(accuracy)} of ${pairs}`;
  const lines = [
    `Right where the better answer is the shorter ${cell(length.shorter)}, the longer ${cell(length.longer)}`,
    `Right where it is the plainer ${cell(style.plainer)}, the more marked up ${cell(style.richer)}`,
  ];
  if (calibration === null) return lines;
  const { of, bins, ece, brier } = calibration;
  const listed = bins.map(({ from, to, accuracy, n }) =>
    `${percent(from)}–${percent(to)}: ${percent(accuracy)} of ${n}`
  );
  const what = of === "vote-share" ? "the share of votes" : "the verdict's probability";
  return [
    ...lines,
    `Right by ${what}: ${listed.join(", ")}; calibration error ${percent(ece)}, Brier score ${
      brier.toFixed(3)
    }`,
  ];
}

/** The result as lines of at most 100 characters where tables allow it. Figures are per cent. */
export function formatResult(benchmark: Benchmark, result: BenchResult): string {
  const { judge, orders, seed, sections } = result;
  const how = [
    ...(orders === null ? [] : [`orders ${orders}`]),
    ...(result.verdictRule === undefined ? [] : [`read by the rule "${result.verdictRule}"`]),
    ...(result.votes > 1 ? [`majority of ${result.votes}`] : []),
    `seed ${seed}`,
  ].join(", ");
  return [
    ...wrap(headline(benchmark, result)),
    ...wrap(`Judge: ${judge.name} (${how})`),
    "",
    ...mainTable(result),
    "",
    ...subsetTable(result),
    ...floorTable(result.floors, Object.keys(sections)),
    "",
    ...notes(result).flatMap(wrap),
    ...auditLines(result).flatMap(wrap),
  ].join("\n");
}
