/**
 * What the updates of a step come to.
 *
 * @module
 */
import {
  addPolicyTotals,
  addValueTotals,
  NO_POLICY_TOTALS,
  NO_VALUE_TOTALS,
  policyMetrics,
  valueMetrics,
} from "../algorithms/mod.ts";
import type { Stage2Config } from "./config.ts";
import type { CriticUpdate } from "./critic.ts";
import type { UpdateReport } from "./policy_update.ts";
import type { RatedGroup, RatedRollout } from "./rating.ts";
import type { CriticReport, Stage2StepRecord } from "./records.ts";

/** Sums over the updates of a step. */
export class Updates {
  readonly #rated: readonly RatedGroup[];
  #loss = 0;
  #gradNorm = 0;
  #entropy = 0;
  #firstPassTokens = 0;
  #onPolicyRatioGap = 0;
  #policy = NO_POLICY_TOTALS;
  #value = NO_VALUE_TOTALS;
  #valueLoss = 0;
  #valueUpdates = 0;
  #criticGradNorm = 0;
  readonly #critic: Stage2Config["critic"];
  /** Of the policy. */
  count = 0;
  /** Of all forward passes. */
  tokens = 0;

  /** Whether anything has been updated. */
  get begun(): boolean {
    return this.count > 0 || this.#valueUpdates > 0;
  }

  constructor({ critic }: Stage2Config, rated: readonly RatedGroup[]) {
    this.#critic = critic;
    this.#rated = rated;
  }

  add(update: UpdateReport, epoch: number): void {
    if (this.count === 0) this.#onPolicyRatioGap = update.totals.ratioGap;
    this.count++;
    this.#loss += update.loss;
    this.#gradNorm += update.gradNorm;
    this.#policy = addPolicyTotals(this.#policy, update.totals);
    this.tokens += update.tokens;
    if (epoch === 0) {
      this.#entropy += update.entropy;
      this.#firstPassTokens += update.totals.tokens;
    }
    if (this.#critic?.trunk === "shared") {
      this.addCritic({ ...update.value, gradNorm: update.gradNorm, tokens: 0 });
    }
  }

  addCritic({ loss, gradNorm, totals, tokens }: CriticUpdate): void {
    this.#valueUpdates++;
    this.#valueLoss += loss;
    this.#criticGradNorm += gradNorm;
    this.#value = addValueTotals(this.#value, totals);
    this.tokens += tokens;
  }

  report(): Pick<
    Stage2StepRecord,
    | "loss"
    | "gradNorm"
    | "tokens"
    | "lossTokens"
    | "entropy"
    | "updates"
    | "onPolicyRatioGap"
    | "policy"
    | "critic"
  > {
    const mean = (sum: number, count: number): number => count === 0 ? 0 : sum / count;
    return {
      loss: mean(this.#loss, this.count),
      gradNorm: mean(this.#gradNorm, this.count),
      tokens: this.tokens,
      lossTokens: this.#policy.tokens,
      entropy: mean(this.#entropy, this.#firstPassTokens),
      updates: this.count,
      onPolicyRatioGap: this.#onPolicyRatioGap,
      policy: policyMetrics(this.#policy),
      critic: this.#critic === null ? null : this.#criticReport(),
    };
  }

  #criticReport(): CriticReport {
    return {
      loss: this.#valueUpdates === 0 ? 0 : this.#valueLoss / this.#valueUpdates,
      gradNorm: this.#valueUpdates === 0 ? 0 : this.#criticGradNorm / this.#valueUpdates,
      explainedVariance: explainedVariance(this.#rated.flatMap(({ rollouts }) => rollouts)),
      ...valueMetrics(this.#value),
    };
  }
}

/** 1 − Var(return − value) / Var(return) over the tokens of a step, before its updates; null where all returns are equal. */
function explainedVariance(rollouts: readonly RatedRollout[]): number | null {
  const returns = rollouts.flatMap(({ returns = [] }) => Array.from(returns));
  const errors = rollouts.flatMap(({ returns = [], oldValues = [] }) =>
    Array.from(returns, (value, t) => value - oldValues[t]!)
  );
  const spread = variance(returns);
  return spread === 0 ? null : 1 - variance(errors) / spread;
}

function variance(values: readonly number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
}
