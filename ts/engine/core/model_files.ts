/**
 * Where a model's files come from when the core cannot read them by itself.
 *
 * @module
 */
import { EngineError } from "../error.ts";
import type { Door } from "./door.ts";

/** A file that can be streamed. */
export interface ModelFile {
  /** As the model's folder has it. */
  readonly name: string;
  /** In hexadecimal, where it is known. */
  readonly sha256?: string;
  /** Begins to read it. */
  open(signal?: AbortSignal): Promise<{ readonly size: number; readonly stream: ReadableStream<Uint8Array> }>;
}

/** A model as files: those of a Hugging Face folder, or one GGUF file. */
export interface ModelFiles {
  /** For messages. */
  readonly name: string;
  /** In any order. */
  readonly files: readonly ModelFile[];
}

/** How far a file is, in bytes. */
export interface DownloadProgress {
  /** Its name. */
  readonly file: string;
  /** Bytes that have come. */
  readonly received: number;
  /** Bytes of all of it. */
  readonly total: number;
}

/** Options of {@link modelFromUrl}. */
export interface UrlOptions {
  /** In hexadecimal; the download is refused if it has another. */
  readonly sha256?: string;
  /** In place of the runtime's own. */
  readonly fetch?: typeof fetch;
}

/** A model at a URL: one GGUF file. */
export function modelFromUrl(url: string | URL, options: UrlOptions = {}): ModelFiles {
  const name = new URL(url).pathname.split("/").pop() || "model.gguf";
  return { name, files: [fileFromUrl(url, name, options)] };
}

/** One file at a URL. */
export function fileFromUrl(url: string | URL, name: string, options: UrlOptions = {}): ModelFile {
  const { sha256, fetch: get = fetch } = options;
  return {
    name,
    ...(sha256 !== undefined && { sha256 }),
    async open(signal) {
      let response;
      try {
        response = await get(url, signal === undefined ? {} : { signal });
      } catch (error) {
        signal?.throwIfAborted();
        const reason = error instanceof Error ? error.message : String(error);
        throw new EngineError("io", `Cannot download "${url}": ${reason}`, { cause: error });
      }
      if (!response.ok || response.body === null) {
        await response.body?.cancel();
        throw new EngineError("io", `Cannot download "${url}": status "${response.status}", expected 200`);
      }
      const length = Number(response.headers.get("content-length") ?? NaN);
      const isEncoded = response.headers.get("content-encoding") !== null;
      if (Number.isSafeInteger(length) && !isEncoded) return { size: length, stream: response.body };
      // The size is not known before the end.
      const blob = await response.blob();
      return { size: blob.size, stream: blob.stream() };
    },
  };
}

/** A model that a user chose: a GGUF file, or the files of a folder. */
export function modelFromBlobs(name: string, blobs: Readonly<Record<string, Blob>>): ModelFiles {
  return {
    name,
    files: Object.entries(blobs).map(([name, blob]) => ({
      name,
      open: () => Promise.resolve({ size: blob.size, stream: blob.stream() }),
    })),
  };
}

let folders = 0;

/** A folder of the core's that nothing else uses. */
export function scratchFolder(name: string): string {
  return `${++folders}/${name}`;
}

/** Options of {@link staged}. */
export interface StageOptions {
  readonly signal?: AbortSignal;
  readonly onDownload?: (progress: DownloadProgress) => void;
}

/**
 * Streams a model's files into the core's memory, one after the other, for as long as `use` works on the folder.
 *
 * @throws {EngineError} The core reads the system's files, or one of them could not be read.
 */
export async function staged<T>(
  door: Door,
  { name, files: sources }: ModelFiles,
  use: (folder: string) => Promise<T>,
  { signal, onDownload }: StageOptions = {},
): Promise<T> {
  const { files } = door;
  if (files === null) {
    throw new EngineError(
      "input",
      `"${name}" cannot be streamed into the ${door.about}, expected a path`,
    );
  }
  const folder = scratchFolder(name);
  try {
    for (const { name, sha256, open } of sources) {
      signal?.throwIfAborted();
      const { size, stream } = await open(signal);
      const counted = onDownload === undefined
        ? stream
        : stream.pipeThrough(counting((received) => onDownload({ file: name, received, total: size })));
      await files.write(`${folder}/${name}`, size, counted, {
        ...(sha256 !== undefined && { sha256 }),
        ...(signal !== undefined && { signal }),
      });
    }
    signal?.throwIfAborted();
    return await use(folder);
  } catch (error) {
    signal?.throwIfAborted();
    throw error instanceof EngineError ? named(error, folder, name) : error;
  } finally {
    await files.remove(folder).catch(() => {
      // A core that has died has no files; its death has been reported.
    });
  }
}

/** The error with files by the names that the caller knows, not by the place where the core had them. */
function named(error: EngineError, folder: string, name: string): EngineError {
  const message = error.message.replaceAll(`"${folder}/`, '"').replaceAll(`"${folder}"`, `"${name}"`);
  return message === error.message ? error : new EngineError(error.kind, message, { cause: error });
}

/** Tells the number of bytes that have gone through. */
function counting(tell: (received: number) => void): TransformStream<Uint8Array, Uint8Array> {
  let received = 0;
  return new TransformStream({
    transform(chunk, controller) {
      received += chunk.length;
      tell(received);
      controller.enqueue(chunk);
    },
  });
}
