/**
 * The report of the comparison with peers: its file, and its table.
 *
 * @module
 */
import * as z from "zod";
import type { Machine, Rest } from "./machine.ts";
import type { Outcome, SideResult } from "./measure.ts";
import { sampleSchema } from "./protocol.ts";
import { assertSameMachine, machineSchema, restSchema, summarySchema } from "./schemas.ts";
import type { Comparison, Goal, MetricKind, Summary } from "./statistics.ts";

/** A measured row. */
export interface RowReport {
  readonly id: string;
  readonly work: string;
  readonly peer: string;
  readonly outcome: Outcome;
  /** ISO 8601, UTC. */
  readonly measuredAt: string;
  readonly code: string;
  readonly threads: number;
  readonly repetitions: number;
  /** Of the machine just before. */
  readonly rest: Rest;
}

/** What {@link speedReportSchema} describes. */
export interface SpeedReport {
  readonly kind: "speed";
  readonly machine: Machine;
  readonly command: string;
  readonly rows: readonly RowReport[];
}

/** Of {@link Goal}. */
export const goalSchema: z.ZodType<Goal> = z.union([
  z.strictObject({ atLeast: z.number() }),
  z.strictObject({ atMost: z.number() }),
]);

const kind: z.ZodType<MetricKind> = z.enum(["rate", "step", "memory", "first token", "process"]);

const comparison: z.ZodType<Comparison> = z.strictObject({
  kind,
  goal: goalSchema.nullable(),
  unit: z.string(),
  ours: summarySchema,
  peer: summarySchema,
  ratio: summarySchema,
  met: z.boolean().nullable(),
});

const side: z.ZodType<SideResult> = z.strictObject({
  about: z.record(z.string(), z.string()),
  samples: z.array(sampleSchema).min(1),
});

const outcome: z.ZodType<Outcome> = z.discriminatedUnion("status", [
  z.strictObject({
    status: z.literal("measured"),
    ours: side,
    peer: side,
    comparisons: z.array(comparison).min(1),
  }),
  z.strictObject({ status: z.literal("not available"), reason: z.string() }),
  z.strictObject({ status: z.literal("failed"), reason: z.string() }),
]);

/** Of {@link RowReport}. */
export const rowReportSchema: z.ZodType<RowReport> = z.strictObject({
  id: z.string(),
  work: z.string(),
  peer: z.string(),
  outcome,
  measuredAt: z.iso.datetime(),
  code: z.string(),
  threads: z.int().positive(),
  repetitions: z.int().positive(),
  rest: restSchema,
});

/** The schema of the report's file. */
export const speedReportSchema: z.ZodType<SpeedReport> = z.strictObject({
  kind: z.literal("speed"),
  machine: machineSchema,
  command: z.string(),
  rows: z.array(rowReportSchema),
});

/**
 * A stored report with rows measured again in their places, in the order of `ids`; one that failed does not take the
 * place of one that did not.
 *
 * @throws {RangeError} The stored one is of another machine.
 */
export function mergeReports(stored: SpeedReport, fresh: SpeedReport, ids: readonly string[]): SpeedReport {
  assertSameMachine(stored.machine, fresh.machine);
  const rows = new Map(stored.rows.map((row) => [row.id, row]));
  for (const row of fresh.rows) {
    if (row.outcome.status !== "failed" || !rows.has(row.id)) rows.set(row.id, row);
  }
  return { ...fresh, rows: ids.flatMap((id) => rows.get(id) ?? []) };
}

/** Three significant digits, without an exponent. */
export function formatNumber(value: number): string {
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(digits);
}

function formatSummary({ min, median, max }: Summary): string {
  return [min, median, max].map(formatNumber).join(" / ");
}

/** A goal in the table's words. */
export function formatGoal(aim: Goal): string {
  return "atLeast" in aim ? `≥ ${aim.atLeast} ×` : `≤ ${aim.atMost} ×`;
}

/** The cells of a row's metrics, or of its reason where it has none. */
export function tableRows({ work, peer, outcome }: RowReport): string[][] {
  if (outcome.status !== "measured") {
    return [[work, "", "", peer, "", "", `${outcome.status}: ${outcome.reason}`]];
  }
  return outcome.comparisons.map(({ kind, unit, ours, peer: other, ratio, goal: aim, met }, index) => [
    index === 0 ? work : "",
    `${kind}, ${unit}`,
    formatSummary(ours),
    `${index === 0 ? `${peer} ` : ""}${formatSummary(other)}`.trim(),
    `${formatNumber(ratio.median)} × (${formatNumber(ratio.min)} – ${formatNumber(ratio.max)})`,
    aim === null ? "" : formatGoal(aim),
    met === null ? "" : met ? "met" : "missed",
  ]);
}

/** Heads of {@link tableRows}. */
export const TABLE_HEAD: readonly string[] = [
  "work",
  "measure",
  "ours: min / median / max",
  "peer: min / median / max",
  "ratio (range of pairs)",
  "goal",
  "",
];

/** A table in Markdown, columns aligned as the formatter does. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const escaped = [head, ...rows].map((row) =>
    row.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " "))
  );
  const widths = head.map((_, column) => Math.max(3, ...escaped.map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [line(escaped[0]!), rule, ...escaped.slice(1).map(line)].join("\n") + "\n";
}
