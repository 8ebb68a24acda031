/**
 * `bench compare RUN RUN…`: finished runs beside each other.
 *
 * @module
 */
import { compareRuns, formatComparisons } from "rm-r1-harness";
import {
  anyText,
  type Command,
  defineCommand,
  type JsonObject,
  optional,
  positional,
  repeated,
} from "./parser.ts";

/** The command. */
export const benchCompare: Command = defineCommand({
  name: "bench compare",
  brief: "Compare finished runs on the items that they share",
  options: {
    base: positional(anyText("BASE"), "The folder of the run that others are compared with"),
    others: repeated("--with", anyText("RUN"), "The folder of a run to compare; may be given again"),
    data: optional("--data", anyText("PATH"), "Where the data are, if no longer where the runs read them"),
  },
  async run({ base, others, data }, { out }) {
    const comparisons = await compareRuns([base, ...others], data === undefined ? {} : { data });
    out(`${formatComparisons(comparisons)}\n`);
    return { comparisons: comparisons as unknown as JsonObject[] };
  },
});
