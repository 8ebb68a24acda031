/**
 * What a run on a machine with a GPU writes down: `results.jsonl`, one JSON object a line.
 *
 * @module
 */
import { appendFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { goalSchema, type RowReport, rowReportSchema } from "../speed_report.ts";
import { summarySchema } from "../schemas.ts";
import type { Gpu } from "./gpu.ts";
import type { RoofShare } from "./roof_share.ts";

/** How a part of `run.sh` ended. */
export interface PartRecord {
  readonly kind: "part";
  readonly name: string;
  readonly status: "passed" | "failed" | "ran out of time" | "skipped";
  readonly seconds: number;
  /** What was run, or why it was not. */
  readonly detail: string;
  /** ISO 8601, UTC. */
  readonly at: string;
  /** Commit of the code. */
  readonly commit: string;
  /** As the driver names it. */
  readonly device: string;
  readonly driver: string;
}

/** A row of the comparison. */
export interface RowRecord {
  readonly kind: "row";
  readonly report: RowReport;
  /** Null where the CPU stood in for it, to try the programs. */
  readonly gpu: Gpu | null;
  /** Null where the row has none, or where the device's is not known. */
  readonly share: RoofShare | null;
}

/** A line. */
export type CudaRecord = PartRecord | RowRecord;

const FILE = "results.jsonl";

const share: z.ZodType<RoofShare> = z.strictObject({
  roof: z.strictObject({
    kind: z.enum(["arithmetic", "bandwidth"]),
    rate: z.number().positive(),
    source: z.string(),
  }),
  ours: summarySchema,
  peer: summarySchema,
  goal: goalSchema.nullable(),
  met: z.boolean().nullable(),
});

/** The schema of a line. */
export const recordSchema: z.ZodType<CudaRecord> = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("part"),
    name: z.string(),
    status: z.enum(["passed", "failed", "ran out of time", "skipped"]),
    seconds: z.number().min(0),
    detail: z.string(),
    at: z.iso.datetime(),
    commit: z.string(),
    device: z.string(),
    driver: z.string(),
  }),
  z.strictObject({
    kind: z.literal("row"),
    report: rowReportSchema,
    gpu: z.strictObject({ name: z.string(), driver: z.string(), memoryBytes: z.int().positive() }).nullable(),
    share: share.nullable(),
  }),
]);

/** What a record is of: a later one of the same takes its place. */
export function recordKey(record: CudaRecord): string {
  return record.kind === "part" ? `part ${record.name}` : `row ${record.report.id}`;
}

/** Adds a line to a folder's records. */
export async function appendRecord(folder: string, record: CudaRecord): Promise<void> {
  await appendFile(join(folder, FILE), `${JSON.stringify(record)}\n`);
}

/**
 * Reads a folder's records: of each part and row the last.
 *
 * @throws {SyntaxError} A line is no record.
 */
export async function readRecords(folder: string): Promise<readonly CudaRecord[]> {
  const path = join(folder, FILE);
  const last = new Map<string, CudaRecord>();
  for (const [index, line] of (await readFile(path, "utf8")).split("\n").entries()) {
    if (line === "") continue;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      throw new SyntaxError(`${path}:${index + 1}: "${line.slice(0, 100)}", expected a JSON object`);
    }
    const { data, error } = recordSchema.safeParse(value);
    if (error !== undefined) {
      throw new SyntaxError(`${path}:${index + 1}: not a record: ${z.prettifyError(error)}`);
    }
    last.set(recordKey(data), data);
  }
  return [...last.values()];
}
