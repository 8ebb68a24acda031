/**
 * Calls, tokens and money as text.
 *
 * @module
 */
import type { Amount } from "../endpoint/mod.ts";

/** A number of tokens in at most five characters. */
export function count(tokens: number): string {
  if (tokens < 10_000) return String(tokens);
  return tokens < 1e6 ? `${(tokens / 1e3).toFixed(0)} k` : `${(tokens / 1e6).toFixed(1)} M`;
}

/** A cost, in the currency of the prices. */
export function money(cost: number): string {
  return cost >= 1 || cost === 0 ? cost.toFixed(2) : cost.toPrecision(2);
}

/** What was or may be taken. */
export function describeAmount({ calls, tokens, cost }: Amount): string {
  return `${calls} calls, ${count(tokens)} tokens, ${cost === null ? "cost unknown" : `cost ${money(cost)}`}`;
}
