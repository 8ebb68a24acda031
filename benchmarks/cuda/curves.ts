/**
 * The training run drawn.
 *
 * @module
 */
import * as Plot from "@observablehq/plot";
import { draw } from "../charts.ts";
import type { CurvePoint, TrainingRun } from "./training.ts";

function curve(points: readonly CurvePoint[], y: "loss" | "reward", label: string): string {
  return draw({
    x: { label: "step", tickFormat: "d" },
    y: { grid: true, label },
    marks: [Plot.line(points, { x: "step", y }), Plot.dot(points, { x: "step", y, fill: "currentColor" })],
  });
}

/** SVG documents by the name of their file: the loss of stage 1, the mean reward of stage 2. */
export function curvesOf(training: TrainingRun): ReadonlyMap<string, string> {
  const [stage1, stage2] = ([1, 2] as const).map((stage) =>
    training.steps.filter((each) => each.stage === stage)
  );
  return new Map([
    ...(stage1!.length === 0
      ? []
      : [["cuda-stage1-loss.svg", curve(stage1!, "loss", "loss, nats")] as const]),
    ...(stage2!.length === 0
      ? []
      : [["cuda-stage2-reward.svg", curve(stage2!, "reward", "mean reward")] as const]),
  ]);
}
