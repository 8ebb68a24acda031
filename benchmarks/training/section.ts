/**
 * The results' section on training.
 *
 * @module
 */
import jstat from "jstat";
import { markdownTable } from "../speed_report.ts";
import { summarise } from "../statistics.ts";
import { type Accuracy, lastAccuracy, type TrainedRun, type TrainingReport } from "./report.ts";
import { type Group, VARIANTS } from "./variants.ts";

/** The library has no types of its own. */
const { studentt } = jstat as { readonly studentt: { inv(probability: number, degrees: number): number } };

const TITLES: Readonly<Record<Exclude<Group, "continued">, string>> = {
  algorithms: "Algorithms of stage 2",
  kinds: "Judges that do not reason",
  ablations: "Ablations",
};

const HEAD = [
  "configuration",
  "what",
  "seeds",
  "after stage 1: median (range)",
  "at the end: median (range)",
  "at the end: mean, 95 % interval",
  "readable",
  "seconds",
];

function percent(value: number): string {
  return (100 * value).toFixed(1);
}

function medianAndRange(values: readonly number[]): string {
  if (values.length === 0) return "–";
  const { min, median, max } = summarise(values);
  return `${percent(median)} (${percent(min)} – ${percent(max)})`;
}

/**
 * Mean with Student's 95 % interval over seeds, each of which draws its own problems, order and rollouts.
 *
 * @throws {RangeError} There is no value.
 */
export function meanInterval(values: readonly number[]): { mean: number; low: number; high: number } {
  if (values.length === 0) throw new RangeError("There are no values, expected at least one");
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  if (count === 1) return { mean, low: NaN, high: NaN };
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1);
  const half = studentt.inv(0.975, count - 1) * Math.sqrt(variance / count);
  return { mean, low: mean - half, high: mean + half };
}

function interval(values: readonly number[]): string {
  const { mean, low, high } = meanInterval(values);
  return Number.isNaN(low)
    ? percent(mean)
    : `${percent(mean)} [${percent(low)}, ${percent(Math.min(1, high))}]`;
}

function valuesOf(accuracies: readonly (Accuracy | null)[]): number[] {
  return accuracies.flatMap((accuracy) => accuracy === null ? [] : [accuracy.value]);
}

function rowsOf(group: Group, runs: readonly TrainedRun[]): string[][] {
  return VARIANTS.filter((variant) => variant.group === group).flatMap(({ id, config, title }) => {
    const own = runs.filter(({ variant }) => variant === id);
    if (own.length === 0) return [];
    const twoStages = own.some(({ seconds }) => seconds.stage1 > 0 && seconds.stage2 > 0);
    return [[
      `[${config}.json](../configs/${config}.json)`,
      title,
      own.map(({ seed }) => seed).join(", "),
      twoStages ? medianAndRange(valuesOf(own.map(({ accuracy }) => accuracy.distilled))) : "–",
      medianAndRange(own.map(lastAccuracy)),
      interval(own.map(lastAccuracy)),
      percent(summarise(own.map(({ parseRate }) => parseRate)).median),
      summarise(own.map(({ seconds }) => seconds.whole)).median.toFixed(0),
    ]];
  });
}

const CONTINUED_HEAD = ["seed", "after stage 1", "stage 2", "the same traces", "new traces"];

/** Stage 2 beside a stage 1 that goes on for at least as long, seed by seed. */
function continuedTable(runs: readonly TrainedRun[]): string | null {
  const find = (id: string, seed: number): TrainedRun | undefined =>
    runs.find((run) => run.variant === id && run.seed === seed);
  const seeds = runs.filter(({ variant }) => variant === "continued-same").map(({ seed }) => seed);
  const rows = seeds.flatMap((seed) => {
    const [whole, same, fresh] = ["default", "continued-same", "continued-new"].map((id) => find(id, seed));
    return whole === undefined || same === undefined ? [] : [{ seed, whole, same, fresh }];
  });
  if (rows.length === 0) return null;
  const cell = (run: TrainedRun | undefined): string => {
    if (run === undefined) return "–";
    const { stage1, stage2 } = run.seconds;
    return `${percent(lastAccuracy(run))} (${(stage1 + stage2).toFixed(0)} s)`;
  };
  const lead = (others: readonly (TrainedRun | undefined)[]): string => {
    const gains = others.flatMap((other, index) =>
      other === undefined ? [] : [100 * (lastAccuracy(rows[index]!.whole) - lastAccuracy(other))]
    );
    const median = gains.length === 0 ? NaN : summarise(gains).median;
    return Number.isNaN(median) ? "–" : `${median > 0 ? "+" : ""}${median.toFixed(1)} points`;
  };
  const table = markdownTable(CONTINUED_HEAD, [
    ...rows.map(({ seed, whole, same, fresh }) => [
      String(seed),
      percent(whole.accuracy.distilled?.value ?? NaN),
      ...[whole, same, fresh].map(cell),
    ]),
    [
      "median lead of stage 2",
      "",
      "",
      lead(rows.map(({ same }) => same)),
      lead(rows.map(({ fresh }) => fresh)),
    ],
  ]);
  return `### Stage 2, or more of stage 1

At the end, with the seconds of all training steps. Stage 1 went on for as many steps as fill the time of both stages
at the rate that it had in them: on the traces it had, which is all that there are where an oracle wrote them, or on
traces of the pairs that stage 2 trains on with their labels alone.

${table}`;
}

/** Tables of all that was trained, or null where nothing was. */
export function trainingSection(report: TrainingReport | null, about: string): string | null {
  if (report === null || report.runs.length === 0) return null;
  const { command, runs } = report;
  const tables = Object.entries(TITLES).flatMap(([group, title]) => {
    const rows = rowsOf(group as Group, runs);
    return rows.length === 0 ? [] : [`### ${title}\n\n${markdownTable(HEAD, rows)}`];
  });
  const examples = runs[0]!.accuracy.final?.examples ?? runs[0]!.accuracy.distilled?.examples;
  const continued = continuedTable(runs);
  return `## Training

The embedded model, its accuracy in per cent on ${examples} held-out pairs, what cannot be read counted as wrong. A seed draws
its own problems, order and rollouts. The interval is Student's over seeds. Seconds are the median of a whole run's,
evaluations included.

${about}
- Command: \`${command}\`; every run is in [training.json](results/training.json)

${[...tables, ...(continued === null ? [] : [continued])].join("\n")}`;
}
