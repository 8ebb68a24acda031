/**
 * The error of bad input data.
 *
 * @module
 */

/** Bad data in a file. The message names the file and, where there is one, the line. */
export class DataError extends Error {
  override readonly name = "DataError";
  /** Path of the file. */
  readonly file: string;
  /** Line of the file, from 1; null where the file as a whole is meant. */
  readonly line: number | null;

  constructor(file: string, line: number | null, message: string, options?: ErrorOptions) {
    super(`${line === null ? file : `${file}:${line}`}: ${message}`, options);
    this.file = file;
    this.line = line;
  }
}

const MOST_SHOWN = 60;

/** A value as an error message shows it: JSON in quotation marks, long ones cut. */
export function showValue(value: unknown): string {
  if (value === undefined) return "nothing";
  const json = typeof value === "string" ? value : JSON.stringify(value);
  const points = Array.from(json);
  return `"${points.length > MOST_SHOWN ? `${points.slice(0, MOST_SHOWN).join("")}…` : json}"`;
}
