/**
 * Finds and loads the native core through Deno's FFI: buffers and `usize` ids only, so that a scoped `--allow-ffi`
 * is enough.
 *
 * @module
 */

import { join } from "node:path";
import process from "node:process";
import { EngineError } from "../error.ts";

const ABI_VERSION = 3;

const SYMBOLS = {
  rmr1_abi_version: { parameters: [], result: "u32" },
  rmr1_job_start: { parameters: ["buffer", "usize", "buffer"], result: "i32" },
  rmr1_job_poll: { parameters: ["usize", "buffer", "buffer"], result: "i32", nonblocking: true },
  rmr1_job_take: { parameters: ["usize", "buffer", "usize"], result: "i32" },
  rmr1_job_cancel: { parameters: ["usize"], result: "i32" },
  rmr1_job_close: { parameters: ["usize"], result: "i32" },
  rmr1_handle_close: { parameters: ["usize"], result: "i32" },
} as const;

/** The symbols of the native core. All but `rmr1_job_poll` return at once. */
export type NativeSymbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

let loaded: NativeSymbols | undefined;

/**
 * Loads the core once for the process: the file that `RMR1_NATIVE_LIB` names, or what `cargo build --release` leaves
 * in this workspace. It is never unloaded, because cancelled work may still be winding down on its threads. Throws an
 * {@link EngineError} of kind `library` when it is missing, may not be loaded or is of another version.
 */
export function loadLibrary(): NativeSymbols {
  return loaded ??= open(libraryPath());
}

/** Turns the status of a call into an error unless it is 0. */
export function checkStatus(status: number): void {
  if (status === 0) return;
  if (status === 2) throw new EngineError("handle", "The engine, or what was asked of it, has been closed");
  if (status === 1) throw new EngineError("input", "The native core refused a call");
  throw new EngineError("internal", `The native core failed with status "${status}"`);
}

function libraryPath(): string {
  const named = environment("RMR1_NATIVE_LIB");
  if (named !== undefined && named !== "") return named;
  const here = import.meta.dirname;
  if (here === undefined) {
    throw new EngineError("library", "The native core was not found: set RMR1_NATIVE_LIB to its file");
  }
  const file = { windows: "rmr1_core.dll", darwin: "librmr1_core.dylib" }[Deno.build.os as string] ??
    "librmr1_core.so";
  return join(here, "..", "..", "..", "target", "release", file);
}

function environment(name: string): string | undefined {
  // Asking first keeps a run with no environment permission from stopping at a prompt.
  const { state } = Deno.permissions.querySync({ name: "env", variable: name });
  return state === "granted" ? process.env[name] : undefined;
}

function open(path: string): NativeSymbols {
  let library;
  try {
    library = Deno.dlopen(path, SYMBOLS);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const remedy = error instanceof Deno.errors.NotCapable
      ? `allow it with --allow-ffi="${path}"`
      : 'build it with "cargo build --release", or set RMR1_NATIVE_LIB to its file';
    throw new EngineError("library", `Cannot load the native core "${path}": ${remedy} (${reason})`, {
      cause: error,
    });
  }
  const version = library.symbols.rmr1_abi_version();
  if (version !== ABI_VERSION) {
    library.close();
    throw new EngineError(
      "library",
      `The native core "${path}" has ABI version "${version}", expected ${ABI_VERSION}: build it again`,
    );
  }
  return library.symbols;
}
