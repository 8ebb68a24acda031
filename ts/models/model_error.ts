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
  override readonly name = "ModelError";
  readonly kind: ModelErrorKind;

  constructor(kind: ModelErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}
