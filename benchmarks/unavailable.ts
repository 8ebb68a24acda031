/**
 * The error of work that cannot be had.
 *
 * @module
 */

/** A side cannot do a job: its engine refuses it, or a library is missing. */
export class UnavailableError extends Error {
  override readonly name = "UnavailableError";
}
