/**
 * Records of a GPU for tests.
 *
 * @module
 */
import type { PartRecord, RowRecord } from "../cuda/records.ts";
import { rowReport } from "./reports.ts";

const NAME = "NVIDIA H200";
const DRIVER = "580.1";

/** A part that ended so. */
export function partRecord(name: string, status: PartRecord["status"], device = NAME): PartRecord {
  return {
    kind: "part",
    name,
    status,
    seconds: 3,
    detail: `what ${name} ran`,
    at: "2026-01-02T03:04:05Z",
    commit: "0123456789abcdef",
    device,
    driver: DRIVER,
  };
}

/** A row in which ours took so many seconds, the peer 3, and ours got a third of the device's rate. */
export function rowRecord(id: string, seconds: number): RowRecord {
  return {
    kind: "row",
    report: rowReport(id, seconds),
    gpu: { name: NAME, driver: DRIVER, memoryBytes: 2 ** 37 },
    share: {
      roof: { kind: "arithmetic", rate: 989e12, source: "a datasheet" },
      ours: { min: 0.3, median: 0.333, max: 0.35 },
      peer: { min: 0.2, median: 0.2, max: 0.2 },
      goal: { atLeast: 0.3 },
      met: true,
    },
  };
}
