/**
 * Names of runs' folders.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { JsonObject } from "./parser.ts";

/** Folder of all runs. */
export const RUNS = "runs";

/** The first of NAME, NAME-2, NAME-3 … after all that are there. */
export function nextRunName(stem: string, there: readonly string[]): string {
  return numbered(stem, lastNumber(stem, there) + 1);
}

/** The last of NAME, NAME-2, NAME-3 … that is there; null where none is. */
export function lastRunName(stem: string, there: readonly string[]): string | null {
  const last = lastNumber(stem, there);
  return last === 0 ? null : numbered(stem, last);
}

/**
 * The name of a benchmark's run: the benchmark, the judge, and a hash of the settings, so that the same command finds
 * its own run again.
 */
export function benchRunName(benchmark: string, judge: string, settings: JsonObject): string {
  const hash = createHash("sha256").update(JSON.stringify(settings)).digest("hex").slice(0, 8);
  return `${benchmark}-${judgeName(judge)}-${hash}`;
}

/** A judge as a part of a folder's name; of a run's model also the run. */
function judgeName(judge: string): string {
  const parts = judge.split(/[/\\]/).filter((part) => part !== "" && part !== ".");
  const last = parts.at(-1) ?? "";
  const named = last === "final" || last === "distilled" ? parts.slice(-2).join("-") : last;
  return named.replaceAll(/[^\w.-]+/g, "-").replace(/^[-.]+/, "") || "judge";
}

function numbered(stem: string, number: number): string {
  return number === 1 ? stem : `${stem}-${number}`;
}

function lastNumber(stem: string, there: readonly string[]): number {
  const numbers = there.map((name) => {
    if (name === stem) return 1;
    const suffix = name.startsWith(`${stem}-`) ? name.slice(stem.length + 1) : "";
    return /^[1-9]\d{0,8}$/.test(suffix) ? Number(suffix) : 0;
  });
  return Math.max(0, ...numbers);
}
