/**
 * Jobs of the native core as promises and async iterables.
 *
 * @module
 */

import { EngineError, type EngineErrorKind } from "../error.ts";
import { decodeFrame, encodeFrame, type Frame } from "./frame.ts";
import { checkStatus, type NativeSymbols } from "./library.ts";

const PROGRESS = 1;
const FAILED = 3;

let openPolls = 0;
let waitingSince = 0;
let waitedMilliseconds = 0;

/**
 * Seconds in which this process has waited for the core, in any number of jobs at once; a wait that goes on counts
 * when it ends. What else a step takes is the overhead of this side.
 */
export function secondsWaited(): number {
  return waitedMilliseconds / 1000;
}

/** Counts a poll as waiting until it settles. */
async function waiting<T>(poll: Promise<T>): Promise<T> {
  if (openPolls++ === 0) waitingSince = performance.now();
  try {
    return await poll;
  } finally {
    if (--openPolls === 0) waitedMilliseconds += performance.now() - waitingSince;
  }
}

/** One piece of work in the core. */
class Job {
  readonly #symbols: NativeSymbols;
  readonly #id: bigint;
  // The core writes into these while a poll is under way, so nothing else may touch them until it settles.
  readonly #kind = new Uint32Array(1);
  readonly #size = new BigUint64Array(1);
  #poll: Promise<number> | undefined;
  #open = true;

  constructor(symbols: NativeSymbols, request: Frame) {
    const bytes = encodeFrame(request);
    const id = new BigUint64Array(1);
    checkStatus(symbols.rmr1_job_start(bytes, BigInt(bytes.length), id));
    this.#symbols = symbols;
    this.#id = id[0]!;
  }

  /** Waits for the next event. Throws what the job failed with. */
  async next(): Promise<{ readonly last: boolean; readonly frame: Frame }> {
    if (!this.#open) checkStatus(2);
    this.#poll = this.#symbols.rmr1_job_poll(this.#id, this.#kind, this.#size);
    try {
      checkStatus(await waiting(this.#poll));
    } finally {
      this.#poll = undefined;
    }
    if (!this.#open) checkStatus(2);
    const bytes = new Uint8Array(Number(this.#size[0]!));
    checkStatus(this.#symbols.rmr1_job_take(this.#id, bytes, BigInt(bytes.length)));
    const frame = decodeFrame(bytes);
    if (this.#kind[0] === FAILED) {
      throw new EngineError(frame.body["kind"] as EngineErrorKind, frame.body["message"] as string);
    }
    return { last: this.#kind[0] !== PROGRESS, frame };
  }

  cancel(): void {
    if (this.#open) this.#symbols.rmr1_job_cancel(this.#id);
  }

  close(): void {
    if (this.#open) this.#symbols.rmr1_job_close(this.#id);
    this.#open = false;
  }

  /** Resolves when no poll is under way. */
  async idle(): Promise<void> {
    await this.#poll;
  }
}

/** The jobs of one owner, which ends with all of them. */
export class Jobs implements AsyncDisposable {
  readonly #symbols: NativeSymbols;
  readonly #running = new Set<Job>();
  #closed = false;

  /** Runs jobs in this library. */
  constructor(symbols: NativeSymbols) {
    this.#symbols = symbols;
  }

  /**
   * Starts a job when the iteration starts, and ends it when the iteration is left. Yields the events on the way and
   * returns the last one. Aborting the signal ends it with the signal's reason.
   */
  async *stream(request: Frame, signal?: AbortSignal): AsyncGenerator<Frame, Frame, undefined> {
    signal?.throwIfAborted();
    if (this.#closed) checkStatus(2);
    const job = new Job(this.#symbols, request);
    this.#running.add(job);
    const cancel = (): void => job.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      while (true) {
        const { last, frame } = await job.next();
        if (last) return frame;
        yield frame;
      }
    } catch (error) {
      if (error instanceof EngineError && error.kind === "cancelled") signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener("abort", cancel);
      this.#running.delete(job);
      job.close();
    }
  }

  /** Runs a job that has one answer. */
  async call(request: Frame, signal?: AbortSignal): Promise<Frame> {
    const events = this.stream(request, signal);
    while (true) {
      const { done, value } = await events.next();
      if (done === true) return value;
    }
  }

  /** Ends all jobs; whoever waits for one gets an {@link EngineError} of kind `handle`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    const running = [...this.#running];
    for (const job of running) job.close();
    await Promise.all(running.map((job) => job.idle()));
  }
}
