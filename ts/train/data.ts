/**
 * Loads what a run trains and is evaluated on.
 *
 * @module
 */
import { createHash } from "node:crypto";
import process from "node:process";
import {
  DataError,
  generateTasks,
  pairGradedProblems,
  type PreferenceRecord,
  readGradedProblems,
  readPreferences,
} from "../data/mod.ts";
import { hashFraction } from "../data/hash.ts";
import type { DataConfig } from "./config.ts";
import { exists } from "./durable.ts";
import type { Counts } from "./records.ts";

/** Records of a run, in an order that the seed decides. */
export interface RunData {
  readonly train: readonly PreferenceRecord[];
  /** Held out: no record of `train` has a conversation of these. */
  readonly evaluation: readonly PreferenceRecord[];
  /** To evaluate on while training, with no conversation of the other two; empty where that is not asked for. */
  readonly selection: readonly PreferenceRecord[];
  /** What the loaders left out, by reason. */
  readonly leftOut: Counts;
  /** Records to train on whose conversation is held out. */
  readonly heldOut: readonly PreferenceRecord[];
}

/** Options of {@link loadData}. */
export interface LoadOptions {
  /** Decides the order. */
  readonly seed: number;
  /** Most records to evaluate on. */
  readonly evaluationExamples: number;
  /** Most records to evaluate on while training. Default 0. */
  readonly selectionExamples?: number;
}

interface Split {
  readonly train: readonly PreferenceRecord[];
  readonly evaluation: readonly PreferenceRecord[];
  readonly selection: readonly PreferenceRecord[];
  readonly leftOut: Counts;
}

/**
 * Loads the records that a configuration names.
 *
 * @throws {DataError} A file is missing or malformed, or one of the two sets is empty.
 */
export async function loadData(config: DataConfig, options: LoadOptions): Promise<RunData> {
  const { seed, evaluationExamples, selectionExamples = 0 } = options;
  const { train, evaluation, selection, leftOut } = await loadSplit(config, {
    evaluationExamples,
    selectionExamples,
  });
  const evaluated = new Set(evaluation.map(promptOf));
  const selected = selection.filter((record) => !evaluated.has(promptOf(record)));
  const held = new Set([...evaluated, ...selected.map(promptOf)]);
  const trainable = train.filter((record) => !held.has(promptOf(record)));
  const heldOut = train.filter((record) => held.has(promptOf(record)));
  const name = config.kind === "tasks" ? "tasks" : config.path;
  if (trainable.length === 0) throw new DataError(name, null, "Expected records to train on, found none");
  if (evaluation.length === 0) throw new DataError(name, null, "Expected records to evaluate on, found none");
  if (selectionExamples > 0 && selected.length === 0) {
    throw new DataError(name, null, 'Expected records for "evaluation.during", found none');
  }
  const drawn = (records: readonly PreferenceRecord[], order: string, most: number): PreferenceRecord[] =>
    groupsFirst(shuffled(records, seed, order)).slice(0, most);
  return {
    train: shuffled(trainable, seed, "train"),
    evaluation: drawn(evaluation, "evaluation", evaluationExamples),
    selection: drawn(selected, "selection", selectionExamples),
    leftOut: { ...leftOut, "prompt-held-out": heldOut.length },
    heldOut,
  };
}

async function loadSplit(
  config: DataConfig,
  { evaluationExamples, selectionExamples }: Required<Omit<LoadOptions, "seed">>,
): Promise<Split> {
  switch (config.kind) {
    case "tasks": {
      const { seed, evaluateOn } = config;
      return {
        train: generateTasks({ seed, split: "train", count: config.train }),
        evaluation: generateTasks({ seed, split: evaluateOn, count: evaluationExamples }),
        // Another seed, so that those of "validation" are others than where that is evaluated on.
        selection: generateTasks({
          seed: (seed + 1) % 2 ** 32,
          split: "validation",
          count: selectionExamples,
        }),
        leftOut: {},
      };
    }
    case "gsm8k": {
      const { splits, statistics } = pairGradedProblems(await readGradedProblems(await locate(config.path)), {
        seed: config.splitSeed,
        validation: config.validation,
        test: config.test,
      });
      const evaluation = splits[config.evaluateOn];
      const selection = selectionExamples === 0 ? [] : splits.validation;
      return { train: splits.train, evaluation, selection, leftOut: statistics.excluded };
    }
    case "jsonl": {
      const { records, identical } = await readPreferences(await locate(config.path));
      const held = config.evaluationPath === null
        ? null
        : await readPreferences(await locate(config.evaluationPath));
      const isIn = (name: string, share: number, { group, id }: PreferenceRecord): boolean =>
        hashFraction(config.splitSeed, `${name}\0${group ?? id}`) < share;
      const isEvaluated = (record: PreferenceRecord): boolean =>
        held === null && isIn("holdout", config.holdout, record);
      const isSelected = (record: PreferenceRecord): boolean =>
        selectionExamples > 0 && !isEvaluated(record) && isIn("selection", config.holdout, record);
      return {
        train: records.filter((record) => !isEvaluated(record) && !isSelected(record)),
        evaluation: held?.records ?? records.filter(isEvaluated),
        selection: records.filter(isSelected),
        leftOut: { "identical-answers": identical.length + (held?.identical.length ?? 0) },
      };
    }
  }
}

const DATA_FOLDER = "RMR1_DATA";

/**
 * Puts the data folder of the environment for `$RMR1_DATA`.
 *
 * @throws {DataError} The file is not there.
 */
export async function locate(path: string): Promise<string> {
  const variable = `$${DATA_FOLDER}`;
  const named = path.startsWith(variable);
  const located = named ? (process.env[DATA_FOLDER] ?? "../shared/data") + path.slice(variable.length) : path;
  if (await exists(located)) return located;
  const hint = named ? `; set the environment variable "${DATA_FOLDER}" to the folder that holds it` : "";
  throw new DataError(located, null, `File not found, named "${path}" by the configuration${hint}`);
}

function promptOf({ conversation }: PreferenceRecord): string {
  return JSON.stringify(conversation.map(({ role, content }) => [role, content]));
}

function shuffled(records: readonly PreferenceRecord[], seed: number, name: string): PreferenceRecord[] {
  return records
    .map((record, index) => ({ record, index, draw: hashFraction(seed, `${name}\0${record.id}`) }))
    .sort((x, y) => x.draw - y.draw || x.index - y.index)
    .map(({ record }) => record);
}

/** One record of each group, then the others: pairs of one problem say less than pairs of several. */
function groupsFirst(records: readonly PreferenceRecord[]): PreferenceRecord[] {
  const seen = new Set<string>();
  const first: PreferenceRecord[] = [];
  const others: PreferenceRecord[] = [];
  for (const record of records) {
    const group = record.group ?? record.id;
    (seen.has(group) ? others : first).push(record);
    seen.add(group);
  }
  return [...first, ...others];
}

/** SHA-256 over records, in order. */
export function hashRecords(records: readonly PreferenceRecord[]): string {
  const hash = createHash("sha256");
  for (const record of records) hash.update(`${JSON.stringify(record)}\n`);
  return hash.digest("hex");
}
