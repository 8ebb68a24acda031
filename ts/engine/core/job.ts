/**
 * Jobs of the core as promises and async iterables.
 *
 * @module
 */

import { EngineError, type EngineErrorKind } from "../error.ts";
import { closedError, type Door, type DoorEvent, EVENT } from "./door.ts";
import { decodeFrame, encodeFrame, type Frame } from "./frame.ts";

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
  readonly #door: Door;
  readonly #id: number;
  #poll: Promise<DoorEvent> | undefined;
  #open = true;

  constructor(door: Door, request: Frame) {
    this.#door = door;
    this.#id = door.start(encodeFrame(request));
  }

  /** Waits for the next event. Throws what the job failed with. */
  async next(): Promise<{ readonly last: boolean; readonly frame: Frame }> {
    if (!this.#open) throw closedError();
    this.#poll = this.#door.next(this.#id);
    let event;
    try {
      event = await waiting(this.#poll);
    } finally {
      this.#poll = undefined;
    }
    const frame = decodeFrame(event.bytes);
    if (event.kind === EVENT.failed) {
      throw new EngineError(frame.body["kind"] as EngineErrorKind, frame.body["message"] as string);
    }
    return { last: event.kind !== EVENT.progress, frame };
  }

  cancel(): void {
    if (this.#open) this.#door.cancel(this.#id);
  }

  close(): void {
    if (this.#open) this.#door.closeJob(this.#id);
    this.#open = false;
  }

  /** Resolves when no poll is under way, however it ends. */
  async idle(): Promise<void> {
    await this.#poll?.catch(() => {});
  }
}

/** The jobs of one owner, which ends with all of them. */
export class Jobs implements AsyncDisposable {
  readonly #door: Door;
  readonly #running = new Set<Job>();
  #closed = false;

  /** Runs jobs behind this door. */
  constructor(door: Door) {
    this.#door = door;
  }

  /**
   * Starts a job when the iteration starts, and ends it when the iteration is left. Yields the events on the way and
   * returns the last one. Aborting the signal ends it with the signal's reason.
   */
  async *stream(request: Frame, signal?: AbortSignal): AsyncGenerator<Frame, Frame, undefined> {
    signal?.throwIfAborted();
    if (this.#closed) throw closedError();
    const job = new Job(this.#door, request);
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
