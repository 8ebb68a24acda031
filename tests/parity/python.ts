/**
 * Runs the parity scripts in the peers' Python environment.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { peersPython } from "../../benchmarks/peers/environment.ts";

/** How a script ended, and all that it wrote. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a script by its path, with its arguments. `interpreter`: default the one of the peers' environment. */
export function python(args: readonly string[], interpreter: string = peersPython()): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, OMP_NUM_THREADS: "1", PYTHONDONTWRITEBYTECODE: "1" };
    const child = spawn(interpreter, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => stdout += text);
    child.stderr.setEncoding("utf8").on("data", (text: string) => stderr += text);
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

/** Gives a folder that is there until `body` ends. */
export async function inTemporary(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "rmr1-peers-"));
  try {
    await body(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}
