/**
 * SmolLM2 in 4 bits, for tests that want a language model.
 *
 * @module
 */
import process from "node:process";
import { CATALOG } from "../catalog.ts";
import { cacheFolder, placeOf } from "../fetch.ts";

/** Its file: what `RMR1_SMOLLM2` names, or where `fetch` puts it. Whether it is there is for the test to ask. */
export const SMOLLM2: string = process.env["RMR1_SMOLLM2"] ??
  placeOf(CATALOG.get("smollm2-135m")!, "pypi", cacheFolder());
