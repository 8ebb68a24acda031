/**
 * Finds the core in Deno, Node and Bun, and takes files to one that has none.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { mkdir, open, readdir, rename, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { ABI_VERSION, type CoreFiles, type Door, type OwnDoor } from "../core/door.ts";
import type { ModelFile, ModelFiles } from "../core/model_files.ts";
import { EngineError } from "../error.ts";
import { WASM_URL } from "../wasm/glue.ts";
import { startNodeWorker } from "../wasm/start_node_worker.ts";
import { threadCount, type WasmOptions } from "../wasm/threads.ts";
import { WorkerDoor } from "../wasm/worker_door.ts";
import { environment } from "../../environment.ts";
import { IN_WORKSPACE } from "../../workspace.ts";
import { kept } from "./kept.ts";
import { NativeDoor } from "./native_door.ts";

const openKept = kept(find);
const openKeptWasm = kept(() => openWasm("the native core reads paths alone"));

/**
 * The process's core, which stays open; one that has died is replaced. In this order: the file that `RMR1_NATIVE_LIB`
 * names, what `cargo build --release` left in this workspace, the platform's package, WebAssembly.
 *
 * @throws {EngineError} Kind `library`: none can be loaded, or the one that was named cannot.
 */
export function openDoor(): Promise<Door> {
  return openKept();
}

/**
 * The process's core that files can be streamed into: that of {@link openDoor}, or one in WebAssembly beside it.
 *
 * @throws {EngineError} As {@link openDoor}.
 */
export async function openFileDoor(): Promise<Door> {
  const door = await openDoor();
  return door.files === null ? await openKeptWasm() : door;
}

/**
 * The core in WebAssembly, on workers of its own, whatever else there is.
 *
 * @throws {EngineError} It cannot be had.
 */
export async function openWasmDoor(options: WasmOptions = {}): Promise<OwnDoor> {
  return await openWasm("asked for", options);
}

async function openWasm(why: string, options: WasmOptions = {}): Promise<OwnDoor> {
  if (WASM_URL.protocol === "file:" && !existsSync(WASM_URL)) {
    throw new EngineError(
      "library",
      `There is no WebAssembly core at "${fileURLToPath(WASM_URL)}": ${
        IN_WORKSPACE ? 'build it with "deno task wasm"' : "leave rm-r1 out of bundles for servers"
      }`,
    );
  }
  const threads = threadCount(options, availableParallelism());
  return await WorkerDoor.open(startNodeWorker, { why, shares: true, threads });
}

async function find(): Promise<Door> {
  const named = environment("RMR1_NATIVE_LIB");
  if (named !== undefined && named !== "") return await openNative(named, "RMR1_NATIVE_LIB names it");
  const reasons: string[] = [];
  const candidates: [path: string | null, why: string][] = [
    [localBuild(), "built in this workspace"],
    [packaged(), "the package of this platform"],
  ];
  for (const [path, why] of candidates) {
    if (path === null) continue;
    try {
      return await openNative(path, why);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      reasons.push(error.message);
    }
  }
  if (reasons.length === 0) reasons.push(`no native core for ${platform()} is installed`);
  try {
    return await openWasm(reasons.join("; "));
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    throw new EngineError("library", [...reasons, error.message].join("; "), { cause: error });
  }
}

async function openNative(path: string, why: string): Promise<NativeDoor> {
  const symbols = "Deno" in globalThis
    ? (await import("./deno_library.ts")).loadInDeno(path)
    : (await import("./koffi_library.ts")).loadInNode(path);
  const version = symbols.rmr1_abi_version();
  if (version !== ABI_VERSION) {
    throw new EngineError(
      "library",
      `The native core "${path}" has ABI version "${version}", expected ${ABI_VERSION}: build it again`,
    );
  }
  return new NativeDoor(symbols, `native core "${path}" (${why})`);
}

function libraryName(): string {
  switch (process.platform) {
    case "win32":
      return "rmr1_core.dll";
    case "darwin":
      return "librmr1_core.dylib";
    default:
      return "librmr1_core.so";
  }
}

function localBuild(): string | null {
  if (!IN_WORKSPACE) return null;
  return fileURLToPath(new URL(`../../../target/release/${libraryName()}`, import.meta.url));
}

function platform(): string {
  return `${process.platform}-${process.arch}`;
}

/** npm installs the package of the platform and its C library, or none. */
function packaged(): string | null {
  if (!import.meta.url.startsWith("file:")) return null;
  const { resolve } = createRequire(import.meta.url);
  for (const name of [platform(), `${platform()}-gnu`]) {
    try {
      return join(resolve(`@rm-r1/${name}/package.json`), "..", libraryName());
    } catch {
      // It is not installed.
    }
  }
  return null;
}

/**
 * The files of a model: a folder's, or a single one.
 *
 * @throws {EngineError} Kind `io`: there is nothing, or it cannot be read.
 */
export async function modelFiles(path: string): Promise<ModelFiles> {
  try {
    if (!(await stat(path)).isDirectory()) return { name: basename(path), files: [fileAt(path)] };
    const names = (await readdir(path, { withFileTypes: true })).filter((entry) => entry.isFile());
    return {
      name: basename(path),
      files: names.map(({ name }) => fileAt(join(path, name))),
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new EngineError("io", `Cannot read "${path}": ${reason}`, { cause: error });
  }
}

function fileAt(path: string): ModelFile {
  return {
    name: basename(path),
    open: async () => ({ size: (await stat(path)).size, stream: await streamOf(path) }),
  };
}

/** Chunks larger than those of the system's own streams: a model has thousands of them. */
const CHUNK_BYTES = 1 << 20;

async function streamOf(path: string): Promise<ReadableStream<Uint8Array>> {
  const file = await open(path);
  return new ReadableStream({
    async pull(controller) {
      const chunk = new Uint8Array(CHUNK_BYTES);
      const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES).catch(async (error: unknown) => {
        await file.close();
        throw error;
      });
      if (bytesRead > 0) controller.enqueue(bytesRead === CHUNK_BYTES ? chunk : chunk.slice(0, bytesRead));
      else {
        await file.close();
        controller.close();
      }
    },
    async cancel() {
      await file.close();
    },
  }, { highWaterMark: 0 });
}

/** Copies a folder of the core's to the system's, each file whole or not at all. */
export async function storeFiles(files: CoreFiles, folder: string, directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const name of await files.list(folder)) {
    const path = join(directory, name);
    const beside = join(directory, `.${name}.${process.pid}.tmp`);
    await writeFile(beside, await files.read(`${folder}/${name}`), { flush: true });
    await rename(beside, path);
  }
}
