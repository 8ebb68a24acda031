/**
 * The worker of browsers.
 *
 * @module
 */
import { loadGlue, WASM_URL } from "./glue.ts";
import { serve } from "./serve.ts";
import { portOf, type WorkerScope } from "./worker_scope.ts";

serve(portOf(globalThis as unknown as WorkerScope), { loadGlue, wasm: () => WASM_URL });
