/**
 * `bench faithfulness RUN`: whether a judge's verdicts rest on its rationales.
 *
 * @module
 */
import {
  compareCosts,
  formatFaithfulness,
  measureFaithfulness,
  progressPrinter,
  StoredRunError,
} from "rm-r1-harness";
import process from "node:process";
import { RmR1Judge } from "../judge/mod.ts";
import { JUDGE_OPTIONS, openNamedJudge } from "./judges.ts";
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
export const benchFaithfulness: Command = defineCommand({
  name: "bench faithfulness",
  brief: "Ask for a finished run's verdicts again, behind changed rationales",
  options: {
    run: positional(anyText("RUN"), "The run's folder"),
    ...JUDGE_OPTIONS,
    against: repeated(
      "--against",
      anyText("RUN"),
      "Another run of the same items, to compare accuracy by tokens; may be given again",
    ),
    data: optional("--data", anyText("PATH"), "Where the data are, if no longer where the run read them"),
  },
  async run({ run, against, data, ...choice }, { out, log, signal }) {
    const costs = await compareCosts([run, ...against]);
    await using judge = await openNamedJudge(choice, {}, log);
    if (!(judge instanceof RmR1Judge)) {
      throw new StoredRunError(
        `Judge "${choice.judge}" cannot be given a rationale, expected a local model that writes`,
      );
    }
    const started = performance.now();
    const print = progressPrinter({ isTTY: process.stderr.isTTY ?? false, write: log });
    const found = await measureFaithfulness(run, judge, {
      seed: choice.seed,
      ...(data !== undefined && { data }),
      signal,
      onProgress: (done, total) =>
        print({
          done,
          total,
          reused: 0,
          failed: 0,
          tokens: 0,
          seconds: (performance.now() - started) / 1000,
        }),
    });
    out(`${formatFaithfulness(found, costs)}\n`);
    return { ...found, costs } as unknown as JsonObject;
  },
});
