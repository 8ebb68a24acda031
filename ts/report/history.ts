/**
 * What a journal amounts to: the stages, the evaluations, the sessions, and what went wrong.
 *
 * @module
 */
import type { Counts, Evaluation, JournalLine, Point, RunRecords, StageNumber, Step } from "./records.ts";

/** An evaluation on validation pairs after a step. */
export interface StepEvaluation {
  readonly step: number;
  readonly report: Evaluation;
}

/** A stage as far as it has come. */
export interface StageHistory {
  readonly stage: StageNumber;
  readonly planned: number;
  readonly examples: number;
  readonly leftOut: Counts;
  /** Those that count, in order: what a session did again, or went back behind, only as it was done last. */
  readonly steps: readonly Step[];
  readonly evaluations: readonly StepEvaluation[];
  /** The step whose weights it ended with, where that is not the last one. */
  readonly chosen: number | null;
}

/**
 * How a process's part of a run ended.
 *
 * - `finished`: the run came to its end.
 * - `interrupted`: it was told to stop, and saved what it had.
 * - `broken-off`: no more was heard of it; it was killed, or failed.
 * - `running`: more may be heard of it.
 */
export type SessionEnd = "finished" | "interrupted" | "broken-off" | "running";

/** A process's part of a run. */
export interface Session {
  readonly began: string;
  readonly seconds: number;
  readonly code: string;
  readonly backend: string;
  readonly end: SessionEnd;
  /** The last step that it did; null where it did none. */
  readonly last: { readonly stage: StageNumber; readonly step: number } | null;
  /** Steps that it did again. */
  readonly repeated: number;
}

/** A warning, and when it was given. */
export interface Warning {
  readonly time: string;
  readonly message: string;
}

/** A run's state. */
export type RunState = "running" | "interrupted" | "finished";

/** What a journal amounts to. */
export interface History {
  readonly state: RunState;
  /** In order; a stage that has not begun is not there. */
  readonly stages: readonly StageHistory[];
  /** On held-out pairs. */
  readonly evaluations: { readonly [point in Point]?: Evaluation };
  readonly sessions: readonly Session[];
  /** In order, each message once. */
  readonly warnings: readonly Warning[];
  /** What the loaders left out, by reason. */
  readonly leftOut: Counts;
  /** Records to train on and held-out pairs; null before they are loaded. */
  readonly data: { readonly train: number; readonly evaluation: number } | null;
  /** Over all sessions. */
  readonly seconds: number;
  /** When the journal was last written to; null where it is empty. */
  readonly lastActivity: string | null;
}

interface OpenStage extends Omit<StageHistory, "steps" | "evaluations"> {
  steps: Map<number, Step>;
  evaluations: Map<number, StepEvaluation>;
  chosen: number | null;
}

/** Goes through a journal. `now` decides whether a run that says nothing of its end is still running. */
export function historyOf(
  { journal, finished }: Pick<RunRecords, "journal" | "finished">,
  now: Date,
): History {
  const stages = new Map<StageNumber, OpenStage>();
  const evaluations: { [point in Point]?: Evaluation } = {};
  const warnings = new Map<string, Warning>();
  let leftOut: Counts = {};
  let data: History["data"] = null;
  for (const line of journal) {
    switch (line.type) {
      case "data":
        leftOut = line.leftOut;
        data = { train: line.train, evaluation: line.evaluation };
        break;
      case "stage":
        stages.set(line.stage, reopened(stages.get(line.stage), line));
        break;
      case "step":
        stages.get(line.stage)?.steps.set(line.step, line);
        break;
      case "evaluation":
        if (line.at === "step") stages.get(line.stage)?.evaluations.set(line.step, line);
        else evaluations[line.at] ??= line.report;
        break;
      case "chosen": {
        const stage = stages.get(line.stage);
        if (stage !== undefined) stage.chosen = line.step;
        break;
      }
      case "warning":
        if (!warnings.has(line.message)) warnings.set(line.message, line);
        break;
    }
  }
  const running = !finished && isRecent(journal, now);
  const sessions = sessionsOf(journal, finished, running);
  return {
    state: finished ? "finished" : sessions.at(-1)?.end === "running" ? "running" : "interrupted",
    stages: [...stages.values()].sort((x, y) => x.stage - y.stage).map((each) => ({
      ...each,
      steps: inOrder(each.steps),
      evaluations: inOrder(each.evaluations),
    })),
    evaluations,
    sessions,
    warnings: [...warnings.values()],
    leftOut,
    data,
    seconds: sessions.reduce((total, { seconds }) => total + seconds, 0),
    lastActivity: journal.at(-1)?.time ?? null,
  };
}

/** A stage that begins, or goes on behind a step: what was done after that counts no longer. */
function reopened(
  before: OpenStage | undefined,
  line: Extract<JournalLine, { readonly type: "stage" }>,
): OpenStage {
  const kept = <T>(all: Map<number, T> | undefined): Map<number, T> =>
    new Map([...all ?? []].filter(([step]) => step <= line.from));
  const { stage, steps: planned, examples, leftOut } = line;
  return {
    stage,
    planned,
    examples,
    leftOut,
    steps: kept(before?.steps),
    evaluations: kept(before?.evaluations),
    chosen: null,
  };
}

function inOrder<T extends { readonly step: number }>(all: Map<number, T>): T[] {
  return [...all.values()].sort((x, y) => x.step - y.step);
}

function sessionsOf(journal: readonly JournalLine[], finished: boolean, running: boolean): Session[] {
  const begins = journal.flatMap(({ type }, index) => type === "start" || type === "resume" ? [index] : []);
  const furthest = new Map<StageNumber, number>();
  return begins.map((begin, index) => {
    const isLast = index === begins.length - 1;
    const lines = journal.slice(begin, begins[index + 1]);
    let last: Session["last"] = null;
    let repeated = 0;
    for (const line of lines) {
      if (line.type !== "step") continue;
      const before = furthest.get(line.stage) ?? 0;
      if (line.step <= before) repeated++;
      furthest.set(line.stage, Math.max(before, line.step));
      last = { stage: line.stage, step: line.step };
    }
    const first = lines[0] as Extract<JournalLine, { readonly code: string }>;
    return {
      began: first.time,
      seconds: Math.max(...lines.map(({ seconds }) => seconds)),
      code: first.code,
      backend: first.backend,
      end: lines.some(({ type }) => type === "interrupted")
        ? "interrupted"
        : !isLast
        ? "broken-off"
        : finished
        ? "finished"
        : running
        ? "running"
        : "broken-off",
      last,
      repeated,
    };
  });
}

/** A shorter silence, in milliseconds, says nothing. */
const PATIENCE = 10 * 60_000;

/**
 * Whether a journal was written to not long ago: within ten minutes, or within three times the longest silence that
 * it has had between two lines of a session. A process that died a moment ago cannot be told from one that works.
 */
function isRecent(journal: readonly JournalLine[], now: Date): boolean {
  const last = journal.at(-1);
  if (last === undefined) return false;
  let longest = 0;
  journal.forEach((line, index) => {
    const before = journal[index - 1];
    if (before === undefined || line.seconds < before.seconds) return;
    longest = Math.max(longest, 1000 * (line.seconds - before.seconds));
  });
  return now.getTime() - Date.parse(last.time) <= Math.max(PATIENCE, 3 * longest);
}
