/**
 * How a judge of pairs is asked and read.
 *
 * @module
 */
import {
  type Chain,
  FULL_CHAIN,
  type JudgeForm,
  type Protocol,
  PROTOCOLS,
  renderPrompt,
  type Verdict,
  VERDICT_RULES,
  type VerdictOptions,
  type VerdictRule,
} from "../cor/mod.ts";
import type { Message } from "../engine/engine.ts";
import type { JudgeInput } from "./judge.ts";
import { renderRewardBenchPair } from "./rewardbench_prompt.ts";

/** How a judge of pairs is asked: as this project trains judges, or in the words of RewardBench's own scripts. */
export type PairProtocolName = Protocol | "rewardbench";

/** All protocols of pairs. */
export const PAIR_PROTOCOLS: readonly PairProtocolName[] = [...PROTOCOLS, "rewardbench"];

/** Options of {@link pairProtocol}. */
export interface PairProtocolOptions {
  readonly protocol: PairProtocolName;
  /** Default `reasrm`. */
  readonly kind?: JudgeForm["kind"];
  /** Default the published one. */
  readonly chain?: Chain;
  /** By which rule a verdict is read. Default `strict`, for RewardBench's words its own rule. */
  readonly verdicts?: VerdictRule;
}

/** Asks for a verdict on a pair, and reads it. */
export interface PairProtocol {
  /** What tells it from other protocols, for a judge's identity. */
  readonly identity: Readonly<Record<string, unknown>>;
  render(input: JudgeInput): readonly Message[];
  read(text: string, options?: VerdictOptions): Verdict;
}

/** The protocol that options describe. */
export function pairProtocol(options: PairProtocolOptions): PairProtocol {
  const { protocol, kind = "reasrm", chain = FULL_CHAIN } = options;
  const usual = protocol === "rewardbench" ? "rewardbench" : "strict";
  const { verdicts = usual } = options;
  const form = kind === "genrm" ? { kind } : chain.rubrics && chain.taskTypes ? {} : { chain };
  return {
    identity: { protocol, ...form, ...(verdicts !== usual && { verdicts }) },
    render: protocol === "rewardbench"
      ? renderRewardBenchPair
      : (input) => renderPrompt({ protocol, kind, chain }, input),
    read: VERDICT_RULES[verdicts],
  };
}
