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
  /** What the loaders left out, by reason. */
  readonly leftOut: Counts;
}

/** Options of {@link loadData}. */
export interface LoadOptions {
  /** Decides the order. */
  readonly seed: number;
  /** Most records to evaluate on. */
  readonly evaluationExamples: number;
}

interface Split {
  readonly train: readonly PreferenceRecord[];
  readonly evaluation: readonly PreferenceRecord[];
  readonly leftOut: Counts;
}

/**
 * Loads the records that a configuration names.
 *
 * @throws {DataError} A file is missing or malformed, or one of the two sets is empty.
 */
export async function loadData(config: DataConfig, options: LoadOptions): Promise<RunData> {
  const { seed, evaluationExamples } = options;
  const { train, evaluation, leftOut } = await loadSplit(config, evaluationExamples);
  const held = new Set(evaluation.map(promptOf));
  const trainable = train.filter((record) => !held.has(promptOf(record)));
  const name = config.kind === "tasks" ? "tasks" : config.path;
  if (trainable.length === 0) throw new DataError(name, null, "Expected records to train on, found none");
  if (evaluation.length === 0) throw new DataError(name, null, "Expected records to evaluate on, found none");
  return {
    train: shuffled(trainable, seed, "train"),
    evaluation: groupsFirst(shuffled(evaluation, seed, "evaluation")).slice(0, evaluationExamples),
    leftOut: { ...leftOut, "prompt-held-out": train.length - trainable.length },
  };
}

async function loadSplit(config: DataConfig, evaluationExamples: number): Promise<Split> {
  switch (config.kind) {
    case "tasks":
      return {
        train: generateTasks({ seed: config.seed, split: "train", count: config.train }),
        evaluation: generateTasks({ seed: config.seed, split: config.evaluateOn, count: evaluationExamples }),
        leftOut: {},
      };
    case "gsm8k": {
      const { splits, statistics } = pairGradedProblems(await readGradedProblems(await locate(config.path)), {
        seed: config.splitSeed,
        validation: config.validation,
        test: config.test,
      });
      return { train: splits.train, evaluation: splits[config.evaluateOn], leftOut: statistics.excluded };
    }
    case "jsonl": {
      const { records, identical } = await readPreferences(await locate(config.path));
      if (config.evaluationPath !== null) {
        const held = await readPreferences(await locate(config.evaluationPath));
        const count = identical.length + held.identical.length;
        return { train: records, evaluation: held.records, leftOut: { "identical-answers": count } };
      }
      const isHeld = ({ group, id }: PreferenceRecord): boolean =>
        hashFraction(config.splitSeed, `holdout\0${group ?? id}`) < config.holdout;
      return {
        train: records.filter((record) => !isHeld(record)),
        evaluation: records.filter(isHeld),
        leftOut: { "identical-answers": identical.length },
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
