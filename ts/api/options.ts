/**
 * What options may be: whoever calls from JavaScript is not held to types.
 *
 * @module
 */
import { VERDICT_RULES } from "../cor/verdict.ts";
import { API_NAMES } from "../endpoint/api_name.ts";
import { INFERENCE_PRECISIONS } from "../engine/engine.ts";
import { JUDGE_PROTOCOLS } from "../judge/judge_card.ts";
import type { OpenOptions } from "./judge.ts";

type Holds = (value: unknown) => boolean;

const isWhole = (least: number): Holds => (value) => Number.isSafeInteger(value) && value as number >= least;
const isOneOf = (names: readonly string[]): Holds => (value) => names.includes(value as string);
const listed = (names: readonly string[]): string => `one of ${names.join(", ")}`;

/**
 * Refuses options of {@link Judge.open} that are none.
 *
 * @throws {RangeError} It names the option, its value and what was expected.
 */
export function checkOpenOptions(options: OpenOptions): void {
  const rules = Object.keys(VERDICT_RULES);
  const checks: [name: string, value: unknown, holds: Holds, expected: string][] = [
    ["api", options.api, isOneOf(API_NAMES), listed(API_NAMES)],
    ["protocol", options.protocol, isOneOf(JUDGE_PROTOCOLS), listed(JUDGE_PROTOCOLS)],
    ["verdicts", options.verdicts, isOneOf(rules), listed(rules)],
    ["maxNewTokens", options.maxNewTokens, isWhole(1), "a whole number above 0"],
    [
      "temperature",
      options.temperature,
      (value) => Number.isFinite(value) && value as number >= 0,
      "a number from 0 on",
    ],
    ["seed", options.seed, isWhole(0), "a whole number from 0 on"],
    ["precision", options.precision, isOneOf(INFERENCE_PRECISIONS), listed(INFERENCE_PRECISIONS)],
    ["core.threads", options.core?.threads, isWhole(1), "a whole number above 0"],
    ["core.kvBytes", options.core?.kvBytes, isWhole(1), "a whole number above 0"],
  ];
  for (const [name, value, holds, expected] of checks) {
    if (value !== undefined && !holds(value)) {
      throw new RangeError(`Option ${name} is "${value}", expected ${expected}`);
    }
  }
}
