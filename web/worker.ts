/**
 * The page's worker: its core's WebAssembly comes with the first message.
 *
 * @module
 */
import type { Glue } from "../ts/engine/wasm/glue.ts";
import { serve } from "../ts/engine/wasm/serve.ts";
import { portOf, type WorkerScope } from "../ts/engine/wasm/worker_scope.ts";
// What wasm-bindgen writes is there once the core has been built, which the page's build sees to.
// @ts-ignore: it has no place in the workspace
import * as glue from "../target/wasm/rmr1_core.js";

serve(portOf(globalThis as unknown as WorkerScope), {
  loadGlue: () => Promise.resolve(glue as Glue),
  wasm: () => Promise.reject(new TypeError("No WebAssembly came with the worker's role")),
});
