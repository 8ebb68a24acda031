/**
 * Messages between a thread and the workers that have the core.
 *
 * @module
 */
import { EngineError, type EngineErrorKind } from "../error.ts";

/** A core's code, and its memory, which is shared by all threads that compute in it. */
export interface SharedCore {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
}

/** A worker's first message: what it is to be. */
export type Role =
  | {
    readonly role: "core";
    /** The WebAssembly; null where the worker knows where it is. */
    readonly wasm: BufferSource | null;
    /** Whether the answer to {@link STARTED} is to have the {@link SharedCore}. */
    readonly shares: boolean;
  }
  | { readonly role: "thread"; readonly core: SharedCore };

/** A call: a method of the door, or a piece of a file. */
export interface Call {
  readonly id: number;
  readonly method: string;
  readonly args: readonly unknown[];
}

/** In the place of a call's number: the worker has started, or could not; the core has died. */
export const STARTED = 0, DIED = -1;

/** An error as data. */
export interface SentError {
  readonly kind: EngineErrorKind;
  readonly message: string;
}

/** The answer of a {@link Call}. */
export type Answer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: SentError };

/** One end of the way between both. */
export interface Port {
  post(message: unknown, transfer: readonly ArrayBuffer[]): void;
  onMessage(listener: (message: unknown) => void): void;
}

/** An error as data. What is none of the engine's is a fault. */
export function sendError(error: unknown): SentError {
  if (error instanceof EngineError) return { kind: error.kind, message: error.message };
  return {
    kind: "internal",
    message: error instanceof Error ? `${error.name}: ${error.message}` : String(error),
  };
}

/** The error again. */
export function receiveError({ kind, message }: SentError): EngineError {
  return new EngineError(kind, message);
}

/** The buffers that may be given away with a message: those of the bytes in it. */
export function transferred(values: readonly unknown[]): ArrayBuffer[] {
  return values.flatMap((value) =>
    value instanceof Uint8Array && value.buffer instanceof ArrayBuffer ? [value.buffer] : []
  );
}
