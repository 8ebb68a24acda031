/**
 * Opens the judge that a user names.
 *
 * @module
 */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Protocol, PROTOCOLS } from "../cor/mod.ts";
import type { Engine } from "../engine/engine.ts";
import { Baseline } from "./baseline.ts";
import type { Judge } from "./judge.ts";
import { RmR1Judge, type RmR1JudgeOptions } from "./rm_r1_judge.ts";
import { hashModel } from "./weights_hash.ts";

/** What a checkpoint says of itself as a judge, beside its weights. */
const JUDGE_FILE = "rmr1.json";

/** What {@link openJudge} understands, for messages and help texts. */
export const JUDGE_SPECS: readonly string[] = [
  "a model folder or GGUF file",
  "baseline:longest",
  "baseline:shortest",
  "baseline:random:SEED",
];

/** Options of {@link openJudge}. */
export interface OpenJudgeOptions extends Partial<Omit<RmR1JudgeOptions, "name" | "weights">> {
  /** Loads a model; called only where the judge is one. */
  readonly openEngine: (path: string) => Promise<Engine>;
}

/** No judge can be opened by that name. */
export class JudgeSpecError extends Error {
  override readonly name = "JudgeSpecError";
}

/**
 * Opens a judge: a model's folder or file, or a baseline (see {@link JUDGE_SPECS}). A model's protocol is the given
 * one, else the one in its `rmr1.json`.
 *
 * @throws {JudgeSpecError} The name means nothing, or the model's protocol is not known.
 */
export async function openJudge(spec: string, options: OpenJudgeOptions): Promise<Judge> {
  if (spec.startsWith("baseline:")) return openBaseline(spec);
  const found = await stat(spec).catch(() => null);
  if (found === null) throw unknown(spec);
  const { openEngine, protocol = await readProtocol(spec, found.isDirectory()), ...rest } = options;
  const weights = await hashModel(spec);
  return new RmR1Judge(await openEngine(spec), { ...rest, protocol, name: spec, weights });
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

async function readProtocol(path: string, isFolder: boolean): Promise<Protocol> {
  const listed = PROTOCOLS.map((protocol) => `"${protocol}"`).join(", ");
  const file = join(path, JUDGE_FILE);
  const text = isFolder ? await readFile(file, "utf8").catch(absent) : null;
  if (text === null) {
    throw new JudgeSpecError(
      `No protocol is known for judge "${path}": it has no ${JUDGE_FILE}; name one of ${listed}`,
    );
  }
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw new JudgeSpecError(`File "${file}" is not JSON, expected an object with "protocol"`);
  }
  const protocol = (content as { protocol?: unknown } | null)?.protocol;
  const known = PROTOCOLS.find((name) => name === protocol);
  if (known === undefined) {
    throw new JudgeSpecError(
      `File "${file}" has protocol ${JSON.stringify(protocol)}, expected one of ${listed}`,
    );
  }
  return known;
}

function absent(error: NodeJS.ErrnoException): null {
  if (error.code === "ENOENT") return null;
  throw error;
}
