/**
 * What kind of judge is asked, and for what.
 *
 * @module
 */
import type { Protocol } from "./prompts.ts";

/**
 * The kinds of reward model that RM-R1 compares (Chen et al. 2025, arXiv:2505.02387, section 4.1).
 *
 * - `reasrm`: writes a chain of rubrics, then its verdict.
 * - `genrm`: writes its verdict and nothing else.
 * - `scalarrm`: writes nothing; a score head rates each answer alone.
 */
export type JudgeKind = "reasrm" | "genrm" | "scalarrm";

/** Every {@link JudgeKind}. */
export const JUDGE_KINDS: readonly JudgeKind[] = ["reasrm", "genrm", "scalarrm"];

/** Parts of the chain that the paper's ablation takes away (section 5.1). */
export interface Chain {
  /** Whether criteria are written before the evaluation. */
  readonly rubrics: boolean;
  /** Whether a task is first typed as Reasoning, which is solved, or Chat, which gets a rubric. */
  readonly taskTypes: boolean;
}

/** The chain as published. */
export const FULL_CHAIN: Chain = { rubrics: true, taskTypes: true };

/** How a judge that writes is asked. */
export interface JudgeForm {
  readonly protocol: Protocol;
  readonly kind: Exclude<JudgeKind, "scalarrm">;
  readonly chain: Chain;
}

/** The form of a judge that was trained, or is asked, as published. */
export function publishedForm(protocol: Protocol): JudgeForm {
  return { protocol, kind: "reasrm", chain: FULL_CHAIN };
}

/** Why a form cannot be; null where it can. */
export function formFault({ protocol, kind, chain }: JudgeForm): string | null {
  if (protocol === "reasoning" && (kind === "genrm" || !chain.rubrics || !chain.taskTypes)) {
    return 'protocol "reasoning" names no rubrics or types that could be left out, and its models reason in any case';
  }
  return null;
}
