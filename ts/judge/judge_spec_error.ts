/**
 * The error of judges that cannot be opened.
 *
 * @module
 */

/** No judge can be opened by that name. */
export class JudgeSpecError extends Error {
  /** For messages. */
  override readonly name = "JudgeSpecError";
}
