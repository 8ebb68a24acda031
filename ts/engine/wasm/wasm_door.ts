/**
 * The core in WebAssembly, on the thread that this module is on.
 *
 * @module
 */
import { ABI_VERSION, closedError, type CoreFiles, type Door, type DoorEvent, EVENT } from "../core/door.ts";
import { EngineError, type EngineErrorKind } from "../error.ts";
import type { Glue } from "./glue.ts";
import type { SharedCore } from "./messages.ts";
import { type FilePieces, filesOf, memoryPieces } from "./pieces.ts";

/** No event yet: the job has had a turn and asks for another. */
const WORKING = 4;
/** What 32 bits can count. */
const MOST_BYTES = 2 ** 32 - 1;
/** Milliseconds of work after which the thread hears of other things. */
const TURN_MILLISECONDS = 8;

/** The smallest module with an instruction on 128 bits: `i8x16.splat` and `drop`. */
const SIMD = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 9, 1, 7, 0, 65, 0, 253, 15, 26, 11],
);

/** A door onto an instance of the core. */
export class WasmDoor implements Door {
  readonly about = "WebAssembly, on this thread";
  readonly files: CoreFiles;
  /** As {@link WasmDoor.files}, for who passes pieces on. */
  readonly pieces: FilePieces;
  /** For threads that compute with this one. */
  readonly shared: SharedCore;
  readonly #glue: Glue;
  readonly #ended = new AbortController();
  #failure: EngineError | undefined;
  #turnEnds = 0;

