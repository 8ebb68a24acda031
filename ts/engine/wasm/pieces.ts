/**
 * Files that go into the core's memory piece by piece.
 *
 * @module
 */
import { chunks } from "../chunks.ts";
import type { CoreFiles } from "../core/door.ts";
import { EngineError } from "../error.ts";

/** What a core in WebAssembly can do with files. */
export interface FilePieces {
  /** Makes room for a file, and tells where in the core's memory. */
  reserve(path: string, size: number): Promise<number>;
  /** Writes into a reserved file. The chunk may be given away. */
  fill(address: number, chunk: Uint8Array<ArrayBuffer>): Promise<void>;
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

/** Files by their pieces. */
export function filesOf(pieces: FilePieces): CoreFiles {
  return {
    list: (folder) => pieces.list(folder),
    read: async (path) => await pieces.copy(...await pieces.find(path)),
    remove: (path) => pieces.remove(path),
    async write(path, size, stream, sha256) {
      let at = 0;
      try {
        const start = await pieces.reserve(path, size);
        for await (const chunk of chunks(stream)) {
          if (at + chunk.length > size) throw wrongSize(path, `more than ${at}`, size);
          const { length } = chunk;
          await pieces.fill(start + at, owned(chunk));
          at += length;
        }
        if (at < size) throw wrongSize(path, String(at), size);
        await pieces.publish(path, sha256 ?? null);
      } catch (error) {
        await pieces.remove(path).catch(() => {
          // The first error is the one to report.
        });
        if (error instanceof EngineError) throw error;
        const reason = error instanceof Error ? error.message : String(error);
        if (error instanceof Error && error.name === "AbortError") throw error;
        throw new EngineError(
          "io",
          `Cannot read "${path}": the stream ended after "${at}" of ${size} bytes (${reason})`,
          { cause: error },
        );
      }
    },
  };
}

function wrongSize(path: string, found: string, size: number): EngineError {
  return new EngineError("io", `Cannot read "${path}": found "${found}" bytes, expected ${size}`);
}

/** A chunk whose buffer is its own, so that it can be given away: pools lend theirs to many. */
function owned(chunk: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = chunk.buffer instanceof ArrayBuffer && chunk.byteLength === chunk.buffer.byteLength;
  return whole ? chunk as Uint8Array<ArrayBuffer> : chunk.slice();
}
