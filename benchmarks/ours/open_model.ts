/**
 * Opens the engine as a job asks for.
 *
 * @module
 */
import {
  type Engine,
  EngineError,
  type InferencePrecision,
  type Precision,
  type TrainableEngine,
} from "../../ts/engine/mod.ts";
import { CoreEngine, CoreReference } from "../../ts/engine/core/core_engine.ts";
import { EMBEDDED, resolveModel } from "../../ts/models/mod.ts";
import type { Job } from "../protocol.ts";
import { shapeConfig } from "../shapes.ts";
import { UnavailableError } from "../unavailable.ts";

type Named<P> = Pick<Job, "model" | "threads" | "device" | "arithmetic"> & { readonly precision: P };

/**
 * Opens a job's model to be trained.
 *
 * @throws {UnavailableError} The core has not been built.
 */
export async function openTrainable(
  { model, precision, threads, device = "cpu", arithmetic = "exact" }: Named<Precision>,
): Promise<TrainableEngine> {
  const options = { threads, precision, device, arithmetic };
  return await available(async () => {
    if ("path" in model) return await CoreEngine.open(model.path, options);
    if (model.shape === EMBEDDED) return await CoreEngine.open(await resolveModel(EMBEDDED), options);
    return await CoreEngine.init(shapeConfig(model.shape), { ...options, name: model.shape });
  });
}

/**
 * Opens a job's model for inference alone.
 *
 * @throws {UnavailableError} The core has not been built.
 */
export async function openFrozen(
  { model, precision, threads, device = "cpu", arithmetic = "exact" }: Named<InferencePrecision>,
): Promise<Engine> {
  if (!("path" in model)) throw new RangeError(`Model "${model.shape}" has random weights, expected a file`);
  return await available(() => CoreReference.open(model.path, { threads, precision, device, arithmetic }));
}

async function available<Opened>(open: () => Promise<Opened>): Promise<Opened> {
  try {
    return await open();
  } catch (error) {
    if (!(error instanceof EngineError && error.kind === "library")) throw error;
    throw new UnavailableError(error.message, { cause: error });
  }
}
