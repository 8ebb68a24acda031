/**
 * How many threads the core in WebAssembly takes.
 *
 * @module
 */
import { EngineError } from "../error.ts";

/** How a core in WebAssembly is opened. */
export interface WasmOptions {
  /**
   * Threads that compute, 1 to 255. Default: as many as the machine has processors, up to 8. In a browser more than one
   * need a page that is cross-origin isolated; elsewhere in browsers there is one. Results do not depend on it.
   */
  readonly threads?: number;
}

/** As many as rayon has in a pool on 32 bits. */
const MOST = 255;
/** What is taken unasked: each thread has a worker with its code and a stack. */
const MOST_UNASKED = 8;

/**
 * The number of threads.
 *
 * @throws {EngineError} What was asked for is no such number.
 */
export function threadCount({ threads }: WasmOptions, processors: number): number {
  if (threads === undefined) return Math.max(1, Math.min(processors, MOST_UNASKED));
  if (!Number.isSafeInteger(threads) || threads < 1 || threads > MOST) {
    throw new EngineError(
      "input",
      `Option threads is "${threads}", expected a whole number from 1 to ${MOST}`,
    );
  }
  return threads;
}
