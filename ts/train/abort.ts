/**
 * Telling an interruption from a failure.
 *
 * @module
 */
import { EngineError } from "../engine/mod.ts";

/** Whether an error says no more than that the signal stopped the work. */
export function isAbort(error: unknown, signal: AbortSignal | undefined): boolean {
  if (signal?.aborted !== true) return false;
  return error === signal.reason || (error instanceof EngineError && error.kind === "cancelled");
}
