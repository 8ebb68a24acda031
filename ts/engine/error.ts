/**
 * What went wrong, in the classes that a caller would treat differently:
 *
 * - `input`: an argument that the caller can correct
 * - `format`: a file that does not hold what its format promises
 * - `io`: the system refused to read, write or connect
 * - `handle`: an engine or tape that has been closed
 * - `not-finite`: weights are damaged or training has diverged, so that numbers are none
 * - `cancelled`: the work was told to stop
 * - `memory`: the device has too little memory
 * - `device`: the device or its driver failed; what had been saved is whole
 * - `library`: the native library is missing, or is of another version
 * - `internal`: a fault of this software
 */
export type EngineErrorKind =
  | "input"
  | "format"
  | "io"
  | "handle"
  | "not-finite"
  | "cancelled"
  | "memory"
  | "device"
  | "library"
  | "internal";

/** An engine refused or failed. */
export class EngineError extends Error {
  /** For messages. */
  override readonly name = "EngineError";
  /** The class of the failure. */
  readonly kind: EngineErrorKind;

  /** Made by engines; callers only read it. */
  constructor(kind: EngineErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}
