/**
 * The text of docs/results.md.
 *
 * @module
 */
import type { CudaReport } from "./cuda/report.ts";
import { cudaSection } from "./cuda/section.ts";
import type { Machine } from "./machine.ts";
import type { Study } from "./scaling_points.ts";
import type { ScalingReport, StudyReport } from "./scaling_report.ts";
import { scalingTable } from "./scaling_table.ts";
import {
  formatNumber,
  markdownTable,
  type RowReport,
  type SpeedReport,
  TABLE_HEAD,
  tableRows,
} from "./speed_report.ts";
import type { TrainingReport } from "./training/report.ts";
import { trainingSection } from "./training/section.ts";

/** What the page is made of. */
export interface ResultsSources {
  readonly speed: SpeedReport | null;
  readonly scaling: ScalingReport | null;
  readonly training: TrainingReport | null;
  readonly cuda: CudaReport | null;
  /** Names of the scaling study's charts that there are. */
  readonly charts: readonly string[];
  /** Names of the charts of the training run on a GPU. */
  readonly curves: readonly string[];
}

const TITLES: Readonly<Record<Study, readonly [title: string, about: string]>> = {
  sequence: ["Length of the sequence", "Forward and backward of one sequence, 135M shape."],
  batch: ["Batch", "Forward and backward of sequences of 256 tokens, 135M shape."],
  size: [
    "Size",
    "Forward and backward of 256 tokens, recomputing; random weights save for the embedded model.",
  ],
  threads: ["Threads", "Forward and backward of 4 × 256 tokens, 135M shape."],
  forest: [
    "The gain of the forest",
    "Forward and backward of one prompt with its rollouts of 64 tokens, recomputing, 135M shape. The forest stores\n" +
    "and computes the prompt once, the flat batch once a rollout. Both rates count each sequence whole.",
  ],
  overhead: [
    "TypeScript and FFI",
    "Share of a step's time in which TypeScript did not wait for the core: the losses, the frames of the door, copies.",
  ],
};

function describeMachine({ cpu, cores, memoryBytes, system }: Machine): string {
  return `${cpu}, ${cores} cores, ${(memoryBytes / 2 ** 30).toFixed(0)} GiB, ${system}`;
}

function versionsOf(rows: readonly RowReport[]): string {
  const abouts = rows.flatMap(({ outcome }) =>
    outcome.status === "measured" ? [outcome.ours.about, outcome.peer.about] : []
  );
  const versions = new Map(abouts.flatMap((about) => Object.entries(about)));
  return [...versions].map(([name, version]) => `${name} ${version}`).join(", ");
}

function unique(values: readonly (string | number)[]): string {
  return [...new Set(values)].join(", ");
}

function rangeOf(values: readonly number[]): string {
  return `${formatNumber(Math.min(...values))} – ${formatNumber(Math.max(...values))}`;
}

function speedSection({ machine, command, rows }: SpeedReport): string {
  const days = unique(rows.map(({ measuredAt }) => measuredAt.slice(0, 10)));
  return `## Beside the peers

SmolLM2-135M, the same weights, token ids, precision and number of threads on both sides, in turn: ours, peer,
ours, peer. A side's memory is its own process's highest resident memory. The ratio is that of the medians, with the
range of the pairs: ours / peer, but for steps peer / ours, which is how many times faster ours is.

${markdownTable(TABLE_HEAD, rows.flatMap((row) => tableRows(row)))}
- Machine: ${describeMachine(machine)}
- Measured: ${days}, ${unique(rows.map(({ threads }) => threads))} threads, ${
    unique(rows.map(({ repetitions }) => repetitions))
  } repetitions, load average before each row ${rangeOf(rows.map(({ rest }) => rest.loadAverage))}
- Versions: ${versionsOf(rows)}
- Command: \`${command}\`, after \`deno task test:peers\`; every sample is in [speed.json](results/speed.json)
`;
}

function studySection(report: StudyReport, charts: readonly string[]): string {
  const [title, about] = TITLES[report.study];
  const own = charts.filter((name) => name.startsWith(`${report.study}-`));
  const images = own.map((name) =>
    `![${name.replace(/\.svg$/, "").replaceAll("-", ": ")}](results/${name})\n`
  );
  return [`### ${title}\n`, `${about}\n`, ...images, scalingTable(report)].join("\n");
}

function scalingSection({ machine, command, studies }: ScalingReport, charts: readonly string[]): string {
  const days = unique(studies.map(({ measuredAt }) => measuredAt.slice(0, 10)));
  return `## How cost grows

- Machine: ${describeMachine(machine)}
- Measured: ${days}, ${unique(studies.map(({ precision }) => precision))}, ${
    unique(studies.map(({ repetitions }) => repetitions))
  } repetitions, rm-r1 ${unique(studies.map(({ code }) => code))}; each point in a process of its own
- Command: \`${command}\`; every figure is in [scaling.json](results/scaling.json)

${studies.map((study) => studySection(study, charts)).join("\n")}`;
}

function aboutTraining({ machine, runs }: TrainingReport): string {
  const days = unique(runs.map(({ measuredAt }) => measuredAt.slice(0, 10)));
  return `- Machine: ${describeMachine(machine)}
- Measured: ${days}, rm-r1 ${unique(runs.map(({ code }) => code))}`;
}

/** The page, before the formatter wraps its lines. */
export function resultsPage({ speed, scaling, training, cuda, charts, curves }: ResultsSources): string {
  const trained = training === null ? null : trainingSection(training, aboutTraining(training));
  return [
    "# Results\n",
    "Made by `deno task bench:training`, `bench:speed`, `bench:cuda` and `bench:scaling` with `--write-docs`; not " +
    "written by hand.\n",
    ...(trained === null ? [] : [trained]),
    ...(speed === null ? [] : [speedSection(speed)]),
    cudaSection(cuda, curves),
    ...(scaling === null ? [] : [scalingSection(scaling, charts)]),
  ].join("\n");
}
