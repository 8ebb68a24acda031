/**
 * What a run is doing, as events and as lines of text.
 *
 * @module
 */
import type { EvaluationPoint } from "./config.ts";
import type { Choice, StageCounts, StepEvaluation } from "./journal.ts";
import {
  type EvaluationReport,
  listCounts,
  type Proportion,
  type Stage2StepRecord,
  type StepRecord,
} from "./records.ts";
import type { StepProgress } from "./stage.ts";

/** How much a run is to do. */
export interface RunPlan {
  readonly trainRecords: number;
  readonly evaluationRecords: number;
  /** Of each stage; 0 for one left out. */
  readonly steps: { readonly stage1: number; readonly stage2: number };
  /** Turns of examples in stage 1. */
  readonly traces: number;
  /** Rollouts of stage 2. */
  readonly rollouts: number;
}

/** What a run tells of while it runs. */
export type ProgressEvent =
  | { readonly type: "model"; readonly name: string; readonly backend: string; readonly parameters: number }
  | { readonly type: "plan" } & RunPlan
  | { readonly type: "stage"; readonly stage: 1 | 2; readonly steps: number; readonly from: number }
    & StageCounts
  | { readonly type: "working"; readonly stage: 1 | 2; readonly step: number; readonly work: StepProgress }
  | {
    readonly type: "step";
    readonly record: StepRecord;
    /** Steps of the stage. */
    readonly steps: number;
    /** Estimate for the rest of the stage, from the steps of this session. */
    readonly secondsLeft: number;
  }
  | { readonly type: "evaluation"; readonly at: "step" } & StepEvaluation
  | { readonly type: "chosen" } & Choice
  | {
    readonly type: "evaluating";
    readonly at: EvaluationPoint | "step";
    readonly done: number;
    readonly of: number;
  }
  | { readonly type: "evaluation"; readonly at: EvaluationPoint; readonly report: EvaluationReport }
  | { readonly type: "saved"; readonly path: string }
  | { readonly type: "warning"; readonly message: string };

/** One line for an event; null for those that only matter while they last. */
export function formatProgress(event: ProgressEvent): string | null {
  switch (event.type) {
    case "model":
      return `model ${event.name} · ${millions(event.parameters)} parameters · ${event.backend}`;
    case "plan": {
      const { trainRecords, evaluationRecords, steps, traces, rollouts } = event;
      return `plan: ${trainRecords} pairs to train on, ${evaluationRecords} held out · ` +
        `stage 1: ${traces} traces in ${steps.stage1} steps · stage 2: ${rollouts} rollouts in ${steps.stage2} steps`;
    }
    case "stage": {
      const leftOut = listCounts(event.leftOut);
      const from = event.from > 0 ? ` · from step ${event.from + 1}` : "";
      return `stage ${event.stage} · ${event.examples} examples · ${event.steps} steps${from}` +
        (leftOut === "" ? "" : ` · left out: ${leftOut}`);
    }
    case "working":
    case "evaluating":
      return null;
    case "step":
      return formatStep(event.record, event.steps, event.secondsLeft);
    case "evaluation":
      return event.at === "step"
        ? formatEvaluation(`stage ${event.stage} step ${event.step}, validation`, event.report)
        : formatEvaluation(event.at, event.report);
    case "chosen":
      return `stage ${event.stage} ends with the weights of step ${event.step} of ${event.last}: validation ` +
        `accuracy ${percent(event.accuracy)}`;
    case "saved":
      return `saved ${event.path}`;
    case "warning":
      return `warning: ${event.message}`;
  }
}

/** The state of work that lasts, for a terminal's last line; null for other events. */
export function formatWork(event: ProgressEvent): string | null {
  if (event.type === "working") {
    const { phase, done, of } = event.work;
    return `stage ${event.stage} step ${event.step} · ${phase} ${done}/${of}`;
  }
  return event.type === "evaluating" ? `evaluating ${event.at} · ${event.done}/${event.of}` : null;
}

