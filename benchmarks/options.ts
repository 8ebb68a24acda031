/**
 * Options of the benchmarks' commands.
 *
 * @module
 */
import { parseArgs } from "node:util";

/** What both commands know. */
export interface BenchmarkOptions {
  /** Ids of the rows or studies to measure, in their own order. */
  readonly chosen: readonly string[];
  readonly repetitions: number;
  readonly threads: number;
  /** Print the report as JSON instead of a table. */
  readonly json: boolean;
  /** Measure though the machine is busy. */
  readonly evenIfBusy: boolean;
  /** Write the report and the pages made of it to docs. */
  readonly writeDocs: boolean;
  readonly precision: "f32" | "bf16";
}

/**
 * Reads a whole number from 1.
 *
 * @throws {RangeError} It is none.
 */
export function wholeNumber(name: string, value: string): number {
  const number = Number(value);
  if (Number.isSafeInteger(number) && number >= 1 && value.trim() === value) return number;
  throw new RangeError(`Option --${name} is "${value}", expected a whole number from 1`);
}

/**
 * Reads a list of names, separated by commas.
 *
 * @param value all of `ids` where it is not given
 * @returns those named, in the order of `ids`
 * @throws {RangeError} It names what is not among `ids`.
 */
export function chosenOf(option: string, value: string | undefined, ids: readonly string[]): string[] {
  const wanted = new Set(value === undefined ? ids : value.split(",").map((id) => id.trim()));
  for (const id of wanted) {
    if (ids.includes(id)) continue;
    throw new RangeError(
      `Option --${option} names "${id}", expected some of ${ids.map((known) => `"${known}"`).join(", ")}`,
    );
  }
  return ids.filter((id) => wanted.has(id));
}

/**
 * Reads a command line.
 *
 * @param list the option that chooses, `rows` or `studies`, and all that it can choose
 * @throws {RangeError} A value is not one of those expected.
 * @throws {TypeError} An option is unknown.
 */
export function parseOptions(
  args: readonly string[],
  list: { readonly name: string; readonly ids: readonly string[]; readonly repetitions: number },
): BenchmarkOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      [list.name]: { type: "string" },
      repetitions: { type: "string", default: String(list.repetitions) },
      threads: { type: "string", default: "2" },
      precision: { type: "string", default: "f32" },
      json: { type: "boolean", default: false },
      "even-if-busy": { type: "boolean", default: false },
      "write-docs": { type: "boolean", default: false },
    },
  });
  const named = values[list.name];
  const chosen = chosenOf(list.name, typeof named === "string" ? named : undefined, list.ids);
  const { precision } = values;
  if (precision !== "f32" && precision !== "bf16") {
    throw new RangeError(`Option --precision is "${precision}", expected "f32" or "bf16"`);
  }
  const options = {
    chosen,
    repetitions: wholeNumber("repetitions", String(values.repetitions)),
    threads: wholeNumber("threads", String(values.threads)),
    json: values.json === true,
    evenIfBusy: values["even-if-busy"] === true,
    writeDocs: values["write-docs"] === true,
    precision,
  } as const;
  if (options.writeDocs && options.evenIfBusy) {
    throw new RangeError(
      "Option --write-docs was given with --even-if-busy, expected one of them: figures of a busy " +
        "machine are not kept",
    );
  }
  return options;
}