  private constructor(glue: Glue, shared: SharedCore) {
    this.#glue = glue;
    this.shared = shared;
    this.pieces = this.#makePieces();
    this.files = filesOf(this.pieces, this.#ended.signal);
  }

  /**
   * Starts an instance.
   *
   * @param wasm where the WebAssembly is, or its bytes
   * @throws {EngineError} There is no WebAssembly with SIMD here, or it cannot be had, or is of another version.
   */
  static async open(glue: Glue, wasm: URL | BufferSource): Promise<WasmDoor> {
    if (typeof WebAssembly !== "object" || !WebAssembly.validate(SIMD)) {
      throw new EngineError(
        "device",
        "There is no WebAssembly with SIMD here, expected a browser or runtime of 2023 or newer",
      );
    }
    let shared: SharedCore;
    try {
      const module = await compile(wasm);
      // Where an instance has been started on this thread before, it is that one, with its own memory.
      const { memory } = await glue.default({ module_or_path: module, memory: newMemory() });
      shared = { module, memory };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new EngineError("library", `Cannot start the WebAssembly core: ${reason}`, { cause: error });
    }
    const version = glue.abiVersion();
    if (version !== ABI_VERSION) {
      throw new EngineError(
        "library",
        `The WebAssembly core has ABI version "${version}", expected ${ABI_VERSION}: build it again`,
      );
    }
    return new WasmDoor(glue, shared);
  }

  get isEnded(): boolean {
    return this.#failure !== undefined;
  }

  start(request: Uint8Array<ArrayBuffer>): number {
    return this.#call(() => this.#glue.start(request));
  }

  async next(job: number): Promise<DoorEvent> {
    while (true) {
      if (performance.now() >= this.#turnEnds) {
        await breathe();
        this.#turnEnds = performance.now() + TURN_MILLISECONDS;
      }
      const kind = this.#call(() => this.#glue.advance(job));
      if (kind === EVENT.end) return { kind, bytes: new Uint8Array() };
      if (kind !== WORKING) return { kind, bytes: this.#call(() => this.#glue.take(job)) };
    }
  }

  cancel(job: number): void {
    this.#call(() => this.#glue.cancel(job));
  }

  /** Tells the core how many threads compute with it. */
  expectThreads(threads: number): void {
    this.#call(() => this.#glue.expectThreads(threads));
  }

  closeJob(job: number): void {
    this.#close(() => this.#glue.closeJob(job));
  }

  closeHandle(handle: number): void {
    this.#close(() => this.#glue.closeHandle(handle));
  }

  #makePieces(): FilePieces {
    const call = <T>(work: () => T): Promise<T> => new Promise((resolve) => resolve(this.#call(work)));
    return {
      ...memoryPieces(this.shared.memory),
      reserve: (path, size) =>
        call(() => {
          // The core counts in 32 bits and would see a smaller number.
          if (!(size <= MOST_BYTES)) throw refusal("memory");
          return this.#glue.reserveFile(path, size);
        }),
      publish: (path, sha256) =>
        call(() => {
          this.#glue.publishFile(path);
          const found = sha256 === null ? null : this.#glue.hashFile(path);
          if (found === sha256) return;
          this.#glue.removeFiles(path);
          throw new EngineError(
            "format",
            `"${path}" has the SHA-256 "${found}", expected ${sha256}: it was damaged on its way`,
          );
        }),
      list: (folder) => call(() => this.#glue.listFiles(folder)),
      find: (path) => call(() => Array.from(this.#glue.findFile(path)) as [number, number]),
      remove: (path) => call(() => this.#glue.removeFiles(path)),
    };
  }

  /** What has died need not be closed. */
  #close(work: () => void): void {
    if (this.#failure === undefined) this.#call(work);
  }

  #call<T>(work: () => T): T {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      return work();
    } catch (error) {
      if (error instanceof EngineError) throw error;
      if (typeof error === "string") throw refusal(error);
      // A trap: the instance is of no use any more.
      this.#failure = failureOf(this.#glue, error);
      this.#ended.abort(this.#failure);
      throw this.#failure;
    }
  }
}

/** Why a trap ended an instance. */
export function failureOf(glue: Glue, trap: unknown): EngineError {
  let kind: string | undefined, message: string | undefined;
  try {
    [kind, message] = glue.failure();
  } catch {
    // Telling takes memory, too.
    [kind, message] = ["internal", "The WebAssembly core ended with a trap and could not say why"];
  }
  const words = kind === "internal" && trap instanceof Error ? `${message} (${trap.message})` : message;
  return new EngineError(kind as EngineErrorKind, words!, { cause: trap });
}

async function compile(wasm: URL | BufferSource): Promise<WebAssembly.Module> {
  if (!(wasm instanceof URL)) return await WebAssembly.compile(wasm);
  const response = await fetch(wasm);
  if (!response.ok) throw new Error(`status "${response.status}" for "${wasm}", expected 200`);
  // Only what is served by this name may be compiled while it comes.
  const inPieces = response.headers.get("content-type") === "application/wasm";
  return inPieces
    ? await WebAssembly.compileStreaming(response)
    : await WebAssembly.compile(await response.arrayBuffer());
}

/** Room for the core's own data; pages of 64 KiB, which take memory only when they are used. */
const FIRST_PAGES = 64;
/** What 32 bits reach. Some systems set no such range of addresses aside for what threads share. */
const MOST_PAGES = [65536, 32768, 16384, 8192];

/** A memory of the largest limit that there is room for. It can be shared, which only some pages may then do. */
function newMemory(): WebAssembly.Memory {
  let refused: unknown;
  for (const maximum of MOST_PAGES) {
    try {
      return new WebAssembly.Memory({ initial: FIRST_PAGES, maximum, shared: true });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      refused = error;
    }
  }
  throw refused;
}

function refusal(kind: string): EngineError {
  switch (kind) {
    case "handle":
      return closedError();
    case "memory":
      return new EngineError(
        "memory",
        "WebAssembly has no memory for the file, expected room below its limit",
      );
    default:
      return new EngineError(kind as EngineErrorKind, "The WebAssembly core refused a call");
  }
}

const channel = new MessageChannel();
const waiting: (() => void)[] = [];
/** Outside of browsers an open port keeps the process alive, which it is to do while somebody waits. */
const held = channel.port1 as { ref?: () => void; unref?: () => void };
channel.port1.onmessage = () => {
  waiting.shift()?.();
  if (waiting.length === 0) held.unref?.();
};
held.unref?.();

/** Lets the thread hear of messages. Timers would wait for milliseconds. */
function breathe(): Promise<void> {
  return new Promise((resolve) => {
    if (waiting.length === 0) held.ref?.();
    waiting.push(resolve);
    channel.port2.postMessage(null);
  });
}
