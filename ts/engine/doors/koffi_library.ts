/**
 * Loads the native core in Node and Bun through koffi, which is there only where somebody installed it.
 *
 * @module
 */
import { createRequire } from "node:module";
import { EngineError } from "../error.ts";
import type { NativeSymbols } from "./native_door.ts";

/** What is used of koffi. */
interface Koffi {
  load(path: string): {
    func(declaration: string): ((...args: unknown[]) => number) & {
      async(...args: [...unknown[], (error: Error | null, result: number) => void]): void;
    };
  };
}

/**
 * Loads a library in Node.
 *
 * @throws {EngineError} It cannot be loaded, or koffi is not installed.
 */
export function loadInNode(path: string): NativeSymbols {
  let koffi: Koffi;
  try {
    koffi = createRequire(import.meta.url)("koffi") as Koffi;
  } catch (error) {
    throw new EngineError("library", `Cannot load the native core "${path}": install koffi beside rm-r1`, {
      cause: error,
    });
  }
  try {
    const library = koffi.load(path);
    const job = library.func("int rmr1_job_poll(size_t, _Out_ uint32_t *, _Out_ uint64_t *)");
    return {
      rmr1_abi_version: library.func("uint32_t rmr1_abi_version()"),
      rmr1_job_start: library.func("int rmr1_job_start(const uint8_t *, size_t, _Out_ uint64_t *)"),
      rmr1_job_poll: (id, kind, size) =>
        new Promise((resolve, reject) => {
          job.async(id, kind, size, (error: Error | null, status: number) => {
            if (error === null) resolve(status);
            else reject(error);
          });
        }),
      rmr1_job_take: library.func("int rmr1_job_take(size_t, _Out_ uint8_t *, size_t)"),
      rmr1_job_cancel: library.func("int rmr1_job_cancel(size_t)"),
      rmr1_job_close: library.func("int rmr1_job_close(size_t)"),
      rmr1_handle_close: library.func("int rmr1_handle_close(size_t)"),
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new EngineError("library", `Cannot load the native core "${path}": ${reason}`, { cause: error });
  }
}
