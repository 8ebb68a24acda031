/**
 * The worker's side: a core that answers messages, or a thread that computes with one.
 *
 * @module
 */
import { type Call, DIED, type Port, type Role, sendError, STARTED, transferred } from "./messages.ts";
import type { Glue } from "./glue.ts";
import { failureOf, WasmDoor } from "./wasm_door.ts";

/** What a worker is made of. */
export interface WorkerParts {
  readonly loadGlue: () => Promise<Glue>;
  /** Where the WebAssembly is, or its bytes, unless they come with the {@link Role}. */
  readonly wasm: () => URL | Promise<BufferSource>;
}

/** Takes the role that the first message names. */
export function serve(port: Port, parts: WorkerParts): void {
  let answer: ((call: Call) => Promise<void>) | null = null;
  port.onMessage(async (message) => {
    if (answer !== null) return await answer(message as Call);
    const role = message as Role;
    try {
      if (role.role === "thread") return await lend(port, await parts.loadGlue(), role.core);
      const door = await WasmDoor.open(await parts.loadGlue(), role.wasm ?? await parts.wasm());
      answer = answers(port, door);
      port.post({ id: STARTED, value: role.shares ? door.shared : null }, []);
    } catch (error) {
      port.post({ id: STARTED, error: sendError(error) }, []);
    }
  });
}

/** Gives this worker's thread to a core. It hears of nothing from then on. */
async function lend(port: Port, glue: Glue, { module, memory }: WasmDoor["shared"]): Promise<void> {
  await glue.default({ module_or_path: module, memory });
  port.post({ id: STARTED, value: null }, []);
  try {
    glue.lendThread();
  } catch (error) {
    port.post({ id: DIED, error: sendError(failureOf(glue, error)) }, []);
  }
}

function answers(port: Port, door: WasmDoor): (call: Call) => Promise<void> {
  /** The core's numbers of jobs by the caller's, which are there before the core has heard of them. */
  const jobs = new Map<number, number>();
  const known = (job: unknown): number => jobs.get(job as number) ?? 0;
  const methods: Record<string, (...args: never[]) => unknown> = {
    ...door.pieces,
    start: (job: number, request: Uint8Array<ArrayBuffer>) => {
      jobs.set(job, door.start(request));
    },
    next: async (job: number) => {
      const { kind, bytes } = await door.next(known(job));
      return [kind, bytes];
    },
    cancel: (job: number) => door.cancel(known(job)),
    closeJob: (job: number) => {
      door.closeJob(known(job));
      jobs.delete(job);
    },
    closeHandle: (handle: number) => door.closeHandle(handle),
    expectThreads: (threads: number) => door.expectThreads(threads),
  };
  return async ({ id, method, args }) => {
    try {
      const value = await methods[method]!(...args as never[]);
      port.post({ id, value }, transferred([value].flat()));
    } catch (error) {
      port.post({ id, error: sendError(error) }, []);
      if (door.isEnded) port.post({ id: DIED, error: sendError(error) }, []);
    }
  };
}
