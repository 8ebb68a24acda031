/**
 * A comparison of runs as plain text for a terminal.
 *
 * @module
 */
import { interval, percent, textTable, wrap } from "../report.ts";
import type { ChangedItems, Difference, RunComparison } from "./compare.ts";

/** Most keys that are listed. */
const LISTED = 8;

function points(value: number): string {
  return `${value > 0 ? "+" : ""}${(100 * value).toFixed(1)}`;
}

function pText(p: number): string {
  return p < 0.0001 ? "< 0.0001" : p.toFixed(4);
}

function row(name: string, found: Difference & ChangedItems): string[] {
  return [
    name,
    percent(found.base),
    percent(found.other),
    points(found.difference),
    interval(found),
    String(found.fixed.length),
    String(found.broke.length),
    pText(found.p),
    pText(found.holm),
  ];
}

function listed(what: string, keys: readonly string[]): string[] {
  if (keys.length === 0) return [];
  return wrap(`${what}: ${keys.slice(0, LISTED).join(", ")}${keys.length > LISTED ? ", …" : ""}`);
}

/** Figures are per cent, differences points; what cannot be read counts as wrong. */
export function formatComparisons(comparisons: readonly RunComparison[]): string {
  return comparisons.map(({ base, other, items, overall, sections }) =>
    [
      ...wrap(`${other}, compared with ${base}, on ${items} items`),
      "",
      ...textTable([
        ["per cent", "base", "other", "gain", "95 % interval", "fixed", "broke", "p", "Holm"],
        ...Object.entries(sections).map(([name, found]) => row(name, found)),
        row("overall", overall),
      ]),
      "",
      ...listed("Fixed", overall.fixed),
      ...listed("Broke", overall.broke),
    ].join("\n")
  ).join("\n\n");
}
