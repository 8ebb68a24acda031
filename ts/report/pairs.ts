/**
 * The texts that a run judged, from the data that its configuration names.
 *
 * @module
 */
import { DataError, type PreferenceRecord } from "../data/mod.ts";
import { hashRecords, loadData } from "../train/data.ts";
import { ConfigError, parseConfig } from "../train/mod.ts";
import type { RunRecords } from "./records.ts";

/** The held-out pairs by their ids, or why they cannot be shown. */
export type Pairs =
  | { readonly kind: "found"; readonly records: ReadonlyMap<string, PreferenceRecord> }
  | { readonly kind: "missing"; readonly reason: string };

/** Loads the held-out pairs of a run, and makes sure by their hash that they are those that it judged. */
export async function loadPairs({ config, provenance, path }: RunRecords): Promise<Pairs> {
  let evaluation: readonly PreferenceRecord[];
  try {
    ({ evaluation } = await loadEvaluation(config, path));
  } catch (error) {
    if (!(error instanceof DataError) && !(error instanceof ConfigError)) throw error;
    return { kind: "missing", reason: error.message };
  }
  const expected = provenance["evaluation data"];
  const found = hashRecords(evaluation);
  if (expected !== undefined && expected !== found) {
    return {
      kind: "missing",
      reason: `The data have changed since: their hash was "${expected}" and is "${found}"`,
    };
  }
  return { kind: "found", records: new Map(evaluation.map((record) => [record.id, record])) };
}

/** Reads of a configuration only what names the data: the rest may be of an earlier version. */
async function loadEvaluation(
  stored: RunRecords["config"],
  source: string,
): Promise<{ readonly evaluation: readonly PreferenceRecord[] }> {
  const asked = stored["evaluation"] as
    | { readonly examples?: unknown; readonly during?: unknown }
    | undefined;
  const { data, seed, evaluation } = parseConfig({
    data: stored["data"],
    seed: stored["seed"],
    evaluation: { examples: asked?.examples, during: asked?.during },
  }, source);
  return await loadData(data, {
    seed,
    evaluationExamples: evaluation.examples,
    selectionExamples: evaluation.during?.examples ?? 0,
  });
}
