/**
 * The programs of both sides.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { Prepared, PrepareRequest } from "./ours/prepare.ts";
import { findPeersFault, peersFolder, peersPython } from "./peers/environment.ts";
import type { Side } from "./measure.ts";
import type { Job } from "./protocol.ts";
import type { Row } from "./rows.ts";
import { UnavailableError } from "./unavailable.ts";
import { WorkerError, WorkerProcess, type WorkerProgram } from "./worker_process.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

function fileOf(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

/** A program of ours with the least permissions; `writes` names a folder that it may write. */
function ourProgram(script: string, writes?: string): WorkerProgram {
  const library = process.env["RMR1_NATIVE_LIB"] || join(ROOT, "target");
  return {
    program: process.execPath,
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      "--allow-read",
      "--allow-env",
      "--allow-sys",
      `--allow-ffi=${library}`,
      ...(writes === undefined ? [] : [`--allow-write=${writes}`]),
      fileOf(script),
    ],
  };
}

/** Our worker. */
export const OUR_WORKER: WorkerProgram = ourProgram("ours/worker.ts");

/** Starts workers of a program on a job; `inputs` holds the warm-up and then every repetition. */
export function sideOf(name: string, program: WorkerProgram, job: Job): Side {
  return {
    async start(repetitions) {
      const inputs = [job.inputs[0]!, ...repetitions.map((repetition) => job.inputs[repetition + 1]!)];
      const { worker, ready } = await WorkerProcess.start(name, program, { ...job, inputs });
      return {
        ready,
        measure: (input) => worker.measure(input),
        get age(): number {
          return worker.age;
        },
        [Symbol.asyncDispose]: () => worker[Symbol.asyncDispose](),
      };
    },
  };
}

/** Both sides of a row. A peer without its environment cannot be started: that is told when it is. */
export function sidesOf(
  row: Row,
  { prepared, threads, peersFault }: {
    readonly prepared: Prepared;
    readonly threads: number;
    readonly peersFault: string | null;
  },
): { readonly ours: Side; readonly peer: Side } {
  const jobOf = (side: "ours" | "peer"): Job => ({
    ...row.job,
    threads,
    model: { path: prepared[row.model[side]] },
    inputs: prepared.inputs[row.id]!,
  });
  if (peersFault !== null) {
    const start = (): Promise<never> =>
      Promise.reject(new UnavailableError(`${peersFault}; make it with: deno task test:peers`));
    return { ours: sideOf(`ours ${row.id}`, OUR_WORKER, jobOf("ours")), peer: { start } };
  }
  const peer: WorkerProgram = {
    program: peersPython(),
    args: [fileOf(`peers/${row.script}`)],
    env: { OMP_NUM_THREADS: String(threads), CUDA_VISIBLE_DEVICES: "" },
  };
  return {
    ours: sideOf(`ours ${row.id}`, OUR_WORKER, jobOf("ours")),
    peer: sideOf(`${row.peer} ${row.id}`, peer, jobOf("peer")),
  };
}

/** What is wrong with the peers' environment, null where it is as pinned. */
export function peersState(): Promise<string | null> {
  return findPeersFault();
}

/**
 * Writes the folder that peers open and draws all inputs.
 *
 * @throws {WorkerError} It failed; it has said why on standard error.
 */
export async function prepare(request: Omit<PrepareRequest, "expanded">): Promise<Prepared> {
  const models = join(peersFolder(), "models");
  const { program, args } = ourProgram("ours/prepare.ts", models);
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  const whole: PrepareRequest = { ...request, expanded: join(models, "smollm2-135m-f32") };
  child.stdin.end(JSON.stringify(whole));
  const output = await text(child.stdout);
  const code = await ended;
  if (code !== 0) throw new WorkerError(`Preparing the model and the inputs ended with status ${code}`);
  return JSON.parse(output);
}
