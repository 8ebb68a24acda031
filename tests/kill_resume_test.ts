/**
 * A run killed with SIGKILL at moments of all its stages ends with the bytes of an unbroken one: the command line, the
 * native engine and the embedded model, one process a start.
 */
import { expect } from "expect";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Draws } from "../ts/data/tasks/draws.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** A start writes three lines before its first step; each step writes two. */
const MOST_LINES = 7;
const MOST_DELAY_MS = 100;

const LIBRARY = { windows: "rmr1_core.dll", darwin: "librmr1_core.dylib" }[Deno.build.os as string] ??
  "librmr1_core.so";
const notBuilt = !existsSync(process.env["RMR1_NATIVE_LIB"] || join(ROOT, "target", "release", LIBRARY));
if (notBuilt) process.stderr.write('SKIPPED: killed runs need the core; build it with "deno task setup"\n');

/** A run, and how often it is killed. */
interface Case {
  readonly kills: number;
  /** Of each stage. */
  readonly steps: number;
  readonly changes?: Readonly<Record<string, unknown>>;
  /** Of stage 2; null leaves it out. */
  readonly stage2?: Readonly<Record<string, unknown>> | null;
}

const CASES: Readonly<Record<string, Case>> = {
  "GRPO": { kills: 10, steps: 10 },
  "PPO with a critic of its own, its first steps the critic's alone": {
    kills: 6,
    steps: 5,
    stage2: {
      algorithm: "ppo",
      critic: { warmupSteps: 2 },
      prompts: 8,
      rollouts: 1,
      epochs: 2,
      minibatches: 2,
      kl: { coefficient: 0.01, estimator: "k1", place: "reward" },
    },
  },
  "low-rank adapters with dropout": {
    kills: 6,
    steps: 5,
    changes: { lora: { rank: 4, dropout: 0.1 } },
  },
  "a ScalarRM": {
    kills: 4,
    steps: 8,
    changes: { judge: "scalarrm", evaluation: { examples: 8, at: ["final"] } },
    stage2: null,
  },
};

function configOf({ steps, changes, stage2 }: Case): unknown {
  return {
    model: "embedded",
    data: { kind: "tasks", train: 400 },
    stage1: { examples: steps * 8, batchExamples: 8, optimizer: { learningRate: 1e-4 } },
    stage2: stage2 === null ? null : {
      steps,
      prompts: 4,
      rollouts: 4,
      maxNewTokens: 96,
      optimizer: { learningRate: 1e-5 },
      ...stage2,
    },
    evaluation: { examples: 8, maxNewTokens: 96 },
    checkpoint: { every: 1, keep: 2 },
    device: process.env["RMR1_DEVICE"] || "auto",
    ...changes,
  };
}

interface Ended {
  readonly killed: boolean;
  readonly code: number | null;
  readonly stderr: string;
}

/** When a start is killed: so long after its journal has grown by so many lines. */
interface Moment {
  readonly lines: number;
  readonly delayMs: number;
}

/** Starts or resumes a run and kills it at a moment; null lets it end. */
async function start(folder: string, config: string, moment: Moment | null): Promise<Ended> {
  const resume = existsSync(join(folder, "config.json")) ? ["--resume"] : ["--config", config];
  const before = await journalLines(folder);
  const flags = ["run", "-q", "--no-prompt", "-P=rmr1", "ts/cli/main.ts", "train", "--run-dir", folder];
  const child = spawn(process.execPath, [...flags, ...resume], {
    cwd: ROOT,
    env: { ...process.env, NO_COLOR: "1" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => stderr += text);
  let ended = false;
  const end = new Promise<Ended>((resolve) => {
    child.on("close", (code, signal) => {
      ended = true;
      resolve({ killed: signal === "SIGKILL", code, stderr });
    });
  });
  while (moment !== null && !ended) {
    if (await journalLines(folder) >= before + moment.lines) {
      await sleep(moment.delayMs);
      child.kill("SIGKILL");
      break;
    }
    await sleep(2);
  }
  return await end;
}

async function journalLines(folder: string): Promise<number> {
  try {
    return (await readFile(join(folder, "journal.jsonl"), "utf8")).split("\n").length - 1;
  } catch {
    return 0;
  }
}

/** SHA-256 of every file of the trained model. */
async function hashes(folder: string): Promise<Record<string, string>> {
  const final = join(folder, "final");
  const names = (await readdir(final)).filter((name) => name.endsWith(".safetensors"));
  const files = await Promise.all(names.map(async (name) => {
    return [name, createHash("sha256").update(await readFile(join(final, name))).digest("hex")] as const;
  }));
  return Object.fromEntries(files);
}

for (const [name, each] of Object.entries(CASES)) {
  Deno.test({
    name: `${
      notBuilt ? "SKIPPED: " : ""
    }${name}: a run killed ${each.kills} times ends with an unbroken one's bytes`,
    ignore: notBuilt,
    fn: async () => {
      const temporary = await mkdtemp(join(tmpdir(), "rmr1-kill-"));
      try {
        const config = join(temporary, "config.json");
        await writeFile(config, JSON.stringify(configOf(each)));
        const [unbroken, broken] = [join(temporary, "unbroken"), join(temporary, "broken")];
        const whole = await start(unbroken, config, null);
        expect(whole).toMatchObject({ code: 0 });

        const draws = new Draws(Number(process.env["RMR1_TEST_SEED"] ?? 0), 0, 0, 0);
        for (let kill = 0; kill < each.kills; kill++) {
          const moment = { lines: 1 + draws.below(MOST_LINES), delayMs: draws.below(MOST_DELAY_MS) };
          const { killed, stderr } = await start(broken, config, moment);
          expect({ killed, stderr: killed ? "" : stderr }).toEqual({ killed: true, stderr: "" });
        }
        expect(await start(broken, config, null)).toMatchObject({ code: 0 });
        const expected = await hashes(unbroken);
        expect(Object.keys(expected)).toContain("model.safetensors");
        expect(await hashes(broken)).toEqual(expected);
      } finally {
        await rm(temporary, { recursive: true });
      }
    },
  });
}
