/**
 * The curves of runs: of each stage's steps, and of accuracy over the whole run.
 *
 * @module
 */
import type { Point, Series } from "./charts.ts";
import { figureOf } from "./figure.ts";
import type { History, StageHistory } from "./history.ts";
import type { Html } from "./markup.ts";
import { type Metric, METRICS } from "./metrics.ts";
import type { Share, StageNumber } from "./records.ts";

/** A run as curves need it. */
export interface NamedHistory {
  readonly name: string;
  readonly history: History;
}

/** A figure for each quantity that any of the runs has in a stage. */
export function stageFigures(runs: readonly NamedHistory[], stage: StageNumber): Html[] {
  return METRICS.filter(({ stages }) => stages.includes(stage)).flatMap((metric) => {
    const series = runs.map(({ name, history }, colour): Series => ({
      name,
      colour,
      points: (stageOf(history, stage)?.steps ?? []).flatMap((step) => pointOf(metric, step)),
    }));
    const { title, unit, meaning, isExact = false } = metric;
    const figure = figureOf({ title, unit, xLabel: "step", series, isExact }, meaning);
    return figure === null ? [] : [figure];
  });
}

function pointOf(metric: Metric, step: StageHistory["steps"][number]): Point[] {
  const y = metric.of(step);
  if (typeof y !== "number" || !Number.isFinite(y)) return [];
  return [{ x: step.step, y: metric.isShare === true ? 100 * y : y }];
}

function stageOf({ stages }: History, number: StageNumber): StageHistory | undefined {
  return stages.find(({ stage }) => stage === number);
}

/** Accuracy over the steps of both stages, on held-out and on validation pairs; none where nothing was evaluated. */
export function accuracyFigures(runs: readonly NamedHistory[]): Html[] {
  const meaning = "What cannot be read counts as wrong. Stage 2 goes on where stage 1 ends";
  const kinds = [
    { title: "Accuracy on held-out pairs", pointsOf: heldOutPoints },
    { title: "Accuracy on validation pairs", pointsOf: validationPoints },
  ];
  return kinds.flatMap(({ title, pointsOf }) => {
    const series = runs.map(({ name, history }, colour) => ({ name, colour, points: pointsOf(history) }));
    const figure = figureOf({ title, unit: "%", xLabel: "step of the run", series, isExact: true }, meaning);
    return figure === null ? [] : [figure];
  });
}

/** Steps of a stage that are done. */
function done(stage: StageHistory | undefined): number {
  return stage?.steps.at(-1)?.step ?? 0;
}

function heldOutPoints(history: History): Point[] {
  const first = done(stageOf(history, 1));
  const places = { base: 0, distilled: first, final: first + done(stageOf(history, 2)) };
  const { base, distilled, final } = history.evaluations;
  const isSame = distilled !== undefined && places.final === places.distilled;
  return [
    ...(base === undefined ? [] : [pointAt(places.base, base.accuracy)]),
    ...(distilled === undefined ? [] : [pointAt(places.distilled, distilled.accuracy)]),
    ...(final === undefined || isSame ? [] : [pointAt(places.final, final.accuracy)]),
  ];
}

function validationPoints(history: History): Point[] {
  const first = done(stageOf(history, 1));
  return history.stages.flatMap(({ stage, evaluations }) =>
    evaluations.map(({ step, report }) => pointAt(step + (stage === 1 ? 0 : first), report.accuracy))
  );
}

function pointAt(x: number, { value, interval: [low, high] }: Share): Point {
  return { x, y: 100 * value, interval: [100 * low, 100 * high] };
}
