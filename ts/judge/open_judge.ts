/**
 * Opens the judge that a user names.
 *
 * @module
 */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Chain, FULL_CHAIN, JUDGE_KINDS, type JudgeKind, type Protocol, PROTOCOLS } from "../cor/mod.ts";
import type { Engine } from "../engine/engine.ts";
import { Baseline } from "./baseline.ts";
import type { Judge } from "./judge.ts";
import { EngineWriter } from "./engine_writer.ts";
import { PAIR_PROTOCOLS, type PairProtocolName } from "./pair_protocol.ts";
import { RatingJudge } from "./rating_judge.ts";
import { RmR1Judge, type RmR1JudgeOptions } from "./rm_r1_judge.ts";
import { ScalarJudge } from "./scalar_judge.ts";
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

/** How a model is asked: for a verdict on a pair, or for a rating of each answer in the words of RewardBench 2. */
export type JudgeProtocolName = PairProtocolName | "rewardbench-2-ratings";

/** All protocols of judges. */
export const JUDGE_PROTOCOLS: readonly JudgeProtocolName[] = [...PAIR_PROTOCOLS, "rewardbench-2-ratings"];

/** Options of {@link openJudge}. */
export interface OpenJudgeOptions extends Partial<Omit<RmR1JudgeOptions, "name" | "weights" | "protocol">> {
  readonly protocol?: JudgeProtocolName;
  /** What the judge is called in results; if not given as it was named. */
  readonly name?: string;
  /** Loads a model; called only where the judge is one. */
  readonly openEngine: (path: string) => Promise<Engine>;
}

/** No judge can be opened by that name. */
export class JudgeSpecError extends Error {
  override readonly name = "JudgeSpecError";
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
  const { openEngine, protocol, ...rest } = options;
  const card = found.isDirectory() ? await readCard(spec) : null;
  const asked = protocol ?? card?.protocol;
  const about = { name: spec, ...rest, weights: await hashModel(spec) };
  const engine = await openEngine(spec);
  try {
    const isScalar = card === null
      ? asked === undefined && engine.info.hasScoreHead
      : card.judge === "scalarrm";
    if (isScalar) return new ScalarJudge(engine, about);
    if (asked === undefined) throw noProtocol(spec);
    if (asked === "rewardbench-2-ratings") {
      const { name, weights, kind: _, chain: __, verdicts: ___, ...writing } = about;
      return new RatingJudge(new EngineWriter(engine, writing), { name, weights });
    }
    return new RmR1Judge(engine, { ...about, ...formIn(card), protocol: asked });
  } catch (error) {
    await engine[Symbol.asyncDispose]();
    throw error;
  }
}

function formIn(card: Card | null): Pick<RmR1JudgeOptions, "kind" | "chain"> {
  if (card === null || card.judge === "scalarrm") return {};
  return { kind: card.judge, chain: card.chain };
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

const LISTED = JUDGE_PROTOCOLS.map((protocol) => `"${protocol}"`).join(", ");

function noProtocol(path: string): JudgeSpecError {
  return new JudgeSpecError(
    `No protocol is known for judge "${path}": it has no ${JUDGE_FILE}; name one of ${LISTED}`,
  );
}

/** How a checkpoint is asked. */
interface Card {
  readonly protocol: Protocol;
  readonly judge: JudgeKind;
  readonly chain: Chain;
}

/** Null where there is none. */
async function readCard(path: string): Promise<Card | null> {
  const file = join(path, JUDGE_FILE);
  const text = await readFile(file, "utf8").catch(absent);
  if (text === null) return null;
  let content: Partial<Record<keyof Card, unknown>> | null;
  try {
    content = JSON.parse(text);
  } catch {
    throw new JudgeSpecError(`File "${file}" is not JSON, expected an object with "protocol"`);
  }
  const protocol = PROTOCOLS.find((name) => name === content?.protocol);
  if (protocol === undefined) {
    const found = JSON.stringify(content?.protocol);
    throw new JudgeSpecError(`File "${file}" has protocol ${found}, expected one of ${LISTED}`);
  }
  const { judge = "reasrm", chain = FULL_CHAIN } = content!;
  const kind = JUDGE_KINDS.find((name) => name === judge);
  if (kind === undefined) {
    const listed = JUDGE_KINDS.map((name) => `"${name}"`).join(", ");
    throw new JudgeSpecError(`File "${file}" has judge ${JSON.stringify(judge)}, expected one of ${listed}`);
  }
  const { rubrics, taskTypes } = chain as Partial<Chain>;
  if (typeof rubrics !== "boolean" || typeof taskTypes !== "boolean") {
    throw new JudgeSpecError(
      `File "${file}" has chain ${
        JSON.stringify(chain)
      }, expected "rubrics" and "taskTypes", each true or false`,
    );
  }
  return { protocol, judge: kind, chain: { rubrics, taskTypes } };
}

function absent(error: NodeJS.ErrnoException): null {
  if (error.code === "ENOENT") return null;
  throw error;
}
