/**
 * A worker as a process of its own.
 *
 * @module
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { type Answer, type Job, parseAnswer, type Ready, type Sample } from "./protocol.ts";
import { UnavailableError } from "./unavailable.ts";

/** A program that is a worker. */
export interface WorkerProgram {
  readonly program: string;
  readonly args: readonly string[];
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A worker ended, or said what it should not have. */
export class WorkerError extends Error {
  override readonly name = "WorkerError";
}

const KEPT_STDERR = 8000;

/** The line that says what went wrong: the last one that names an error, else the last one. */
export function lastWords(stderr: string): string {
  const lines = stderr.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  return lines.findLast((line) => /error\b.*:/i.test(line)) ?? lines.at(-1) ?? "";
}

/** A started worker. */
export class WorkerProcess implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #lines: AsyncIterator<string>;
  /** Settles only where the program cannot be run; its streams then never end. */
  readonly #unstarted: Promise<void>;
  readonly #ended: Promise<number | null>;
  readonly #name: string;
  readonly #began = performance.now();
  #stderr = "";
  #failure: Error | undefined;

  private constructor(name: string, { program, args, env }: WorkerProgram) {
    this.#name = name;
    const child = spawn(program, args, {
      env: { ...process.env, NO_COLOR: "1", ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-KEPT_STDERR);
    });
    // A worker that has ended cannot be written to; that it ended is told when its answer is missing.
    child.stdin.on("error", () => {});
    this.#unstarted = new Promise((resolve) => {
      child.on("error", (error) => {
        this.#failure = error;
        resolve();
      });
    });
    this.#ended = Promise.race([
      this.#unstarted.then(() => null),
      new Promise<number | null>((resolve) => child.on("close", resolve)),
    ]);
  }

  /**
   * Starts a worker on a job and waits until it is ready.
   *
   * @throws {UnavailableError} It cannot do the job.
   * @throws {WorkerError} It ended.
   */
  static async start(
    name: string,
    program: WorkerProgram,
    job: Job,
  ): Promise<{ readonly worker: WorkerProcess; readonly ready: Ready }> {
    const worker = new WorkerProcess(name, program);
    try {
      const answer = await worker.#ask(job);
      if ("ready" in answer) return { worker, ready: answer.ready };
      throw new WorkerError(`Worker "${name}" is not ready, it wrote ${JSON.stringify(answer)}`);
    } catch (error) {
      await worker[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Measures a repetition.
   *
   * @param input index in the job's inputs
   * @throws {WorkerError} It ended.
   */
  async measure(input: number): Promise<Sample> {
    const answer = await this.#ask({ input });
    if ("sample" in answer) return answer.sample;
    throw new WorkerError(`Worker "${this.#name}" has no sample, it wrote ${JSON.stringify(answer)}`);
  }

  /** Seconds since the process was started. */
  get age(): number {
    return (performance.now() - this.#began) / 1000;
  }

  /** Ends the worker and waits for its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    await this.#ended;
  }

  async #ask(message: unknown): Promise<Answer> {
    this.#child.stdin.write(`${JSON.stringify(message)}\n`);
    const line = await Promise.race([this.#lines.next(), this.#unstarted]);
    if (line === undefined || line.done === true) {
      const code = await this.#ended;
      const reason = this.#failure?.message ?? `status ${code}`;
      throw new WorkerError(`Worker "${this.#name}" ended (${reason}): ${lastWords(this.#stderr)}`);
    }
    let answer: Answer;
    try {
      answer = parseAnswer(line.value);
    } catch (error) {
      throw new WorkerError(`Worker "${this.#name}": ${(error as Error).message}`);
    }
    if ("unavailable" in answer) throw new UnavailableError(answer.unavailable);
    return answer;
  }
}
