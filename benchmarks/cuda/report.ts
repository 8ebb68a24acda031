/**
 * The stored results of a GPU.
 *
 * @module
 */
import * as z from "zod";
import { type CudaRecord, recordKey, recordSchema } from "./records.ts";
import { type TrainingRun, trainingSchema } from "./training.ts";

/** What {@link cudaReportSchema} describes. */
export interface CudaReport {
  readonly kind: "cuda";
  readonly records: readonly CudaRecord[];
  readonly training: TrainingRun | null;
}

/** The schema of the report's file. */
export const cudaReportSchema: z.ZodType<CudaReport> = z.strictObject({
  kind: z.literal("cuda"),
  records: z.array(recordSchema),
  training: trainingSchema.nullable(),
});

function succeeded(record: CudaRecord): boolean {
  return record.kind === "part"
    ? record.status === "passed" || record.status === "failed"
    : record.report.outcome.status === "measured";
}

/**
 * A stored report with what is newer in its places; what came to nothing does not take the place of what did.
 *
 * @throws {RangeError} Figures of a CPU, which only tried the programs, are among the new ones.
 */
export function mergeCudaReports(stored: CudaReport | null, fresh: CudaReport): CudaReport {
  for (const record of fresh.records) {
    if (record.kind === "part" ? record.device !== "cpu" : record.gpu !== null) continue;
    throw new RangeError(`Record "${recordKey(record)}" is of a CPU, expected only figures of a GPU`);
  }
  const records = new Map(stored?.records.map((record) => [recordKey(record), record]));
  for (const record of fresh.records) {
    const key = recordKey(record);
    if (succeeded(record) || !records.has(key)) records.set(key, record);
  }
  return {
    kind: "cuda",
    records: [...records.values()],
    training: fresh.training ?? stored?.training ?? null,
  };
}
