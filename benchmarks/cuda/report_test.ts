import { expect } from "expect";
import { partRecord, rowRecord } from "../testing/cuda_records.ts";
import { type CudaReport, cudaReportSchema, mergeCudaReports } from "./report.ts";
import type { CudaRecord, RowRecord } from "./records.ts";

function reportOf(...records: CudaRecord[]): CudaReport {
  return { kind: "cuda", records, training: null };
}

Deno.test("a report survives its file", () => {
  const report = reportOf(partRecord("parity", "passed"), rowRecord("a", 1));
  expect(cudaReportSchema.parse(JSON.parse(JSON.stringify(report)))).toEqual(report);
});

Deno.test("newer results take their places, and what came to nothing takes none", () => {
  const row = rowRecord("a", 1);
  const broken: RowRecord = {
    ...row,
    report: { ...row.report, outcome: { status: "failed", reason: "lost" } },
    share: null,
  };
  const stored = reportOf(partRecord("parity", "passed"), row);
  const fresh = reportOf(partRecord("parity", "failed"), partRecord("train", "skipped"), broken);
  expect(mergeCudaReports(stored, fresh).records).toEqual([
    partRecord("parity", "failed"),
    row,
    partRecord("train", "skipped"),
  ]);
  expect(mergeCudaReports(null, fresh).records).toEqual(fresh.records);
});

Deno.test("figures of a CPU that stood in are refused", () => {
  expect(() => mergeCudaReports(null, reportOf({ ...rowRecord("a", 1), gpu: null }))).toThrow('"row a"');
  expect(() => mergeCudaReports(null, reportOf(partRecord("parity", "passed", "cpu")))).toThrow(
    '"part parity"',
  );
});
