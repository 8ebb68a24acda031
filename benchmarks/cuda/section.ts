/**
 * The results' section on GPUs.
 *
 * @module
 */
import { formatGoal, formatNumber, markdownTable, TABLE_HEAD, tableRows } from "../speed_report.ts";
import type { Summary } from "../statistics.ts";
import type { PartRecord, RowRecord } from "./records.ts";
import type { CudaReport } from "./report.ts";
import type { TrainingRun } from "./training.ts";

const ABOUT =
  "Qwen2.5's shapes with random weights, the same token ids on both sides, in turn: ours, peer, ours, peer. " +
  "The peers are transformers' model under torch.compile with SDPA, fused AdamW and bf16 autocast; transformers' " +
  "generate with bf16 weights; and TRL's GRPOTrainer with transformers' generate. Memory is the highest use of the " +
  "device's memory by a side, libraries' caches included. The ratio is that of the medians, with the range of the " +
  "pairs: ours / peer, but for steps peer / ours, which is how many times faster ours is.";

const SHARES =
  "A training step's share of the device's arithmetic is (6N + 6·L·d·T)·tokens/s ÷ peak; a rollout's share of " +
  "its bandwidth is (weights + keys and values of a step)·steps/s ÷ copy bandwidth.";

function percent({ min, median, max }: Summary): string {
  return `${[min, median, max].map((share) => formatNumber(100 * share)).join(" / ")} %`;
}

function shareRow({ report, share }: RowRecord): string[][] {
  if (share === null) return [];
  const { roof, ours, peer, goal, met } = share;
  const rate = roof.kind === "arithmetic"
    ? `${formatNumber(roof.rate / 1e12)} TFLOP/s`
    : `${formatNumber(roof.rate / 1e12)} TB/s`;
  return [[
    report.work,
    `${rate}: ${roof.source}`,
    percent(ours),
    percent(peer),
    goal === null ? "" : formatGoal(goal),
    met === null ? "" : met ? "met" : "missed",
  ]];
}

function checks(parts: readonly PartRecord[]): string {
  const rows = parts.map(({ name, status, seconds, detail, device, driver, at, commit }) => [
    name,
    status,
    `${seconds} s`,
    detail,
    `${device}, driver ${driver}`,
    at.slice(0, 10),
    commit.slice(0, 12),
  ]);
  return markdownTable(["part", "", "took", "what was run", "device", "date", "commit"], rows);
}

function figures(rows: readonly RowRecord[]): string {
  const shares = rows.flatMap(shareRow);
  const devices = new Set(
    rows.map(({ gpu, report }) =>
      `${gpu?.name ?? "cpu"}, driver ${gpu?.driver ?? "none"}, ${report.measuredAt.slice(0, 10)}`
    ),
  );
  const abouts = rows.flatMap(({ report: { outcome } }) =>
    outcome.status === "measured" ? [outcome.ours.about, outcome.peer.about] : []
  );
  const versions = new Map(abouts.flatMap((about) => Object.entries(about)));
  return [
    `${ABOUT}\n`,
    markdownTable(TABLE_HEAD, rows.flatMap(({ report }) => tableRows(report))),
    ...(shares.length === 0 ? [] : [
      `${SHARES}\n`,
      markdownTable(
        ["work", "roof", "ours: min / median / max", "peer: min / median / max", "goal", ""],
        shares,
      ),
    ]),
    `- Measured on: ${[...devices].join("; ")}`,
    `- Versions: ${[...versions].map(([name, version]) => `${name} ${version}`).join(", ")}\n`,
  ].join("\n");
}

function trained({ backend, code, at, steps, evaluations }: TrainingRun, charts: readonly string[]): string {
  const seconds = steps.reduce((sum, { wallSeconds }) => sum + wallSeconds, 0);
  return [
    "### SmolLM2-135M through both stages\n",
    `\`configs/smollm2-gsm8k.json\` on ${backend}, ${
      at.slice(0, 10)
    }, rm-r1 ${code}: ${steps.length} steps in ` +
    `${formatNumber(seconds)} s.\n`,
    ...evaluations.map((line) => `- ${line}`),
    "",
    ...charts.map((name) => `![${name.replace(/\.svg$/, "").replaceAll("-", " ")}](results/${name})\n`),
  ].join("\n");
}

/** The section, before the formatter wraps its lines; `charts` are the files of the training run's curves. */
export function cudaSection(report: CudaReport | null, charts: readonly string[]): string {
  const parts = report?.records.filter((record) => record.kind === "part") ?? [];
  const rows = report?.records.filter((record) => record.kind === "row") ?? [];
  const training = report?.training ?? null;
  if (parts.length === 0 && rows.length === 0 && training === null) {
    return "## On a GPU\n\nNot yet measured on a GPU.\n";
  }
  return [
    "## On a GPU\n",
    ...(rows.length === 0 ? [] : [figures(rows)]),
    ...(parts.length === 0 ? [] : ["### What was checked\n", checks(parts)]),
    ...(training === null ? [] : [trained(training, charts)]),
  ].join("\n");
}
