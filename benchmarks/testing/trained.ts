/**
 * Trained runs for tests.
 *
 * @module
 */
import type { TrainedRun } from "../training/report.ts";

/** A run that ended with this accuracy, from 0.6 after stage 1, in 10 and 20 s. */
export function exampleRun(
  variant: string,
  seed: number,
  value: number,
  seconds: TrainedRun["seconds"] = { stage1: 10, stage2: 20, whole: 45 },
): TrainedRun {
  const examples = 1000;
  return {
    variant,
    seed,
    code: "0",
    measuredAt: "2026-01-02T03:04:05.000Z",
    accuracy: {
      base: { value: 0.5, examples },
      distilled: { value: 0.6, examples },
      final: { value, examples },
    },
    parseRate: 1,
    seconds,
  };
}
