/**
 * Files that go into the core's memory piece by piece.
 *
 * @module
 */
import { closedError, type CoreFiles } from "../core/door.ts";
import { EngineError } from "../error.ts";

/** What a core in WebAssembly can do with files. */
export interface FilePieces {
  /** Makes room for a file, and tells where in the core's memory. */
  reserve(path: string, size: number): Promise<number>;
  /** Writes into a reserved file. The chunk may be given away. */
  fill(address: number, chunk: Uint8Array): Promise<void>;
  /** Lets a filled file be read, if it has this hash. */
  publish(path: string, sha256: string | null): Promise<void>;
  list(folder: string): Promise<string[]>;
  /** Where a file lies in the core's memory, and its length. */
  find(path: string): Promise<readonly [address: number, length: number]>;
  /** A copy of what lies there. */
  copy(address: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  remove(path: string): Promise<void>;
}

/** What needs no more than the core's memory. */
export function memoryPieces(memory: WebAssembly.Memory): Pick<FilePieces, "fill" | "copy"> {
  // Growing the memory gives it another buffer, so no view is kept.
  const bytes = (): Uint8Array => new Uint8Array(memory.buffer);
  return {
    fill: (address, chunk) => new Promise((resolve) => resolve(bytes().set(chunk, address))),
    copy: (address, length) =>
      new Promise((resolve) => resolve(new Uint8Array(bytes().subarray(address, address + length)))),
  };
}

/**
 * Files by their pieces.
 *
 * @param ended aborted when the core has died or was ended
 */
export function filesOf(pieces: FilePieces, ended: AbortSignal): CoreFiles {
  /** Files that are being written. What takes one's memory away gives it up before. */
  const writing = new Map<string, AbortController>();
  const giveUp = (isMeant: (path: string) => boolean): void => {
    for (const [path, write] of writing) {
      if (!isMeant(path)) continue;
      writing.delete(path);
      write.abort(closedError());
    }
  };

  async function fill(path: string, size: number, stop: AbortSignal, stream: Reader): Promise<void> {
    stop.throwIfAborted();
    const start = await pieces.reserve(path, size);
    let at = 0;
    while (true) {
      const { done, value } = await read(path, stream, `after "${at}" of ${size} bytes`);
      // Nothing may be waited for between this and the filling.
      stop.throwIfAborted();
      if (done) break;
      if (at + value.length > size) throw wrongSize(path, `more than ${at}`, size);
      const { length } = value;
      await pieces.fill(start + at, value);
      at += length;
    }
    if (at < size) throw wrongSize(path, String(at), size);
  }

  return {
    list: (folder) => pieces.list(folder),
    read: async (path) => await pieces.copy(...await pieces.find(path)),
    remove: async (path) => {
      giveUp((written) => written === path || written.startsWith(`${path}/`));
      await pieces.remove(path);
    },
    async write(path, size, stream, { sha256, signal } = {}) {
      giveUp((written) => written === path);
      const write = new AbortController();
      writing.set(path, write);
      const stop = AbortSignal.any([write.signal, ended, ...(signal === undefined ? [] : [signal])]);
      const reader = stream.getReader();
      const cancel = (): void => void reader.cancel(stop.reason).catch(() => {});
      stop.addEventListener("abort", cancel, { once: true });
      try {
        await fill(path, size, stop, reader);
        await pieces.publish(path, sha256 ?? null);
      } catch (error) {
        // What went wrong first is the error to report.
        await reader.cancel(error).catch(() => {});
        if (writing.get(path) === write) await pieces.remove(path).catch(() => {});
        stop.throwIfAborted();
        throw error;
      } finally {
        stop.removeEventListener("abort", cancel);
        if (writing.get(path) === write) writing.delete(path);
        reader.releaseLock();
      }
    },
  };
}

type Reader = ReadableStreamDefaultReader<Uint8Array>;

async function read(path: string, stream: Reader, where: string): ReturnType<Reader["read"]> {
  try {
    return await stream.read();
  } catch (error) {
    if (error instanceof Error && error.name === "AbortError") throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new EngineError("io", `Cannot read "${path}": the stream ended ${where} (${reason})`, {
      cause: error,
    });
  }
}

function wrongSize(path: string, found: string, size: number): EngineError {
  return new EngineError("io", `Cannot read "${path}": found "${found}" bytes, expected ${size}`);
}
