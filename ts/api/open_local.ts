/**
 * Opens a judge that computes here.
 *
 * @module
 */
import { readBeside, resolveSource } from "#sources";
import { CoreReference } from "../engine/core/core_engine.ts";
import { type ModelFiles, modelFromUrl } from "../engine/core/model_files.ts";
import type { Judge } from "../judge/judge.ts";
import { JUDGE_FILE, type JudgeCard, parseCard } from "../judge/judge_card.ts";
import { judgeOf } from "../judge/judge_of.ts";
import type { OpenOptions } from "./judge.ts";

/** A judge, and what computes, in words. */
export interface Opened {
  readonly judge: Judge;
  readonly where: string;
}

/**
 * As {@link Judge.open} without a server.
 *
 * @throws {EngineError | ModelError | JudgeSpecError} There is no such model, or it is no judge.
 */
export async function openLocal(source: string | URL | ModelFiles, options: OpenOptions): Promise<Opened> {
  const { core = {}, precision, signal } = options;
  const model = source instanceof URL ? modelFromUrl(source) : source;
  const found = typeof model === "string" ? await resolveSource(model) : model;
  const card = await cardOf(found, signal);
  const engine = await CoreReference.open(found, {
    ...core,
    ...(precision !== undefined && { precision }),
    ...(signal !== undefined && { signal }),
  });
  const { protocol, verdicts, maxNewTokens, temperature, seed } = options;
  const judge = await judgeOf(engine, card, {
    name: typeof model === "string" ? model : model.name,
    ...(protocol !== undefined && { protocol }),
    ...(verdicts !== undefined && { verdicts }),
    ...(maxNewTokens !== undefined && { maxNewTokens }),
    ...(temperature !== undefined && { temperature }),
    ...(seed !== undefined && { seed }),
  });
  return { judge, where: `${engine.info.backend}, by ${engine.about}` };
}

async function cardOf(model: string | ModelFiles, signal?: AbortSignal): Promise<JudgeCard | null> {
  if (typeof model === "string") {
    const text = await readBeside(model, JUDGE_FILE);
    return text === null ? null : parseCard(`${model}/${JUDGE_FILE}`, text);
  }
  const file = model.files.find(({ name }) => name === JUDGE_FILE);
  if (file === undefined) return null;
  const { stream } = await file.open(signal);
  return parseCard(`${model.name}/${JUDGE_FILE}`, await new Response(stream).text());
}
