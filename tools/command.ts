/**
 * Runs the programs that checks and tests are made of.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import process from "node:process";

/** A program and how to run it. */
export interface Command {
  /** As reports name it. */
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** How a program ended. */
export interface CommandResult {
  /** Whether it ran and exited with 0. */
  readonly ok: boolean;
  /** All that it wrote to standard output. */
  readonly stdout: string;
}

/** Options of {@link runCommand}. */
export interface RunOptions {
  /** Where standard output goes besides the result. Default "pass on"; "keep" shows nothing. */
  readonly stdout?: "pass on" | "keep";
}

/** Runs a program in the current folder; its standard error, and by default its output, are shown as they come. */
export function runCommand(command: Command, options: RunOptions = {}): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = spawn(command.program, command.args, {
      env: { ...process.env, ...command.env },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const chunks: Uint8Array[] = [];
    child.stdout.on("data", (chunk: Uint8Array) => {
      chunks.push(chunk);
      if (options.stdout !== "keep") process.stdout.write(chunk);
    });
    child.on("error", (error) => {
      process.stderr.write(`Cannot run "${command.program}": ${error.message}\n`);
      resolve({ ok: false, stdout: "" });
    });
    child.on("close", (code) => resolve({ ok: code === 0, stdout: Buffer.concat(chunks).toString("utf8") }));
  });
}

/** A call of the Deno that runs this program, whatever its name on the search path. */
export function deno(name: string, ...args: string[]): Command {
  return { name, program: process.execPath, args };
}

/** A call of cargo. */
export function cargo(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Command {
  return { name, program: "cargo", args, env };
}
