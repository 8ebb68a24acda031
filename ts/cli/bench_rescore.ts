/**
 * `bench rescore RUN`: scores a finished run anew from its journal.
 *
 * @module
 */
import { formatResult, rescore, storedBenchmark } from "rm-r1-harness";
import { VERDICT_RULE_NAMES } from "../cor/mod.ts";
import {
  anyText,
  type Command,
  defaulted,
  defineCommand,
  type JsonObject,
  oneOf,
  optional,
  positional,
} from "./parser.ts";

/** The command. */
export const benchRescore: Command = defineCommand({
  name: "bench rescore",
  brief: "Read the verdicts of a finished run anew; nothing is asked, nothing is written",
  options: {
    run: positional(anyText("RUN"), "The run's folder"),
    verdicts: defaulted(
      "--verdicts",
      oneOf(VERDICT_RULE_NAMES),
      "strict",
      "By which rule a verdict is read",
    ),
    data: optional("--data", anyText("PATH"), "Where the data are, if no longer where the run read them"),
  },
  async run({ run, verdicts: rule, data }, { out }) {
    const result = await rescore(run, { rule, ...(data !== undefined && { data }) });
    out(`${formatResult(storedBenchmark(result), result)}\n`);
    return result as unknown as JsonObject;
  },
});
