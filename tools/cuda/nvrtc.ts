/**
 * NVIDIA's runtime compiler, at the one version that the kernels are checked with.
 *
 * @module
 */
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { findFault } from "../../ts/models/checksum.ts";
import type { PypiSource } from "../../ts/models/catalog.ts";
import { ModelError } from "../../ts/models/model_error.ts";
import { fetchFromWheel } from "../../ts/models/wheel.ts";

const WHEEL = { project: "nvidia-cuda-nvrtc", version: "13.0.88" };

/** What the compiler consists of: itself, and the functions of the device that it knows. */
const PARTS: readonly PypiSource[] = [
  {
    ...WHEEL,
    member: "nvidia/cu13/lib/libnvrtc.so.13",
    file: {
      name: "libnvrtc.so.13",
      bytes: 109_338_064,
      sha256: "a49e67e8e74590f1e98de55c39c6287efd3f59e3c3797464d7bbe0fe01349b11",
    },
  },
  {
    ...WHEEL,
    member: "nvidia/cu13/lib/libnvrtc-builtins.so.13.0",
    file: {
      name: "libnvrtc-builtins.so.13.0",
      bytes: 4_380_616,
      sha256: "91dcd944d01da9c0f08fff5d779db136a47f6d62bdb63bae900d2f481e92c3a2",
    },
  },
];

/** The folder of the compiler: `RMR1_NVRTC`, else `~/.cache/rm-r1-nvrtc`. */
export function nvrtcFolder(): string {
  const named = process.env["RMR1_NVRTC"];
  return named === undefined || named === "" ? join(homedir(), ".cache", "rm-r1-nvrtc") : named;
}

/**
 * Fetches the compiler from PyPI unless it is there.
 *
 * @returns Why it cannot be had, or null.
 */
export async function fetchNvrtc(folder: string = nvrtcFolder()): Promise<string | null> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    return `NVRTC ${WHEEL.version} is pinned for Linux on x86-64, not for ${process.platform} on ${process.arch}`;
  }
  try {
    for (const part of PARTS) {
      if (await findFault(join(folder, part.file.name), part.file) !== null) {
        await fetchFromWheel(part, folder);
      }
    }
    return null;
  } catch (error) {
    if (error instanceof ModelError && error.kind === "unreachable") return error.message;
    throw error;
  }
}
