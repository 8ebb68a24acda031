/**
 * Loads the native core through Deno's FFI: buffers and `usize` ids only, so that a scoped `--allow-ffi` is enough.
 *
 * @module
 */
import { EngineError } from "../error.ts";
import type { NativeSymbols } from "./native_door.ts";

const SYMBOLS = {
  rmr1_abi_version: { parameters: [], result: "u32" },
  rmr1_job_start: { parameters: ["buffer", "usize", "buffer"], result: "i32" },
  rmr1_job_poll: { parameters: ["usize", "buffer", "buffer"], result: "i32", nonblocking: true },
  rmr1_job_take: { parameters: ["usize", "buffer", "usize"], result: "i32" },
  rmr1_job_cancel: { parameters: ["usize"], result: "i32" },
  rmr1_job_close: { parameters: ["usize"], result: "i32" },
  rmr1_handle_close: { parameters: ["usize"], result: "i32" },
} as const;

/**
 * Loads a library in Deno. It is never unloaded, because cancelled work may still be winding down on its threads.
 *
 * @throws {EngineError} It cannot be loaded, or may not be.
 */
export function loadInDeno(path: string): NativeSymbols {
  try {
    return Deno.dlopen(path, SYMBOLS).symbols;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const remedy = error instanceof Deno.errors.NotCapable
      ? `allow it with --allow-ffi="${path}"`
      : 'build it with "cargo build --release", or set RMR1_NATIVE_LIB to its file';
    throw new EngineError("library", `Cannot load the native core "${path}": ${remedy} (${reason})`, {
      cause: error,
    });
  }
}
