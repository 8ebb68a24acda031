/**
 * Tables of the scaling study.
 *
 * @module
 */
import type { PointReport, StudyReport } from "./scaling_report.ts";
import { formatNumber, markdownTable } from "./speed_report.ts";

/** Greatest share of a step that TypeScript and the door to the core may take. */
export const OVERHEAD_GOAL = 0.02;

function describe({ study, work, shape, threads, layout, recompute, ...point }: PointReport): string {
  const { prompts, promptTokens, rollouts, newTokens } = point;
  switch (study) {
    case "sequence":
      return `${promptTokens + newTokens} tokens${recompute ? ", recomputing" : ""}`;
    case "batch":
      return `${prompts} × ${promptTokens + newTokens} tokens`;
    case "size":
      return shape;
    case "threads":
      return `${threads}`;
    case "forest":
      return `prompt of ${promptTokens}, ${rollouts} × ${newTokens} tokens, ${layout}`;
    case "overhead":
      return `${work === "sft_step" ? "training step" : "GRPO step"}, ${shape}`;
  }
}

/** The points of a study as a Markdown table. */
export function scalingTable(report: StudyReport): string {
  const head = [report.study, "tok/s", "s: min / median / max", "peak, GB", "TypeScript's share"];
  return markdownTable(
    head,
    report.points.map((point) => {
      const { outcome } = point;
      if (outcome.status !== "measured") {
        return [describe(point), `${outcome.status}: ${outcome.reason}`, "", "", ""];
      }
      const { seconds, tokensPerSecond, peakBytes, overheadShare } = outcome;
      const share = `${formatNumber(100 * overheadShare)} %`;
      return [
        describe(point),
        formatNumber(tokensPerSecond.median),
        [seconds.min, seconds.median, seconds.max].map(formatNumber).join(" / "),
        formatNumber(peakBytes / 1e9),
        report.study === "overhead"
          ? `${share}, ${overheadShare < OVERHEAD_GOAL ? "met" : "missed"} (< ${100 * OVERHEAD_GOAL} %)`
          : share,
      ];
    }),
  );
}
