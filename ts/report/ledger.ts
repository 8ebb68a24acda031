/**
 * What was left out, cut short, or could not be read, counted by reason.
 *
 * @module
 */
import type { History, StageHistory } from "./history.ts";
import type { Counts, LedgerLine, StageNumber, Step } from "./records.ts";

/** A count of the ledger. */
export interface LedgerCount {
  /** null for what no stage was given. */
  readonly stage: StageNumber | null;
  readonly what: string;
  readonly reason: string;
  readonly count: number;
  /** How many examples these are of; null where only counts are known. */
  readonly examples: number | null;
}

/** The most frequent first within a stage; from the ledger, or without one from the journal's own counts. */
export function countLedger(ledger: readonly LedgerLine[] | null, history: History): LedgerCount[] {
  const counted = ledger === null ? fromJournal(history) : fromLedger(ledger, history.stages);
  return counted.filter(({ count }) => count > 0).sort((x, y) =>
    (x.stage ?? 0) - (y.stage ?? 0) || y.count - x.count
  );
}

function fromLedger(ledger: readonly LedgerLine[], stages: readonly StageHistory[]): LedgerCount[] {
  const groups = Map.groupBy(
    standing(ledger, stages),
    ({ stage, what, reason }) => JSON.stringify([stage, what, reason]),
  );
  return [...groups.values()].map((lines) => {
    const { stage, what, reason } = lines[0]!;
    return { stage, what, reason, count: lines.length, examples: new Set(lines.map(({ id }) => id)).size };
  });
}

/**
 * The lines that count. A session that goes on behind a checkpoint writes the lines of a step again, so that of each
 * step only the last ones stand, as many as its record says; of a step that is not in the journal none do.
 */
function standing(ledger: readonly LedgerLine[], stages: readonly StageHistory[]): LedgerLine[] {
  const before = ledger.filter(({ step }) => step === null);
  const ofSteps = Map.groupBy(
    ledger.filter(({ step }) => step !== null),
    ({ stage, step }) => `${stage} ${step}`,
  );
  const steps = stages.flatMap((stage) => stage.steps);
  return [
    ...before,
    ...steps.flatMap((step) => {
      const lines = ofSteps.get(`${step.stage} ${step.step}`) ?? [];
      const written = total(Object.values(cutShort(step))) + total(Object.values(unparsable(step)));
      return written === 0 ? [] : lines.slice(-written);
    }),
  ];
}

function fromJournal({ leftOut, stages }: History): LedgerCount[] {
  const listed = (stage: StageNumber | null, what: string, counts: Counts): LedgerCount[] =>
    Object.entries(counts).map(([reason, count]) => ({ stage, what, reason, count, examples: null }));
  return [
    ...listed(null, "filtered", leftOut),
    ...stages.flatMap(({ stage, leftOut, steps }) => [
      ...listed(stage, "filtered", leftOut),
      ...listed(stage, "truncated", sum(steps.map(cutShort))),
      ...listed(stage, "unparsable", sum(steps.map(unparsable))),
    ]),
  ];
}

const CUT: ReadonlySet<string> = new Set(["length", "context"]);
const UNPARSABLE = "unparsable: ";

function cutShort({ finishes }: Step): Counts {
  return Object.fromEntries(Object.entries(finishes ?? {}).filter(([finish]) => CUT.has(finish)));
}

function unparsable({ outcomes }: Step): Counts {
  return Object.fromEntries(
    Object.entries(outcomes ?? {}).filter(([outcome]) => outcome.startsWith(UNPARSABLE)).map((
      [outcome, count],
    ) => [outcome.slice(UNPARSABLE.length), count]),
  );
}

/** Counts of the rollouts by what became of them, over all steps. */
export function rolloutOutcomes({ stages }: History): Counts {
  return sum(stages.flatMap(({ steps }) => steps.map(({ outcomes }) => outcomes ?? {})));
}

function sum(all: readonly Counts[]): Counts {
  const summed = new Map<string, number>();
  for (const counts of all) {
    for (const [name, count] of Object.entries(counts)) summed.set(name, (summed.get(name) ?? 0) + count);
  }
  return Object.fromEntries(summed);
}

function total(values: readonly number[]): number {
  return values.reduce((x, y) => x + y, 0);
}
