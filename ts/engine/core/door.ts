/**
 * What stands between an engine and the core: it moves requests in and events out.
 *
 * @module
 */
import { EngineError } from "../error.ts";

/** Kinds of events. */
export const EVENT = { end: 0, progress: 1, done: 2, failed: 3 } as const;

/** What a job tells: a frame, as bytes that start their buffer. */
export interface DoorEvent {
  /** One of {@link EVENT}. */
  readonly kind: number;
  /** An encoded frame. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Options of {@link CoreFiles.write}. */
export interface WriteOptions {
  /** The SHA-256 that the file must have, in hexadecimal. */
  readonly sha256?: string;
  /** Ends the writing. */
  readonly signal?: AbortSignal;
}

/** Files in the core's own memory. */
export interface CoreFiles {
  /**
   * Streams a file in, without a second copy of it outside of the core. Where that fails nothing of it stays, and the
   * stream is cancelled.
   *
   * @param path its name in the core; one that is being written by this name is given up
   * @param size in bytes
   * @throws {EngineError} There is no memory for it, the stream has another size, or the hash is another.
   * @throws The signal's reason.
   */
  write(
    path: string,
    size: number,
    stream: ReadableStream<Uint8Array>,
    options?: WriteOptions,
  ): Promise<void>;
  /** Names of the files below a folder. */
  list(folder: string): Promise<string[]>;
  /** A copy of a file. */
  read(path: string): Promise<Uint8Array<ArrayBuffer>>;
  /** Removes a file, or a folder with all that it holds. */
  remove(path: string): Promise<void>;
}

/** A way to the core. Jobs and handles are numbers that the core gives out. */
export interface Door {
  /** Which core this is and why it was taken, in words. */
  readonly about: string;
  /** Files that the core reads in place of the system's; null where it reads those. */
  readonly files: CoreFiles | null;
  /** It has died or was ended: whatever is asked of it fails. */
  readonly isEnded: boolean;
  /** Starts a job by an encoded frame. */
  start(request: Uint8Array<ArrayBuffer>): number;
  /** Waits for the job's next event and takes it. */
  next(job: number): Promise<DoorEvent>;
  /** Ends the job with an error of kind `cancelled`. */
  cancel(job: number): void;
  /** Ends the job and wakes who waits for it, with an error of kind `handle`. */
  closeJob(job: number): void;
  /** Frees a model or a tape as soon as no job uses it. */
  closeHandle(handle: number): void;
}

/** A door with a core of its own. */
export interface OwnDoor extends Door {
  /** Ends the core and frees all its memory. Whatever is open fails. */
  terminate(): void;
}

/** Version of what all doors speak; the same number is in the core. */
export const ABI_VERSION = 4;

/** The error of something that has been closed. */
export function closedError(): EngineError {
  return new EngineError("handle", "The engine, or what was asked of it, has been closed");
}
