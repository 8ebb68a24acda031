/**
 * The error of models that cannot be had.
 *
 * @module
 */

/**
 * Why a model cannot be had:
 *
 * - `unknown`: neither a known name nor a path that exists
 * - `absent`: known, but not fetched
 * - `damaged`: what was fetched is not what was published
 * - `unreachable`: no source answers, or none has it
 */
export type ModelErrorKind = "unknown" | "absent" | "damaged" | "unreachable";

/** A model cannot be found or fetched. */
export class ModelError extends Error {
  /** For messages. */
  override readonly name = "ModelError";
  /** Why it cannot be had. */
  readonly kind: ModelErrorKind;

  /** Made where models are looked for; callers only read it. */
  constructor(kind: ModelErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}
