/**
 * What became of a step's rollouts: counts, and the ledger's entries.
 *
 * @module
 */
import { hasSpread } from "../algorithms/mod.ts";
import type { LedgerEntry } from "./ledger.ts";
import { increment, type Stage2StepRecord } from "./records.ts";
import type { RolloutGroup } from "./rollouts.ts";

/** Whether a group's rewards differ. */
export function teaches({ rollouts }: RolloutGroup): boolean {
  return hasSpread(rollouts.map(({ reward }) => reward));
}

/** Counts and means over all rollouts that were sampled. */
export function describeRollouts(
  groups: readonly RolloutGroup[],
): Pick<
  Stage2StepRecord,
  "reward" | "parseRate" | "outcomes" | "finishes" | "meanTokens" | "groups" | "equalGroups" | "distinct"
> {
  const outcomes: { [outcome: string]: number } = {};
  const finishes: { [finish: string]: number } = {};
  let distinct = 0;
  for (const { example, rollouts } of groups) {
    for (const { verdict, finish } of rollouts) {
      increment(finishes, finish);
      if (verdict.kind === "unparsable") increment(outcomes, `unparsable: ${verdict.reason}`);
      else increment(outcomes, verdict.kind === example.pair.gold ? "correct" : "wrong");
    }
    distinct += new Set(rollouts.map(({ response }) => response.join())).size;
  }
  const rollouts = groups.flatMap((group) => group.rollouts);
  const mean = (values: readonly number[]): number =>
    values.reduce((total, value) => total + value, 0) / rollouts.length;
  return {
    reward: mean(rollouts.map(({ reward }) => reward)),
    parseRate: rollouts.filter(({ verdict }) => verdict.kind !== "unparsable").length / rollouts.length,
    outcomes,
    finishes,
    meanTokens: mean(rollouts.map(({ response }) => response.length)),
    groups: groups.length,
    equalGroups: groups.filter((group) => !teaches(group)).length,
    distinct: distinct / rollouts.length,
  };
}

/** An entry for each rollout that was cut short, and for each whose verdict cannot be read. */
export function ledgerOf(groups: readonly RolloutGroup[], step: number): LedgerEntry[] {
  return groups.flatMap(({ example: { pair: { record: { id } } }, rollouts }) =>
    rollouts.flatMap(({ finish, verdict }) => {
      const about = { stage: 2, step, id } as const;
      const entries: LedgerEntry[] = [];
      if (isCut(finish)) entries.push({ ...about, what: "truncated", reason: finish });
      if (verdict.kind === "unparsable") {
        entries.push({ ...about, what: "unparsable", reason: verdict.reason });
      }
      return entries;
    })
  );
}

/** Whether a rollout ended because it had no more room. */
export function isCut(finish: RolloutGroup["rollouts"][number]["finish"]): boolean {
  return finish === "length" || finish === "context";
}
