/**
 * The figures of a step that are drawn.
 *
 * @module
 */
import type { Counts, Figure, StageNumber, Step } from "./records.ts";

/** A figure of each step of a stage. */
export interface Metric {
  readonly title: string;
  /** What it is measured in; "" for a bare number. */
  readonly unit: string;
  readonly stages: readonly StageNumber[];
  /** What there is to know for reading it. */
  readonly meaning: string;
  /** Whether it is a share of 1, shown in per cent. */
  readonly isShare?: boolean;
  /** Whether it has no noise. */
  readonly isExact?: boolean;
  readonly of: (step: Step) => Figure;
}

const BOTH: readonly StageNumber[] = [1, 2];
const FIRST: readonly StageNumber[] = [1];
const SECOND: readonly StageNumber[] = [2];

/** All figures, in the order in which they are shown. */
export const METRICS: readonly Metric[] = [
  {
    title: "Reward",
    unit: "",
    stages: SECOND,
    meaning: "Mean over the step's rollouts",
    of: ({ reward }) => reward,
  },
  {
    title: "Accuracy of rollouts",
    unit: "%",
    stages: SECOND,
    meaning: "Share of the step's rollouts whose verdict is for the better answer, sampled on training pairs",
    isShare: true,
    of: ({ outcomes }) => shareOf(outcomes, (outcome) => outcome === "correct"),
  },
  {
    title: "Parse rate",
    unit: "%",
    stages: SECOND,
    meaning: "Share of rollouts with a verdict that can be read",
    isShare: true,
    of: ({ parseRate }) => parseRate,
  },
  {
    title: "KL",
    unit: "nats per token",
    stages: SECOND,
    meaning: "k3 estimate of the distance from the reference; 0 throughout where there is no reference model",
    of: ofUpdates(({ policy }) => policy?.meanKl),
  },
  {
    title: "Entropy",
    unit: "nats",
    stages: SECOND,
    meaning: "Mean over the response tokens' distributions",
    of: ofUpdates(({ entropy }) => entropy),
  },
  {
    title: "Response length",
    unit: "tokens",
    stages: SECOND,
    meaning: "Mean over the rollouts",
    of: ({ meanTokens }) => meanTokens,
  },
  {
    title: "Loss",
    unit: "",
    stages: BOTH,
    meaning: "As the stage's normaliser has it",
    of: ofUpdates(({ loss }) => loss),
  },
  {
    title: "Gradient norm",
    unit: "",
    stages: BOTH,
    meaning: "Global, before clipping; 0 where there was no update",
    of: ({ gradNorm }) => gradNorm,
  },
  {
    title: "Learning rate",
    unit: "",
    stages: BOTH,
    meaning: "Of the policy's optimizer",
    isExact: true,
    of: ({ learningRate }) => learningRate,
  },
  {
    title: "Speed",
    unit: "tokens/s",
    stages: BOTH,
    meaning: "Tokens of all forward passes and sampled ones",
    of: ({ tokensPerSecond }) => tokensPerSecond,
  },
  {
    title: "Pairs in order",
    unit: "%",
    stages: FIRST,
    meaning: "Share of the step's pairs whose better answer scores higher, before the update",
    isShare: true,
    of: ({ preference }) => preference?.accuracy,
  },
  {
    title: "Lead of the better answer",
    unit: "",
    stages: FIRST,
    meaning: "Mean difference of a pair's scores",
    of: ({ preference }) => preference?.meanLead,
  },
  {
    title: "Clipped",
    unit: "%",
    stages: SECOND,
    meaning: "Share of tokens whose ratio a bound cut off",
    isShare: true,
    of: ofUpdates(({ policy }) => policy?.clipFraction),
  },
  {
    title: "Groups of equal rewards",
    unit: "%",
    stages: SECOND,
    meaning: "Share of groups that teach nothing",
    isShare: true,
    of: ({ equalGroups, groups, critic }) => critic == null ? ratio(equalGroups, groups) : null,
  },
  {
    title: "Distinct rollouts",
    unit: "%",
    stages: SECOND,
    meaning: "Share of rollouts whose tokens no earlier one of their group has",
    isShare: true,
    of: ({ distinct, critic }) => critic == null ? distinct : null,
  },
  {
    title: "Sampler's gap",
    unit: "nats per token",
    stages: SECOND,
    meaning: "Mean absolute difference of the sampler's log-probabilities from the policy's",
    of: ({ sampler }) => sampler?.meanGap,
  },
  {
    title: "Critic's loss",
    unit: "",
    stages: SECOND,
    meaning: "Mean over its updates",
    of: ({ critic }) => critic?.loss,
  },
  {
    title: "Critic's explained variance",
    unit: "",
    stages: SECOND,
    meaning: "1 − Var(return − value) / Var(return), before the updates",
    of: ({ critic }) => critic?.explainedVariance,
  },
];

/** A figure that there is only where the policy was updated: not while a critic warms up, nor of groups that teach nothing. */
function ofUpdates(of: Metric["of"]): Metric["of"] {
  return (step) => step.updates === 0 ? null : of(step);
}

function shareOf(counts: Counts | null | undefined, counted: (name: string) => boolean): number | null {
  const entries = Object.entries(counts ?? {});
  const sum = (chosen: typeof entries): number => chosen.reduce((total, [, count]) => total + count, 0);
  return ratio(sum(entries.filter(([name]) => counted(name))), sum(entries));
}

function ratio(part: Figure, whole: Figure): number | null {
  return typeof part === "number" && typeof whole === "number" && whole > 0 ? part / whole : null;
}
