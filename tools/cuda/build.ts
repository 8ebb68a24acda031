/**
 * Runs the program that compiles every kernel for every architecture.
 *
 * @module
 */
import { cargo, runCommand } from "../command.ts";
import type { CompiledModule } from "./resources.ts";

/** Options of {@link buildKernels}. */
export interface BuildOptions {
  /** Cargo's profile of the program itself: the one that is likely to have been built already. */
  readonly profile: "release" | "test";
  /** Folder of NVRTC. */
  readonly libraries: string;
  /** Folder of the files, which are kept where they were made from the same sources. */
  readonly output: string;
}

/**
 * Compiles every module for every architecture.
 *
 * @throws {Error} The program cannot be built, or a module cannot be compiled.
 */
export async function buildKernels({ profile, libraries, output }: BuildOptions): Promise<CompiledModule[]> {
  const run = ["run", "--locked", "--quiet", "--profile", profile, "--example", "cuda_kernels"];
  const args = [...run, "--", "--libraries", libraries, "--output", output];
  const { ok, stdout } = await runCommand(cargo("cuda kernels", args), { stdout: "keep" });
  if (!ok) throw new Error("The CUDA kernels cannot be compiled: the reasons are above");
  return stdout.trimEnd().split("\n").map((line) => JSON.parse(line) as CompiledModule);
}
