/**
 * Reports for tests.
 *
 * @module
 */
import type { Machine } from "../machine.ts";
import { pointsOf, type Study } from "../scaling_points.ts";
import { outcomeOf, type PointOutcome, type ScalingReport, type StudyReport } from "../scaling_report.ts";
import type { RowReport, SpeedReport } from "../speed_report.ts";
import { compare, type Goal } from "../statistics.ts";
import { sampleOf } from "./samples.ts";

const MEASURED_AT = "2026-01-02T03:04:05.000Z";

function machineOf(cpu: string): Machine {
  return { cpu, cores: 2, memoryBytes: 2 ** 33, system: "linux x64" };
}

/** A row in which ours took so many seconds and 1 GB, and the peer 3 seconds and 1 GB. */
export function rowReport(id: string, seconds: number, goal: Goal | null = { atLeast: 2 }): RowReport {
  const [ours, peer] = [[sampleOf(seconds)], [sampleOf(3)]];
  return {
    id,
    work: `work of ${id}`,
    peer: "PyTorch",
    outcome: {
      status: "measured",
      ours: { about: { "rm-r1": "0" }, samples: ours },
      peer: { about: { torch: "2" }, samples: peer },
      comparisons: [
        compare({ kind: "step", goal }, ours, peer),
        compare({ kind: "memory", goal: { atMost: 0.5 } }, ours, peer),
      ],
    },
    measuredAt: MEASURED_AT,
    code: "0",
    threads: 2,
    repetitions: 1,
    rest: { busyShare: 0, loadAverage: 0.1 },
  };
}

/** A row whose precision the engine refused. */
export function refusedReport(id: string): RowReport {
  return { ...rowReport(id, 1), outcome: { status: "not available", reason: "no bf16" } };
}

/** A report of rows, by default of a measured and a refused one. */
export function speedReport(
  rows: readonly RowReport[] = [rowReport("a", 1), refusedReport("b")],
  cpu = "Test",
): SpeedReport {
  return { kind: "speed", machine: machineOf(cpu), command: "deno task bench:speed", rows };
}

/** A study all of whose points came to the same. */
export function studyReport(
  study: Study,
  outcome: PointOutcome = outcomeOf([sampleOf(2), sampleOf(1)]),
): StudyReport {
  return {
    study,
    precision: "f32",
    repetitions: 2,
    code: "0",
    measuredAt: MEASURED_AT,
    rest: { busyShare: 0, loadAverage: 0 },
    points: pointsOf(study, 2).map((point) => ({ ...point, outcome })),
  };
}

/** A report of studies. */
export function scalingReport(studies: readonly StudyReport[]): ScalingReport {
  return { kind: "scaling", machine: machineOf("Test"), command: "deno task bench:scaling", studies };
}
