/**
 * Refuses to measure on a busy machine.
 *
 * @module
 */
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { BUSY_LIMIT, observeRest, type Rest } from "./machine.ts";

/** Others take too much of the machine. */
export class BusyError extends Error {
  override readonly name = "BusyError";

  /** Made by {@link awaitRest} with what it saw last. */
  constructor(message: string, readonly rest: Rest) {
    super(message);
  }
}

/** Tells {@link awaitRest} how to look and to wait. */
export interface RestOptions {
  readonly evenIfBusy: boolean;
  /** Looks again so often before it gives up. Default 5. */
  readonly attempts?: number;
  /** Milliseconds between two looks. Default 5000. */
  readonly pause?: number;
  /** Default {@link observeRest}. */
  readonly observe?: () => Promise<Rest>;
  /** Default writes to standard error. */
  readonly warn?: (line: string) => void;
}

/**
 * Waits until the machine is at rest.
 *
 * @throws {BusyError} It does not come to rest, and may not be measured on in spite of that.
 */
export async function awaitRest(
  { evenIfBusy, attempts = 5, pause = 5000, observe = observeRest, warn = warnOnStandardError }: RestOptions,
): Promise<Rest> {
  for (let attempt = 1;; attempt++) {
    const rest = await observe();
    if (rest.busyShare <= BUSY_LIMIT) return rest;
    const found = `Others take ${Math.round(100 * rest.busyShare)} % of the machine, expected at most ${
      Math.round(100 * BUSY_LIMIT)
    } %`;
    if (evenIfBusy) {
      warn(`${found}: the figures are not to be trusted`);
      return rest;
    }
    if (attempt >= attempts) throw new BusyError(`${found}; --even-if-busy measures all the same`, rest);
    await setTimeout(pause);
  }
}

function warnOnStandardError(line: string): void {
  process.stderr.write(`WARNING: ${line}\n`);
}
