/**
 * Opens models for commands.
 *
 * @module
 */
import type { CoreEngine, CoreOptions, CoreReference } from "../engine/core/core_engine.ts";
import { resolveModel } from "../models/mod.ts";
import { type Arithmetic, ARITHMETICS, type Device } from "../engine/device.ts";
import {
  type Engine,
  INFERENCE_PRECISIONS,
  type InferencePrecision,
  type Precision,
} from "../engine/engine.ts";
import { anyText, defaulted, deviceName, oneOf, required, wholeNumber } from "./parser.ts";

/** Options that say how a model is computed. */
export const ENGINE_OPTIONS = {
  threads: defaulted("--threads", wholeNumber({ min: 0, max: 1024 }), 0, "Threads, 0 for all cores"),
  precision: defaulted("--precision", oneOf(INFERENCE_PRECISIONS), "f32", "What matrix products read"),
  device: defaulted(
    "--device",
    deviceName(),
    "auto",
    "cpu, cuda:N, or auto for a CUDA device if there is one",
  ),
  arithmetic: defaulted(
    "--arithmetic",
    oneOf(ARITHMETICS),
    "exact",
    "How a CUDA device multiplies: in one order whatever the batch, or by the vendor's library",
  ),
};

/** How a model is opened; 0 threads leave their number to the engine. */
type Choice<P extends InferencePrecision> =
  & {
    readonly threads: number;
    readonly precision: P;
    readonly device: Device;
    readonly arithmetic: Arithmetic;
  }
  & Pick<
    CoreOptions,
    "onSummary"
  >;

/** Options of every command that opens a model. */
export const MODEL_OPTIONS = {
  model: required(
    "--model",
    anyText("MODEL"),
    "A model's name, its folder in Hugging Face layout, or a GGUF file",
  ),
  ...ENGINE_OPTIONS,
};

/**
 * Opens a model by its name or path on the native engine. The engine's module is loaded only now, so that commands
 * without a model run where the core has not been built.
 */
export async function openModel(model: string, options: Choice<Precision>): Promise<CoreEngine> {
  const path = await resolveModel(model);
  const { CoreEngine } = await import("../engine/core/core_engine.ts");
  return await CoreEngine.open(path, nativeOptions(options));
}

/** As {@link openModel}, for inference alone: less memory and, at the precisions of training, the same bits. */
export async function openFrozen(
  model: string,
  options: Choice<InferencePrecision>,
): Promise<CoreReference> {
  const path = await resolveModel(model);
  const { CoreReference } = await import("../engine/core/core_engine.ts");
  return await CoreReference.open(path, nativeOptions(options));
}

function nativeOptions<P extends InferencePrecision>(
  { threads, ...options }: Choice<P>,
): CoreOptions & { readonly precision: P } {
  return { ...options, ...(threads > 0 && { threads }) };
}

/** One line about an opened model: what it is and where it runs. */
export function describeModel({ info }: Engine): string {
  return `model ${info.name} · ${(info.parameters / 1e6).toFixed(1)} M parameters · ${info.backend}\n`;
}
