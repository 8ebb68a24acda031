/**
 * Opens the judge that a command line names.
 *
 * @module
 */
import { PROTOCOLS } from "../cor/mod.ts";
import type { Engine, NativeOptions } from "../engine/mod.ts";
import { type Judge, JUDGE_SPECS, openJudge } from "../judge/mod.ts";
import { resolveModel } from "../models/mod.ts";
import { ENGINE_OPTIONS, openFrozen } from "./engine.ts";
import {
  anyNumber,
  anyText,
  defaulted,
  oneOf,
  optional,
  required,
  type Values,
  wholeNumber,
} from "./parser.ts";

/** Options of every command that opens a judge. */
export const JUDGE_OPTIONS = {
  judge: required("--judge", anyText("JUDGE"), `A model's name, or ${JUDGE_SPECS.join(", ")}`),
  protocol: optional(
    "--protocol",
    oneOf(PROTOCOLS),
    "How a model is asked; in place of what its rmr1.json says",
  ),
  maxNewTokens: defaulted("--max-new-tokens", wholeNumber({ min: 1 }), 8192, "Most tokens of a judgement"),
  temperature: defaulted("--temperature", anyNumber({ min: 0 }), 0, "0 takes the most likely token"),
  seed: defaulted("--seed", wholeNumber({ min: 0, max: 2 ** 32 - 1 }), 0, "Of every random choice"),
  ...ENGINE_OPTIONS,
};

/**
 * Options of {@link openNamedJudge}: the command line's, the most judgements generated at once, and who is told of
 * their memory.
 */
export type JudgeChoice =
  & Values<typeof JUDGE_OPTIONS>
  & Pick<NativeOptions, "onSummary">
  & { readonly maxConcurrent?: number };

/** Opens a judge. `wrap` may stand between it and its model. */
export async function openNamedJudge(
  { judge, protocol, threads, precision, device, arithmetic, onSummary, ...options }: JudgeChoice,
  wrap: (engine: Engine) => Engine = (engine) => engine,
): Promise<Judge> {
  const computing = { threads, precision, device, arithmetic, ...(onSummary !== undefined && { onSummary }) };
  return await openJudge(judge.startsWith("baseline:") ? judge : await resolveModel(judge), {
    ...options,
    ...(protocol !== undefined && { protocol }),
    openEngine: async (path) => wrap(await openFrozen(path, computing)),
  });
}
