/**
 * Trains a variant from a seed, in a process of its own.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { readRun } from "../../ts/report/read_run.ts";
import type { Point, RunRecords, StageNumber } from "../../ts/report/records.ts";
import { readConfig } from "../../ts/train/mod.ts";
import { codeVersion } from "../../ts/train/version.ts";
import { lastWords, WorkerError } from "../worker_process.ts";
import type { Accuracy, TrainedRun } from "./report.ts";
import { continuedSize, type Variant } from "./variants.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/**
 * Trains and reads off the run what it came to.
 *
 * @param seconds of the stages of the variant's configuration from the same seed; for one that is continued
 * @throws {WorkerError} Training failed.
 */
export async function trainVariant(
  variant: Variant,
  seed: number,
  seconds: TrainedRun["seconds"] | null,
): Promise<TrainedRun> {
  const folder = await mkdtemp(join(tmpdir(), `rm-r1-${variant.id}-`));
  try {
    const config = await configOf(variant, seconds, folder);
    const run = join(folder, "run");
    await train(["--config", config, "--seed", String(seed), "--run-dir", run]);
    return readOff(variant, seed, await readRun(run, { judgements: false }), await codeVersion());
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function configOf(
  { id, config: name, continued }: Variant,
  seconds: TrainedRun["seconds"] | null,
  folder: string,
): Promise<string> {
  const path = join(ROOT, "configs", `${name}.json`);
  if (continued === undefined) return path;
  const { stage1, ...config } = await readConfig(path);
  if (stage1 === null || stage1.examples === null) {
    throw new RangeError(`Configuration "${path}" has no number of examples of stage 1 that could grow`);
  }
  if (seconds === null) {
    throw new RangeError(
      `Variant "${id}" takes the time of variant "${name}" from the same seed: train that first`,
    );
  }
  const { examples, ...rest } = stage1;
  const size = continuedSize({ ...rest, examples }, continued, seconds);
  const changed = join(folder, "config.json");
  await writeFile(
    changed,
    JSON.stringify({ ...config, stage1: { ...stage1, ...size }, stage2: null }),
  );
  return changed;
}

function train(args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const command = ["run", "-q", "--no-prompt", "-P=rmr1", "ts/cli/main.ts", "train", ...args, "--json"];
    const child = spawn(process.execPath, command, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
    let tail = "";
    child.stdout.resume();
    child.stderr.setEncoding("utf8").on("data", (text: string) => tail = (tail + text).slice(-2000));
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve();
      else reject(new WorkerError(`Training ended with ${code}: ${lastWords(tail)}`));
    });
  });
}

/** What a finished run came to. */
export function readOff(variant: Variant, seed: number, { journal }: RunRecords, code: string): TrainedRun {
  const evaluations = journal.flatMap((line) =>
    line.type === "evaluation" && line.at !== "step" ? [line] : []
  );
  const at = (point: Point): Accuracy | null => {
    const report = evaluations.findLast((line) => line.at === point)?.report;
    return report === undefined ? null : { value: report.accuracy.value, examples: report.examples };
  };
  const stageSeconds = (stage: StageNumber): number =>
    journal.reduce(
      (sum, line) => line.type === "step" && line.stage === stage ? sum + (line.wallSeconds ?? 0) : sum,
      0,
    );
  const last = journal.at(-1);
  return {
    variant: variant.id,
    seed,
    code,
    measuredAt: new Date().toISOString(),
    accuracy: { base: at("base"), distilled: at("distilled"), final: at("final") },
    parseRate: evaluations.at(-1)?.report.parseRate?.value ?? NaN,
    seconds: { stage1: stageSeconds(1), stage2: stageSeconds(2), whole: last?.seconds ?? NaN },
  };
}
