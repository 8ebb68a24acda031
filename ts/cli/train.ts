/**
 * `train`: trains a judge in two stages.
 *
 * @module
 */
import { readdir } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import {
  formatDuration,
  progressWriter,
  type Proportion,
  readConfig,
  readStoredConfig,
  train as trainJudge,
  type TrainResult,
} from "../train/mod.ts";
import { openModel } from "./engine.ts";
import { UsageError } from "./errors.ts";
import { KeyValueMemory } from "./memory.ts";
import {
  anyText,
  type Command,
  type Context,
  defineCommand,
  flag,
  type JsonObject,
  optional,
  wholeNumber,
} from "./parser.ts";
import { lastRunName, nextRunName, RUNS } from "./run_names.ts";

const DEFAULT_CONFIG = fileURLToPath(new URL("../../configs/default.json", import.meta.url));

/** The command. */
export const train: Command = defineCommand({
  name: "train",
  brief: "Train a judge in two stages: distillation, then reinforcement",
  options: {
    config: optional("--config", anyText("FILE"), "The configuration; configs/default.json if not given"),
    run: optional("--run", anyText("NAME"), "Name of the run: its folder is runs/NAME"),
    runDirectory: optional("--run-dir", anyText("DIR"), "Folder of the run, instead of a name"),
    resume: flag("--resume", "Go on with a run; the newest one of the configuration's name if none is named"),
    seed: optional(
      "--seed",
      wholeNumber({ min: 0, max: 2 ** 32 - 1 }),
      "In place of the configuration's seed",
    ),
  },
  async run({ config: file, run, runDirectory, resume, seed }, { out, log, signal }) {
    if (run !== undefined && runDirectory !== undefined) {
      throw new UsageError("Give --run or --run-dir, not both");
    }
    if (run !== undefined && (basename(run) !== run || run.startsWith("."))) {
      throw new UsageError(
        `The run's name is "${run}", expected a name without slashes; --run-dir takes a path`,
      );
    }
    const stem = basename(file ?? DEFAULT_CONFIG, extname(file ?? DEFAULT_CONFIG));
    const folder = runDirectory ?? join(RUNS, run ?? await chooseName(stem, resume));
    const config = resume && file === undefined
      ? await readStoredConfig(folder)
      : await readConfig(file ?? DEFAULT_CONFIG);
    log(`run ${folder}\n`);
    using memory = new KeyValueMemory(log);
    const result = await trainJudge(seed === undefined ? config : { ...config, seed }, {
      runDirectory: folder,
      resume,
      signal,
      onProgress: progressWriter({ ...terminal(), write: log }),
      openEngine: (model, options) => openModel(model, { ...options, onSummary: memory.see }),
      resumeCommand: resumeCommand(folder),
    });
    report(result, config.stage2 === null ? 1 : 2, out);
    return result as unknown as JsonObject;
  },
});

function terminal(): { readonly isTTY?: boolean; readonly columns?: number } {
  const { isTTY = false, columns } = process.stderr;
  return columns === undefined ? { isTTY } : { isTTY, columns };
}

async function chooseName(stem: string, resume: boolean): Promise<string> {
  const there = await readdir(RUNS).catch(() => []);
  if (!resume) return nextRunName(stem, there);
  const last = lastRunName(stem, there);
  if (last !== null) return last;
  throw new UsageError(`There is no run "${join(RUNS, stem)}" to go on with; name one by --run or --run-dir`);
}

function resumeCommand(folder: string): string {
  const [parent, name] = [join(folder, ".."), basename(folder)];
  return parent === RUNS
    ? `deno task train --run ${name} --resume`
    : `deno task rmr1 train --run-dir ${folder} --resume`;
}

function report(result: TrainResult, lastStage: 1 | 2, out: Context["out"]): void {
  const { evaluations, seconds, model, alreadyFinished } = result;
  if (alreadyFinished) out("The run had finished already; nothing was trained\n");
  const points = [
    ["before training", evaluations.base],
    ["after stage 1", lastStage === 1 ? null : evaluations.distilled],
    [`after stage ${lastStage}`, evaluations.final],
  ] as const;
  out("Held-out accuracy, what cannot be read counted as wrong (95 % interval):\n");
  for (const [name, evaluation] of points) {
    if (evaluation === null) continue;
    const { accuracy, parseRate, examples } = evaluation;
    out(
      `  ${name.padEnd(15)}  ${share(accuracy)}  of ${examples} pairs, ${
        percent(parseRate.value)
      } readable\n`,
    );
  }
  out(`Trained in ${formatDuration(seconds)}; the model is in ${model}\n`);
}

function share({ value, interval: [low, high] }: Proportion): string {
  return `${percent(value)} [${percent(low)}, ${percent(high)}]`;
}

function percent(value: number): string {
  return `${(100 * value).toFixed(1)} %`;
}
