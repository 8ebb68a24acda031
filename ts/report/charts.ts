/**
 * Curves as SVG.
 *
 * @module
 */
import * as Plot from "@observablehq/plot";
import { DOMParser } from "linkedom";
import { formatFigure } from "./numbers.ts";

/** A point of a curve. */
export interface Point {
  readonly x: number;
  readonly y: number;
  /** 95 % interval, where there is one. */
  readonly interval?: readonly [low: number, high: number];
}

/** A curve. */
export interface Series {
  readonly name: string;
  /** In the order of x. */
  readonly points: readonly Point[];
  /** Number of its colour, from 0. */
  readonly colour: number;
}

/** A chart of one quantity. */
export interface Chart {
  readonly title: string;
  readonly xLabel: string;
  readonly unit: string;
  readonly series: readonly Series[];
  /** The quantity has no noise: its curve is never smoothed. */
  readonly isExact?: boolean;
}

/** How many colours there are: as many curves can be told apart. */
export const COLOURS = 8;

/** In CSS pixels: narrow, so that a phone shows a chart at nearly its own size. */
const WIDTH = 440;
const HEIGHT = 240;

/** Dashes, so that a curve shows where another one covers it, and to who sees no colours. */
const DASHES = ["none", "7 4", "2 3", "9 3 2 3"];

/** From so many steps on a curve is smoothed, its points stay. */
const SMOOTHED_FROM = 40;
/** Steps of the mean. */
const WINDOW = 9;

/** Whether a curve is a mean over neighbouring points. */
export function isSmoothed({ isExact }: Chart, { points }: Series): boolean {
  return isExact !== true && points.length >= SMOOTHED_FROM;
}

/** How many points a smoothed curve's mean is over. */
export const SMOOTHING: number = WINDOW;

/** Draws a chart: a dot for each point, and a curve. Colours are the page's, so that it follows light and dark. */
export function drawChart(chart: Chart): string {
  // linkedom's documents have what Plot draws with, not all that a browser's have.
  const document = new DOMParser().parseFromString(
    "<html><body></body></html>",
    "text/html",
  ) as unknown as NonNullable<Plot.PlotOptions["document"]>;
  const drawn = Plot.plot({
    document,
    width: WIDTH,
    height: HEIGHT,
    marginLeft: 58,
    marginBottom: 38,
    marginTop: 14,
    style: { fontSize: "12px" },
    x: { label: chart.xLabel, labelArrow: "none", tickFormat: wholeNumbers, tickSpacing: 60 },
    y: { grid: true, label: null, tickFormat: formatFigure, nice: true, tickSpacing: 36 },
    marks: chart.series.flatMap((series) => marksOf(chart, series)),
  });
  return drawn.outerHTML;
}

function wholeNumbers(value: number): string {
  return Number.isInteger(value) ? formatFigure(value) : "";
}

function marksOf(chart: Chart, series: Series): Plot.Markish[] {
  const { unit } = chart;
  const { points, name } = series;
  const colour = `var(--curve-${series.colour % COLOURS})`;
  const dashes = DASHES[series.colour % DASHES.length]!;
  const smoothed = isSmoothed(chart, series);
  const place = { x: "x", y: "y" };
  const title = ({ x, y, interval }: Point): string =>
    `${name}, ${x}: ${formatFigure(y)}${unit === "" ? "" : ` ${unit}`}` +
    (interval === undefined ? "" : ` [${interval.map(formatFigure).join(", ")}]`);
  const curve = smoothed ? Plot.windowY({ k: WINDOW, strict: false }, place) : place;
  return [
    Plot.ruleX(points.filter(({ interval }) => interval !== undefined), {
      x: "x",
      y1: ({ interval }: Point) => interval![0],
      y2: ({ interval }: Point) => interval![1],
      stroke: colour,
      strokeWidth: 2,
      strokeOpacity: 0.6,
    }),
    Plot.line(points, { ...curve, stroke: colour, strokeWidth: 1.75, strokeDasharray: dashes }),
    Plot.dot(points, {
      ...place,
      fill: colour,
      fillOpacity: smoothed ? 0.55 : 1,
      r: smoothed ? 2 : 2.75,
      title,
      className: "point",
    }),
  ];
}

/** A chart in words: what it shows, and of each curve where it begins, ends, and how far it goes. */
export function describeChart({ title, xLabel, unit, series }: Chart): string {
  const measured = unit === "" ? title : `${title}, ${unit}`;
  const curves = series.map(({ name, points }) => {
    const ys = points.map(({ y }) => y);
    const first = points[0];
    const last = points.at(-1);
    if (first === undefined || last === undefined) return `${name}: no points`;
    return `${name}: ${points.length} points, from ${formatFigure(first.y)} at ${first.x} to ` +
      `${formatFigure(last.y)} at ${last.x}, least ${formatFigure(least(ys))}, most ${
        formatFigure(most(ys))
      }`;
  });
  return `${measured} by ${xLabel}. ${curves.join("; ")}`;
}

function least(values: readonly number[]): number {
  return values.reduce((x, y) => Math.min(x, y), Infinity);
}

function most(values: readonly number[]): number {
  return values.reduce((x, y) => Math.max(x, y), -Infinity);
}
