/**
 * The worker's side: a core that answers messages.
 *
 * @module
 */
import { type Call, DIED, type Port, sendError, STARTED, transferred } from "./messages.ts";
import type { Glue } from "./glue.ts";
import { WasmDoor } from "./wasm_door.ts";

/**
 * Answers calls by a core that starts now. Its first message is that of {@link STARTED}, with the error if it could not.
 *
 * @param wasm where the WebAssembly is, or its bytes
 */
export async function serve(
  port: Port,
  glue: Promise<Glue>,
  wasm: URL | Promise<BufferSource>,
): Promise<void> {
  let door: WasmDoor;
  try {
    door = await WasmDoor.open(await glue, await wasm);
  } catch (error) {
    port.post({ id: STARTED, error: sendError(error) }, []);
    return;
  }
  /** The core's numbers of jobs by the caller's, which are there before the core has heard of them. */
  const jobs = new Map<number, number>();
  const known = (job: unknown): number => jobs.get(job as number) ?? 0;
  const { pieces } = door;
  const methods: Record<string, (...args: never[]) => unknown> = {
    ...pieces,
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
  };
  port.onMessage(async (message) => {
    const { id, method, args } = message as Call;
    try {
      const value = await methods[method]!(...args as never[]);
      port.post({ id, value }, transferred([value].flat()));
    } catch (error) {
      port.post({ id, error: sendError(error) }, []);
      if (door.isEnded) port.post({ id: DIED, error: sendError(error) }, []);
    }
  });
  port.post({ id: STARTED, value: null }, []);
}