function formatStep(record: StepRecord, steps: number, secondsLeft: number): string {
  const parts = [`stage ${record.stage} step ${record.step}/${steps}`, `loss ${record.loss.toFixed(4)}`];
  if (record.stage === 1 && record.preference !== undefined) {
    const { accuracy, meanLead, meanScore } = record.preference;
    parts.push(
      `accuracy ${percent(accuracy)}`,
      `lead ${meanLead.toFixed(3)}`,
      `mean score ${meanScore.toFixed(3)}`,
    );
  }
  if (record.stage === 2) {
    const { reward, policy, entropy, parseRate, meanTokens, sampler } = record;
    parts.push(
      `reward ${reward.toFixed(3)}`,
      `KL ${policy.meanKl.toExponential(1)}`,
      `entropy ${entropy.toFixed(3)}`,
      `parsed ${percent(parseRate)}`,
      `clipped ${percent(policy.clipFraction)}`,
      ...groupsOrCritic(record),
      `${meanTokens.toFixed(0)} tok/rollout`,
    );
    if (sampler !== null) {
      parts.push(
        `${sampler.kind} sampler: gap ${sampler.meanGap.toExponential(1)}, truncated ${
          percent(sampler.truncatedFraction)
        }`,
      );
    }
  }
  parts.push(
    `grad ${record.gradNorm.toFixed(3)}`,
    `${record.tokensPerSecond.toFixed(0)} tok/s`,
    `${formatDuration(secondsLeft)} left`,
  );
  return parts.join(" · ");
}

/** What the advantages are from. */
function groupsOrCritic({ algorithm, equalGroups, groups, critic }: Stage2StepRecord): string[] {
  if (algorithm === "grpo") return [`equal groups ${equalGroups}/${groups}`];
  if (critic === null) return [];
  const { loss, explainedVariance } = critic;
  return [
    `value loss ${loss.toFixed(3)}`,
    ...(explainedVariance === null ? [] : [`explained ${percent(explainedVariance)}`]),
  ];
}

/** One line for an evaluation. */
export function formatEvaluation(name: string, report: EvaluationReport): string {
  const { accuracy, parsedAccuracy, parseRate, examples, sides, unparsable } = report;
  const reasons = listCounts(unparsable);
  return [
    `${name}: accuracy ${withInterval(accuracy)}`,
    `of the parsed ${parsedAccuracy === null ? "none" : withInterval(parsedAccuracy)}`,
    `parsed ${percent(parseRate.value)}`,
    `n ${examples}`,
    `A/B ${sides.A}/${sides.B}`,
    ...(reasons === "" ? [] : [`unparsable: ${reasons}`]),
  ].join(" · ");
}

function withInterval({ value, interval: [low, high] }: Proportion): string {
  return `${percent(value)} [${percent(low)}, ${percent(high)}]`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)}%`;
}

function millions(count: number): string {
  return count >= 1e6 ? `${(count / 1e6).toFixed(1)} M` : `${count}`;
}

/** Seconds as `45 s`, `3 min 20 s` or `2 h 5 min`. */
export function formatDuration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor(whole % 3600 / 60)} min`;
}

/** Where lines are written to, such as `process.stderr`. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Erases a terminal's line from its start. */
const ERASE_LINE = "\r\x1b[2K";

/** Writes a line for each event that has one; on a terminal the last line also shows work that is under way. */
export function progressWriter(stream: ProgressStream): (event: ProgressEvent) => void {
  let pending = false;
  return (event) => {
    const line = formatProgress(event);
    const work = stream.isTTY === true ? formatWork(event) : null;
    const erase = pending ? ERASE_LINE : "";
    if (line !== null) {
      stream.write(`${erase}${line}\n`);
      pending = false;
    } else if (work !== null) {
      stream.write(`${erase}${work.slice(0, (stream.columns ?? 80) - 1)}`);
      pending = true;
    }
  };
}
