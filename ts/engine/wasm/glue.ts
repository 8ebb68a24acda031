/**
 * Where the WebAssembly core and what wasm-bindgen wrote for it lie in this workspace. The npm build has a module of
 * its own in place of this one, which bundlers can follow.
 *
 * @module
 */

/** What the core's WebAssembly exports, as wasm-bindgen wraps it. See `core-rs/src/wasm.rs`. */
export interface Glue {
  /** Starts the thread's instance of the core in this memory, unless there is one. */
  default(
    options: { readonly module_or_path: WebAssembly.Module; readonly memory: WebAssembly.Memory },
  ): Promise<{ readonly memory: WebAssembly.Memory }>;
  abiVersion(): number;
  failure(): string[];
  lendThread(): void;
  expectThreads(threads: number): void;
  start(request: Uint8Array): number;
  advance(job: number): number;
  take(job: number): Uint8Array<ArrayBuffer>;
  cancel(job: number): void;
  closeJob(job: number): void;
  closeHandle(handle: number): void;
  reserveFile(path: string, length: number): number;
  publishFile(path: string): void;
  hashFile(path: string): string;
  removeFiles(path: string): void;
  listFiles(folder: string): string[];
  findFile(path: string): ArrayLike<number>;
}

const FOLDER = new URL("../../../target/wasm/", import.meta.url);

/** The WebAssembly itself. */
export const WASM_URL: URL = new URL("rmr1_core_bg.wasm", FOLDER);

/** Loads what wraps it. */
export async function loadGlue(): Promise<Glue> {
  return await import(new URL("rmr1_core.js", FOLDER).href);
}
