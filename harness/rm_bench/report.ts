/**
 * RM-Bench's result as plain text for a terminal.
 *
 * @module
 */
import { LEVELS } from "./figures.ts";
import { describeMalformed, DOMAINS, SUBSETS } from "./items.ts";
import type { Floor, RmBenchResult } from "./run.ts";

/** Widest line, in characters. */
const WIDTH = 100;
/** Most malformed records that are listed. */
const LISTED = 5;

const ALL_ITEMS = Object.values(SUBSETS).reduce((sum, { items }) => sum + items, 0);

/** A share as per cent with one decimal; a dash for none. */
function percent(share: number | null): string {
  return share === null ? "–" : (100 * share).toFixed(1);
}

function interval(low: number | null, high: number | null): string {
  return low === null || high === null ? "–" : `[${percent(low)}, ${percent(high)}]`;
}

/** Columns as wide as their widest cell: the first to the left, the others to the right. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row.map((cell, column) => column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))
      .join("  ").trimEnd()
  );
}

/** Breaks a text at spaces; the lines after the first are indented. A word longer than a line is cut across lines. */
function wrap(text: string): string[] {
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

function headline({ scope, items, domains }: RmBenchResult): string {
  const count = `${items} of ${ALL_ITEMS} items`;
  if (scope === "full") return `RM-Bench, ${count}`;
  const what = scope === "sample" ? "A stratified sample of RM-Bench" : "A part of RM-Bench";
  return `${what}, not the benchmark's score: ${count}, ${
    Object.keys(domains).length
  } of ${DOMAINS.length} domains`;
}

function mainTable(result: RmBenchResult): string[] {
  const { domains, levels, overall, low, high, parsed, items } = result;
  const rows = [["per cent", "items", ...LEVELS, "mean", "95 % interval", "of the parsed", "parse rate"]];
  for (const domain of DOMAINS) {
    const figures = domains[domain];
    if (figures === undefined) continue;
    rows.push([
      domain,
      String(figures.n),
      ...LEVELS.map((level) => percent(figures[level])),
      percent(figures.mean),
      interval(figures.low, figures.high),
      percent(figures.parsedAccuracy),
      percent(figures.parseRate),
    ]);
  }
  rows.push([
    "mean of the domains",
    String(items),
    ...LEVELS.map((level) => percent(levels[level].score)),
    percent(overall),
    interval(low, high),
    percent(parsed.accuracy),
    percent(parsed.rate),
  ]);
  return table(rows);
}

function floorTable(floors: readonly Floor[], present: RmBenchResult["domains"]): string[] {
  const domains = DOMAINS.filter((domain) => present[domain] !== undefined);
  return table([
    ["floors on the same items", ...domains, ...LEVELS, "mean", "95 % interval"],
    ...floors.map((floor) => [
      floor.judge,
      ...domains.map((domain) => percent(floor.domains[domain]?.mean ?? null)),
      ...LEVELS.map((level) => percent(floor.levels[level].score)),
      percent(floor.overall),
      interval(floor.low, floor.high),
    ]),
  ]);
}

function notes(result: RmBenchResult): string[] {
  const { pairwise, ties, failures, judgements, missing, malformed, parsed, unreadableLines } = result;
  const lines: string[] = [];
  if (pairwise !== null) {
    const { first, allOrders, readable, flips, consistentAccuracy, firstPlaceShare, cut } = pairwise;
    if (result.orders === "both") {
      lines.push(
        `Orders: both ${percent(result.overall)}, first alone ${percent(first)}, right in both ${
          percent(allOrders)
        }`,
        `Flips: ${flips} of ${readable} pairs that could be read in both orders` +
          (consistentAccuracy === null ? "" : `; of the others ${percent(consistentAccuracy)} are right`),
      );
    }
    lines.push(`Picks of the first place: ${percent(firstPlaceShare)}`);
    const reasons = Object.entries(failures).sort(([x], [y]) => x < y ? -1 : 1);
    const list = reasons.map(([reason, count]) => `${reason} ${count}`).join(", ");
    lines.push(
      `No verdict: ${list || "none"}, of ${judgements} judgements, all counted as wrong; ` +
        `parse rate ${percent(parsed.rate)} ${interval(...parsed.rateInterval)}`,
    );
    if (cut > 0) lines.push(`Cut short by a limit of tokens: ${cut} judgements`);
  }
  if (ties !== null) lines.push(`Ties: ${ties} of ${judgements} comparisons, all counted as wrong`);
  if (missing.length > 0) lines.push(`Not scored: ${missing.join(", ")}`);
  if (malformed.length > 0) {
    lines.push(`Malformed and left out: ${malformed.length} records`);
    lines.push(...malformed.slice(0, LISTED).map((record) => `  ${describeMalformed(record)}`));
    if (malformed.length > LISTED) lines.push(`  and ${malformed.length - LISTED} more, listed in the JSON`);
  }
  if (unreadableLines > 0) {
    lines.push(`Journal lines that could not be read and were asked again: ${unreadableLines}`);
  }
  return lines;
}

/** The result as lines of at most 100 characters, the floors beside the judge. Figures are per cent. */
export function formatRmBench(result: RmBenchResult): string {
  const { judge, orders, rule, seed } = result;
  const how = [`rule ${rule}`, ...(orders === null ? [] : [`orders ${orders}`]), `seed ${seed}`].join(", ");
  return [
    ...wrap(headline(result)),
    ...wrap(`Judge: ${judge.name} (${how})`),
    "",
    ...mainTable(result),
    "",
    ...floorTable(result.floors, result.domains),
    "",
    ...notes(result).flatMap(wrap),
  ].join("\n");
}
