/**
 * The error of a distillation.
 *
 * @module
 */

/** A distillation cannot begin or go on. What its journal holds stays. */
export class DistillError extends Error {
  override readonly name = "DistillError";
}
