/**
 * How often the best answer was found, as plain text for a terminal.
 *
 * @module
 */
import type { Benchmark } from "../benchmark.ts";
import { interval, percent, textTable } from "../report.ts";
import type { BestOfNResult, FoundShare } from "./best_of_n.ts";

/** The result as lines. */
export function formatBestOfN({ title }: Benchmark, result: BestOfNResult): string {
  const { judge, method, overall, subsets, comparisons, undecided, leftOut, missing } = result;
  const row = (name: string, { n, share, interval: [low, high], chance }: FoundShare): string[] => [
    name,
    `${n}`,
    percent(share),
    interval({ low, high }),
    percent(chance),
  ];
  return [
    `Best of N on ${title}, by ${method}`,
    `Judge: ${judge}`,
    "",
    ...textTable([
      ["per cent", "questions", "best found", "95 % interval", "by chance"],
      ...Object.entries(subsets).map(([name, share]) => row(name, share)),
      row("all", overall),
    ]),
    "",
    ...(method === "scores" ? [] : [
      `${comparisons} comparisons, ${undecided} of them undecided: the answer that was drawn first then stands`,
    ]),
    ...(leftOut > 0 ? [`Left out: ${leftOut} items without one best answer among three or more`] : []),
    ...(missing.length > 0 ? [`The data are a part of ${title}; missing: ${missing.join(", ")}`] : []),
  ].join("\n");
}
