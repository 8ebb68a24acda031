import { expect } from "expect";
import { EngineError } from "../error.ts";
import { type FilePieces, filesOf, memoryPieces } from "./pieces.ts";

/** Files in a memory of 64 KiB, each behind the ones before, with what has been asked of them. */
class SmallCore {
  readonly memory = new WebAssembly.Memory({ initial: 1 });
  readonly asked: string[] = [];
  readonly ended = new AbortController();
  readonly files;
  readonly #files = new Map<string, [address: number, length: number]>();
  #free = 0;

  constructor() {
    const pieces: FilePieces = {
      ...memoryPieces(this.memory),
      reserve: async (path, size) => {
        await Promise.resolve();
        if (this.#free + size > 65536) throw new EngineError("memory", "No room");
        this.#files.set(path, [this.#free, size]);
        this.#free += size;
        return this.#files.get(path)![0];
      },
      publish: (path) => Promise.resolve(void this.asked.push(`publish ${path}`)),
      list: () => Promise.resolve([]),
      find: (path) => Promise.resolve(this.#files.get(path)!),
      remove: (path) => Promise.resolve(void this.asked.push(`remove ${path}`)),
    };
    this.files = filesOf(pieces, this.ended.signal);
  }

  bytes(start: number, length: number): number[] {
    return [...new Uint8Array(this.memory.buffer, start, length)];
  }
}

/** A stream whose chunks the test gives, and what it was cancelled with. */
function stream(): {
  readonly stream: ReadableStream<Uint8Array>;
  readonly give: (...bytes: number[]) => Promise<void>;
  readonly cancelled: () => unknown;
} {
  let controller: ReadableStreamDefaultController<Uint8Array>;
  let cancelled: unknown = null;
  return {
    stream: new ReadableStream({
      start: (given) => {
        controller = given;
      },
      cancel: (reason) => {
        cancelled = reason;
      },
    }),
    give: async (...bytes) => {
      controller.enqueue(Uint8Array.from(bytes));
      await new Promise((resolve) => setTimeout(resolve, 2));
    },
    cancelled: () => cancelled,
  };
}

Deno.test("a file's bytes come to stand in the core's memory, and are read back", async () => {
  const core = new SmallCore();
  await core.files.write("a", 4, new Blob([Uint8Array.of(1, 2, 3, 4)]).stream());
  expect(core.bytes(0, 4)).toEqual([1, 2, 3, 4]);
  expect(await core.files.read("a")).toEqual(Uint8Array.of(1, 2, 3, 4));
  expect(core.asked).toEqual(["publish a"]);
});

Deno.test("where there is no room, or another number of bytes comes, the stream is cancelled and nothing stays", async () => {
  for (
    const [size, chunk, error] of [
      [70_000, [1], { kind: "memory", message: "No room" }],
      [2, [1, 2, 3], { kind: "io", message: 'Cannot read "a": found "more than 0" bytes, expected 2' }],
    ] as const
  ) {
    const core = new SmallCore();
    const source = stream();
    const written = core.files.write("a", size, source.stream);
    await Promise.all([expect(written).rejects.toMatchObject(error), source.give(...chunk)]);
    expect(source.cancelled()).toMatchObject(error);
    expect(core.asked).toEqual(["remove a"]);
  }
});

Deno.test("a signal, or the core's end, settles a write whose stream has stalled", async () => {
  const core = new SmallCore();
  const enough = new AbortController();
  const [one, other] = [stream(), stream()];
  const first = core.files.write("a", 9, one.stream, { signal: enough.signal });
  const second = core.files.write("b", 9, other.stream);
  await one.give(1);
  enough.abort(new Error("enough"));
  await expect(first).rejects.toThrow("enough");
  expect(one.cancelled()).toMatchObject({ message: "enough" });
  core.ended.abort(new EngineError("internal", "The core ended"));
  await expect(second).rejects.toThrow("The core ended");
  expect(other.cancelled()).toMatchObject({ message: "The core ended" });
  await expect(core.files.write("c", 1, stream().stream)).rejects.toThrow("The core ended");
});

Deno.test("a file that is removed, or written anew, while it is written gets not one byte more", async () => {
  const core = new SmallCore();
  const [removed, replaced, replacing] = [stream(), stream(), stream()];
  const first = core.files.write("folder/a", 4, removed.stream);
  const second = core.files.write("b", 4, replaced.stream);
  await removed.give(1, 1);
  await replaced.give(2, 2);
  await core.files.remove("folder");
  const third = core.files.write("b", 2, replacing.stream);
  await expect(first).rejects.toMatchObject({ kind: "handle" });
  await expect(second).rejects.toMatchObject({ kind: "handle" });
  expect(removed.cancelled()).toMatchObject({ kind: "handle" });
  await replacing.give(3, 3);
  replacing.stream.cancel().catch(() => {});
  expect(core.bytes(0, 10)).toEqual([1, 1, 0, 0, 2, 2, 0, 0, 3, 3]);
  expect(core.asked).toEqual(["remove folder"]);
  core.ended.abort(new EngineError("internal", "done"));
  await expect(third).rejects.toThrow("done");
});
