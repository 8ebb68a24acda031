/**
 * A chart on the page: the drawing, what it means, and its numbers as a table.
 *
 * @module
 */
import {
  type Chart,
  COLOURS,
  describeChart,
  drawChart,
  isSmoothed,
  type Point,
  SMOOTHING,
} from "./charts.ts";
import { type Html, markup, raw } from "./markup.ts";
import { formatFigure } from "./numbers.ts";
import { table } from "./table.ts";

/** A chart with its heading, meaning, legend and numbers; null where there is no point to draw. */
export function figureOf(chart: Chart, meaning: string): Html | null {
  const series = chart.series.filter(({ points }) => points.length > 0);
  if (series.length === 0) return null;
  const drawn = { ...chart, series };
  const notes = [
    meaning,
    ...(series.some((each) => isSmoothed(chart, each)) ? [`The line is the mean of ${SMOOTHING} steps`] : []),
    ...(series.some(({ points }) => points.some(({ interval }) => interval)) ? ["Bars: 95 % intervals"] : []),
  ];
  const unit = chart.unit === "" ? "" : markup` <small>${chart.unit}</small>`;
  return markup`<figure class="card">
<figcaption><h3>${chart.title}${unit}</h3>
<p>${notes.join(". ")}.</p>
${chart.series.length > 1 ? legend(drawn) : ""}</figcaption>
<div role="img" aria-label="${describeChart(drawn)}">${raw(drawChart(drawn))}</div>
<details><summary>Numbers</summary>${numbersTable(drawn)}</details>
</figure>`;
}

function legend({ series }: Chart): Html {
  const items = series.map(({ name, colour }) =>
    markup`<li><span class="swatch c${colour % COLOURS}" aria-hidden="true"></span>${name}</li>`
  );
  return markup`<ul class="legend">${items}</ul>`;
}

function numbersTable({ title, xLabel, unit, series }: Chart): Html {
  const places = [...new Set(series.flatMap(({ points }) => points.map(({ x }) => x)))].sort((x, y) => x - y);
  const columns = series.map(({ points }) => new Map(points.map((point) => [point.x, point])));
  const rows = places.map((x) => [x, ...columns.map((column) => cell(column.get(x)))]);
  return table(unit === "" ? title : `${title}, ${unit}`, [xLabel, ...series.map(({ name }) => name)], rows);
}

function cell(point: Point | undefined): string {
  if (point === undefined) return "–";
  const interval = point.interval === undefined ? "" : ` [${point.interval.map(formatFigure).join(", ")}]`;
  return `${formatFigure(point.y)}${interval}`;
}
