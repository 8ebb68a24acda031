/**
 * The command line: `rmr1 COMMAND`. Exit codes: 0 done, 1 failed, 2 not understood, 130 interrupted.
 *
 * @module
 */
import process from "node:process";
import { VERSION } from "../train/version.ts";
import { benchmarks } from "./bench.ts";
import { benchBestOfN } from "./bench_best_of_n.ts";
import { benchCompare } from "./bench_compare.ts";
import { benchFaithfulness } from "./bench_faithfulness.ts";
import { benchLeaderboard } from "./bench_leaderboard.ts";
import { benchRescore } from "./bench_rescore.ts";
import { benchView } from "./bench_view.ts";
import { configCheck, configSchema } from "./config.ts";
import { dataGsm8k } from "./data.ts";
import { distill } from "./distill.ts";
import { describeError, UsageError } from "./errors.ts";
import { fetch } from "./fetch.ts";
import { generate } from "./generate.ts";
import { judge } from "./judge.ts";
import { logprobs } from "./logprobs.ts";
import { goOffline } from "./offline.ts";
import { type Command, type Invocation, type JsonObject, parseCommandLine, ParserExit } from "./parser.ts";
import { report } from "./report.ts";
import { runs } from "./runs.ts";
import { train } from "./train.ts";

const COMMANDS: readonly Command[] = [
  train,
  ...benchmarks,
  benchBestOfN,
  benchRescore,
  benchCompare,
  benchFaithfulness,
  benchLeaderboard,
  benchView,
  judge,
  distill,
  runs,
  report,
  fetch,
  generate,
  logprobs,
  configSchema,
  configCheck,
  dataGsm8k,
];

/** Commands that may use the network; all but the first one give it up themselves where they name no server. */
const NETWORKED: ReadonlySet<Command> = new Set([fetch, distill, judge, benchBestOfN, ...benchmarks]);

const INTERRUPTED = 130;

function toStdout(text: string): void {
  process.stdout.write(text);
}

function toStderr(text: string): void {
  process.stderr.write(text);
}

function printJson(value: JsonObject): void {
  toStdout(`${JSON.stringify(value)}\n`);
}

/** Aborts at the first interruption; the second one ends the process at once. */
function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  const interrupt = (): void => {
    if (controller.signal.aborted) process.exit(INTERRUPTED);
    toStderr("\nStopping; press Ctrl-C again to stop at once\n");
    controller.abort(new Error("Interrupted"));
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  return controller.signal;
}

async function runCommand(invocation: Invocation): Promise<number> {
  const signal = interruptSignal();
  if (!NETWORKED.has(invocation.command)) await goOffline();
  try {
    const result = await invocation.run({
      signal,
      out: invocation.json ? toStderr : toStdout,
      log: toStderr,
    });
    if (invocation.json) printJson(result);
    return 0;
  } catch (error) {
    const message = describeError(error);
    toStderr(`${signal.aborted ? "" : "Error: "}${message}\n`);
    if (process.env["RMR1_DEBUG"] === "1") toStderr(`${error instanceof Error ? error.stack : error}\n`);
    if (invocation.json) printJson({ error: message });
    if (signal.aborted) return INTERRUPTED;
    return error instanceof UsageError ? 2 : 1;
  }
}

async function main(args: readonly string[]): Promise<number> {
  let invocation: Invocation;
  try {
    invocation = parseCommandLine(COMMANDS, args, {
      program: "rmr1",
      version: VERSION,
      brief: "Trains and runs reasoning reward models",
      groups: {
        bench: "Score a judge on a benchmark",
        config: "Check training configurations",
        data: "Make training data",
      },
      stdout: (text) => toStdout(`${text}\n`),
      stderr: (text) => toStderr(`${text}\n`),
    });
  } catch (error) {
    if (!(error instanceof ParserExit)) throw error;
    if (error.code !== 0 && args.includes("--json")) printJson({ error: error.message });
    return error.code;
  }
  return await runCommand(invocation);
}

process.exitCode = await main(process.argv.slice(2));
