/**
 * Errors as a user reads them.
 *
 * @module
 */

/** The command line is understood but asks for something that makes no sense. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Errors that only a fault of this program raises. */
const FAULTS: ReadonlySet<string> = new Set(["TypeError", "ReferenceError", "SyntaxError", "AssertionError"]);

/** What to tell of an error, without its stack. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const refused = chain(error).find(({ name }) => name === "NotCapable");
  if (refused !== undefined) {
    const message = error.message.replace(/, run again with the --allow-\w+ flag$/, "");
    return `${message}\nThis task has only the permissions that it needs; "deno task rmr1" may write anywhere`;
  }
  if (FAULTS.has(error.name)) return `${error.message} (a fault of this program; RMR1_DEBUG=1 shows where)`;
  return error.message;
}

/** The error with its causes. */
function chain(error: Error): Error[] {
  return [error, ...(error.cause instanceof Error ? chain(error.cause) : [])];
}
