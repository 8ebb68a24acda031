/**
 * Opens the judge that a user names.
 *
 * @module
 */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Engine } from "../engine/engine.ts";
import { Baseline } from "./baseline.ts";
import type { Judge } from "./judge.ts";
import { JUDGE_FILE, type JudgeCard, type JudgeProtocolName, parseCard } from "./judge_card.ts";
import { judgeOf } from "./judge_of.ts";
import { JudgeSpecError } from "./judge_spec_error.ts";
import type { RmR1JudgeOptions } from "./rm_r1_judge.ts";
import { hashModel } from "./weights_hash.ts";

/** What {@link openJudge} understands, for messages and help texts. */
export const JUDGE_SPECS: readonly string[] = [
  "a model folder or GGUF file",
  "baseline:longest",
  "baseline:shortest",
  "baseline:random:SEED",
];

/** Options of {@link openJudge}. */
export interface OpenJudgeOptions extends Partial<Omit<RmR1JudgeOptions, "name" | "weights" | "protocol">> {
  readonly protocol?: JudgeProtocolName;
  /** What the judge is called in results; if not given as it was named. */
  readonly name?: string;
  /** Loads a model; called only where the judge is one. */
  readonly openEngine: (path: string) => Promise<Engine>;
}

/**
 * Opens a judge: a model's folder or file, or a baseline (see {@link JUDGE_SPECS}). A model's protocol is the given
 * one, else the one in its `rmr1.json`, which also says what kind of judge it is; without that file a model with a
 * score head is a scalar one.
 *
 * @throws {JudgeSpecError} The name means nothing, or the model's protocol is not known.
 */
export async function openJudge(spec: string, options: OpenJudgeOptions): Promise<Judge> {
  if (spec.startsWith("baseline:")) return openBaseline(spec);
  const found = await stat(spec).catch(() => null);
  if (found === null) throw unknown(spec);
  const { openEngine, ...about } = options;
  const card = found.isDirectory() ? await readCard(spec) : null;
  const weights = await hashModel(spec);
  return await judgeOf(await openEngine(spec), card, { name: spec, ...about, weights });
}

function openBaseline(spec: string): Judge {
  const [, kind, seed, ...more] = spec.split(":");
  if (kind === "longest" && seed === undefined) return Baseline.longest();
  if (kind === "shortest" && seed === undefined) return Baseline.shortest();
  if (kind === "random" && seed !== undefined && more.length === 0 && /^\d{1,15}$/.test(seed)) {
    return Baseline.random(Number(seed));
  }
  throw unknown(spec);
}

function unknown(spec: string): JudgeSpecError {
  return new JudgeSpecError(`Unknown judge "${spec}", expected ${JUDGE_SPECS.join(", ")}`);
}

/** Null where there is none. */
async function readCard(path: string): Promise<JudgeCard | null> {
  const file = join(path, JUDGE_FILE);
  const text = await readFile(file, "utf8").catch(absent);
  return text === null ? null : parseCard(file, text);
}

function absent(error: NodeJS.ErrnoException): null {
  if (error.code === "ENOENT") return null;
  throw error;
}
