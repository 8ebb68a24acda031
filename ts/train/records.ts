/**
 * What a run reports: of each step, each evaluation, and of the whole.
 *
 * @module
 */
import type { BradleyTerryMetrics, GapMetrics, PolicyMetrics, ValueMetrics } from "../algorithms/mod.ts";
import type { EvaluationPoint, Stage2Config } from "./config.ts";

/** Numbers of things, by name. */
export interface Counts {
  readonly [name: string]: number;
}

/** Adds one to a count. */
export function increment(counts: { [name: string]: number }, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}

/** Counts as words, the most frequent first. */
export function listCounts(counts: Counts): string {
  return Object.entries(counts).filter(([, count]) => count > 0).sort(([, x], [, y]) => y - x)
    .map(([name, count]) => `${count} ${name}`).join(", ");
}

interface AnyStepRecord {
  /** Steps of this stage that are done. */
  readonly step: number;
  /** Mean over the step's loss tokens as the normaliser has it. */
  readonly loss: number;
  /** Global norm before clipping; 0 where there was no update. */
  readonly gradNorm: number;
  readonly learningRate: number;
  /** Tokens of all forward passes, shared prefixes once. */
  readonly tokens: number;
  /** Tokens that the loss is of. */
  readonly lossTokens: number;
  /** {@link tokens}, and the sampled ones, a second. */
  readonly tokensPerSecond: number;
  /** Of the step. */
  readonly wallSeconds: number;
  /** Ids of the records trained on, in order. */
  readonly ids: readonly string[];
}

/** A step of distillation. */
export interface Stage1StepRecord extends AnyStepRecord {
  readonly stage: 1;
  /** Of a `scalarrm`, on the step's pairs before its update; its loss tokens are the scored ones. */
  readonly preference?: BradleyTerryMetrics;
}

/** A sampler whose arithmetic is not the trainer's. */
export interface SamplerReport extends GapMetrics {
  readonly kind: Stage2Config["sampler"];
}

/** A critic's part of a step. */
export interface CriticReport extends ValueMetrics {
  /** Mean over its updates. */
  readonly loss: number;
  /** Mean over its updates; with a shared trunk that of both losses. */
  readonly gradNorm: number;
  /** 1 − Var(return − value) / Var(return) before the updates; null where all returns are equal. */
  readonly explainedVariance: number | null;
}

/** A step of reinforcement. */
export interface Stage2StepRecord extends AnyStepRecord {
  readonly stage: 2;
  readonly algorithm: Stage2Config["algorithm"];
  /** Mean over the rollouts. */
  readonly reward: number;
  /** Share of rollouts with a verdict that can be read. */
  readonly parseRate: number;
  /** Mean entropy of the response tokens' distributions under the policy, at its first pass over them, in nats. */
  readonly entropy: number;
  /** Rollouts by what became of them: "correct", "wrong", or "unparsable: REASON". */
  readonly outcomes: Counts;
  /** Rollouts by how they ended; "length" and "context" are cut short. */
  readonly finishes: Counts;
  /** Mean tokens of a rollout. */
  readonly meanTokens: number;
  readonly groups: number;
  /** Groups whose rewards are all equal. */
  readonly equalGroups: number;
  /** Those of them that were left out of the loss. */
  readonly skippedGroups: number;
  /** Share of rollouts whose tokens no earlier one of their group has. */
  readonly distinct: number;
  /** Optimiser steps. */
  readonly updates: number;
  /** Largest |ρ − 1| to the policy that sampled, before the first update: on an exact engine 0, or the step fails. */
  readonly onPolicyRatioGap: number;
  /** How far the sampler was from the policy; null where it was the policy bit for bit. */
  readonly sampler: SamplerReport | null;
  /** Over all updates. */
  readonly policy: PolicyMetrics;
  /** Null without one. */
  readonly critic: CriticReport | null;
}

/** A training step. */
export type StepRecord = Stage1StepRecord | Stage2StepRecord;

/** A share with its interval. */
export interface Proportion {
  readonly value: number;
  /** 95 % Wilson score interval. */
  readonly interval: readonly [low: number, high: number];
}

/** How a model judges held-out pairs. */
export interface EvaluationReport {
  readonly examples: number;
  /** Verdicts for the better answer. */
  readonly correct: number;
  /** Verdicts that can be read. */
  readonly parsed: number;
  /** Of all examples: what cannot be read counts as wrong. */
  readonly accuracy: Proportion;
  /** Of the parsed; null where none is. */
  readonly parsedAccuracy: Proportion | null;
  readonly parseRate: Proportion;
  /** Verdicts by side; with as many better answers on each side, a lean to one shows. */
  readonly sides: { readonly A: number; readonly B: number };
  /** What holds no verdict, by reason. */
  readonly unparsable: Counts;
  /** Judgements by how they ended. */
  readonly finishes: Counts;
  /** Generated tokens. */
  readonly tokens: number;
  readonly wallSeconds: number;
}

/** What a run came to. */
export interface TrainResult {
  /** Strict accuracy on held-out pairs, what cannot be read counted as wrong; null where it was not evaluated. */
  readonly accuracy: { readonly [point in EvaluationPoint]: number | null };
  /** Over all sessions of the run. */
  readonly seconds: number;
  readonly evaluations: { readonly [point in EvaluationPoint]: EvaluationReport | null };
  /** Optimisation steps of each stage over the whole run, not of this session alone; null for a stage left out. */
  readonly steps: { readonly stage1: number | null; readonly stage2: number | null };
  readonly runDirectory: string;
  /** Folder of the trained model. */
  readonly model: string;
  /** The run had already finished: nothing was trained now. */
  readonly alreadyFinished: boolean;
}
