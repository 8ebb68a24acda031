/**
 * Opens the engine as a job asks for: the one place that knows how precision is chosen.
 *
 * @module
 */
import { EngineError } from "../../ts/engine/mod.ts";
import { NativeEngine } from "../../ts/engine/native/native_engine.ts";
import { EMBEDDED, resolveModel } from "../../ts/models/mod.ts";
import type { Job, Setup } from "../protocol.ts";
import { shapeConfig } from "../shapes.ts";
import { UnavailableError } from "../unavailable.ts";

/** What the engine can be opened with today. */
const OFFERED: readonly Setup[] = [{ precision: "f32", weights: "expanded", activations: "f32" }];

/**
 * Opens a job's model.
 *
 * @throws {UnavailableError} The engine does not offer the job's setup.
 */
export async function openModel({ model, setup, threads }: Pick<Job, "model" | "setup" | "threads">): Promise<
  NativeEngine
> {
  refuseUnlessOffered(setup);
  try {
    if ("path" in model) return await NativeEngine.open(model.path, { threads });
    if (model.shape === EMBEDDED) return await NativeEngine.open(await resolveModel(EMBEDDED), { threads });
    return await NativeEngine.init(shapeConfig(model.shape), { threads, name: model.shape });
  } catch (error) {
    if (error instanceof EngineError && (error.kind === "input" || error.kind === "library")) {
      throw new UnavailableError(error.message, { cause: error });
    }
    throw error;
  }
}

function refuseUnlessOffered(setup: Setup): void {
  const describe = ({ precision, weights, activations }: Setup): string =>
    `${precision}, weights ${weights}, activations ${activations}`;
  if (OFFERED.some((each) => describe(each) === describe(setup))) return;
  throw new UnavailableError(
    `The engine does not offer "${describe(setup)}", expected ${
      OFFERED.map((each) => `"${describe(each)}"`).join(" or ")
    }`,
  );
}
