/**
 * The scaling study drawn.
 *
 * @module
 */
import * as Plot from "@observablehq/plot";
import { DOMParser } from "linkedom";
import type { PointReport, StudyReport } from "./scaling_report.ts";
import type { Study } from "./scaling_points.ts";

/** A measured point as marks read it. */
interface Datum {
  readonly x: number;
  readonly shape: string;
  readonly series: string;
  readonly facet: number;
  readonly rate: number;
  readonly memory: number;
}

interface Axis {
  readonly label: string;
  /** Ticks at these values of x. */
  readonly x: (point: PointReport) => number;
  readonly series: (point: PointReport) => string;
}

const AXES: Readonly<Record<Exclude<Study, "overhead" | "size">, Axis>> = {
  sequence: {
    label: "tokens of the sequence",
    x: ({ promptTokens, newTokens }) => promptTokens + newTokens,
    series: ({ recompute }) => recompute ? "recomputing" : "all kept",
  },
  batch: { label: "sequences of 256 tokens", x: ({ prompts }) => prompts, series: () => "all kept" },
  threads: { label: "threads", x: ({ threads }) => threads, series: () => "all kept" },
  forest: { label: "rollouts of the prompt", x: ({ rollouts }) => rollouts, series: ({ layout }) => layout },
};

const RATE = "tokens/s";
const MEMORY = "peak memory, GB";

function dataOf(points: readonly PointReport[], axis: Pick<Axis, "x" | "series">): Datum[] {
  return points.flatMap((point) => {
    const { outcome, promptTokens, shape } = point;
    if (outcome.status !== "measured") return [];
    return [{
      x: axis.x(point),
      shape,
      series: axis.series(point),
      facet: promptTokens,
      rate: outcome.tokensPerSecond.median,
      memory: outcome.peakBytes / 1e9,
    }];
  });
}

/** A plot as a standalone SVG document. */
export function draw(options: Plot.PlotOptions): string {
  // linkedom's documents have what Plot draws with, not all that a browser's have.
  const document = new DOMParser().parseFromString(
    "<html><body></body></html>",
    "text/html",
  ) as unknown as NonNullable<Plot.PlotOptions["document"]>;
  const drawn = Plot.plot({ ...options, document, width: 720, height: 320 });
  // A legend wraps the plot in a figure, which no image may hold.
  const svg = drawn.tagName.toLowerCase() === "svg"
    ? drawn
    : drawn.querySelector(":scope > svg:last-of-type")!;
  svg.setAttribute("style", "background: white; color: black");
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return `${svg.outerHTML}\n`;
}

function lines(data: readonly Datum[], axis: Axis, quantity: "rate" | "memory", faceted: boolean): string {
  const last = faceted ? { fx: "facet" } : {};
  const ends = [...Map.groupBy(data, ({ facet, series }) => `${faceted ? facet : ""} ${series}`).values()]
    .map((each) => each.reduce((most, datum) => datum.x > most.x ? datum : most));
  return draw({
    marginRight: 80,
    x: {
      type: "log",
      base: 2,
      label: axis.label,
      ticks: [...new Set(data.map(({ x }) => x))],
      tickFormat: "d",
    },
    y: { zero: true, grid: true, label: quantity === "rate" ? RATE : MEMORY },
    fx: { label: "tokens of the prompt" },
    marks: [
      Plot.ruleY([0]),
      Plot.line(data, { x: "x", y: quantity, stroke: "series", ...last }),
      Plot.dot(data, { x: "x", y: quantity, fill: "series", ...last }),
      Plot.text(ends, { x: "x", y: quantity, text: "series", textAnchor: "start", dx: 6, ...last }),
    ],
  });
}

function bars(data: readonly Datum[], quantity: "rate" | "memory"): string {
  const log = quantity === "rate";
  return draw({
    x: { label: "shape", domain: data.map(({ shape }) => shape) },
    y: { grid: true, label: log ? RATE : MEMORY, ...(log ? { type: "log" as const } : { zero: true }) },
    marks: [
      Plot.dot(data, { x: "shape", y: quantity, fill: "currentColor", r: 5 }),
      Plot.text(data, {
        x: "shape",
        y: quantity,
        text: (datum: Datum) => datum[quantity].toPrecision(3),
        dy: -12,
      }),
    ],
  });
}

/** SVG documents of a study by the name of their file; none for a study that a table shows better, or without data. */
export function chartsOf({ study, points }: StudyReport): ReadonlyMap<string, string> {
  if (study === "overhead") return new Map();
  const quantities = ["rate", "memory"] as const;
  const axis = study === "size" ? { x: () => 0, series: () => "" } : AXES[study];
  const data = dataOf(points, axis);
  if (data.length === 0) return new Map();
  return new Map(quantities.map((quantity) => [
    `${study}-${quantity}.svg`,
    "label" in axis ? lines(data, axis, quantity, study === "forest") : bars(data, quantity),
  ]));
}
