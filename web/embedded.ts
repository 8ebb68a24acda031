/**
 * What the page brings along: gzip in base64, in elements that no browser runs.
 *
 * @module
 */
/// <reference lib="dom" />
import type { ModelFiles } from "../ts/engine/core/model_files.ts";
import { browserCore, coreWorkerOf } from "../ts/engine/wasm/start_web_worker.ts";
import { WorkerDoor } from "../ts/engine/wasm/worker_door.ts";

function contentOf(id: string): string {
  return document.getElementById(id)?.textContent ?? "";
}

/** Unpacks what an element holds. */
export async function unpack(id: string): Promise<Blob> {
  const bytes = Uint8Array.from(atob(contentOf(id)), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return await new Response(stream).blob();
}

/** The judge that comes with the page: null where it was built without one. */
export function embeddedJudge(): ModelFiles | null {
  const names = [...document.querySelectorAll("[data-judge-file]")].map((found) => found.id);
  if (names.length === 0) return null;
  return {
    name: "the small judge",
    files: names.map((id) => ({
      name: id.slice("judge/".length),
      open: async () => {
        const blob = await unpack(id);
        return { size: blob.size, stream: blob.stream() };
      },
    })),
  };
}

/** Starts the core on workers. */
export async function startCore(): Promise<WorkerDoor> {
  const source = await unpack("worker");
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const wasm = await (await unpack("wasm")).arrayBuffer();
  try {
    return await WorkerDoor.open(() => coreWorkerOf(new Worker(address)), { ...browserCore({}), wasm });
  } finally {
    URL.revokeObjectURL(address);
  }
}
