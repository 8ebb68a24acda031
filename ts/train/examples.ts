/**
 * Tokenized examples: prompts for both stages, and prompts with targets for distillation.
 *
 * @module
 */
import { type JudgeForm, renderPrompt } from "../cor/mod.ts";
import { place, type PlacedPair, type PreferenceRecord } from "../data/mod.ts";
import type { Engine } from "../engine/mod.ts";
import type { Turn } from "./order.ts";
import { type Counts, increment } from "./records.ts";
import { RunError } from "./run_error.ts";
import type { TraceSource } from "./traces.ts";

/** A pair as a judge reads it. */
export interface PromptExample {
  readonly pair: PlacedPair;
  /** Token ids. */
  readonly prompt: Uint32Array;
  /** The chat template opened the thinking, so that a response holds its end alone. */
  readonly opensThinking: boolean;
}

/** A pair with the trace that is to be learnt. */
export interface TraceExample extends PromptExample {
  /** Token ids of the trace, the end-of-sequence token included. */
  readonly target: Uint32Array;
}

/** Records that a stage can use. */
export interface Usable {
  readonly records: readonly PreferenceRecord[];
  /** Those that it cannot. */
  readonly leftOut: readonly LeftOut[];
}

/** A record that a stage cannot use. */
export interface LeftOut {
  readonly id: string;
  readonly reason: string;
}

/** Numbers of records by the reason for which they are left out. */
export function countReasons(leftOut: readonly LeftOut[]): Counts {
  const counts: { [reason: string]: number } = {};
  for (const { reason } of leftOut) increment(counts, reason);
  return counts;
}

/**
 * Pairs of a step: a record changes its places from epoch to epoch, and half of the records have the better answer at
 * A. A record whose trace is for one place alone stays there.
 */
export function placeTurns(
  records: readonly PreferenceRecord[],
  turns: readonly Turn[],
  traces: Pick<TraceSource, "sidesOf"> = EITHER_SIDE,
): PlacedPair[] {
  return turns.map(({ index, epoch }) => {
    const sides = traces.sidesOf(records[index]!);
    const side = (index + epoch) % 2 === 0 ? "A" : "B";
    return place(records[index]!, sides.includes(side) ? side : sides[0]!);
  });
}

/** Where a record may be placed in either order. */
const EITHER_SIDE: Pick<TraceSource, "sidesOf"> = { sidesOf: () => ["A", "B"] };

/** Renders and tokenizes prompts, as generation does. */
export async function encodePrompts(
  engine: Engine,
  form: JudgeForm,
  pairs: readonly PlacedPair[],
): Promise<PromptExample[]> {
  const texts = pairs.map(({ record, a, b }) =>
    engine.renderChat(renderPrompt(form, { conversation: record.conversation, a, b }), {
      addGenerationPrompt: true,
    })
  );
  const prompts = await engine.encode(texts);
  return pairs.map((pair, index) => ({
    pair,
    prompt: prompts[index]!,
    opensThinking: texts[index]!.trimEnd().endsWith("<think>"),
  }));
}

/**
 * Tokenizes pairs with their traces. Prompt and trace are tokenized apart, as they are when a trace is generated.
 *
 * @throws {RunError} A pair has no trace, or the model has no end-of-sequence token.
 */
export async function encodeTraces(
  engine: Engine,
  form: JudgeForm,
  pairs: readonly PlacedPair[],
  source: TraceSource,
): Promise<TraceExample[]> {
  const [eos] = engine.info.eosTokenIds;
  if (eos === undefined) {
    throw new RunError(`Model "${engine.info.name}" has no end-of-sequence token, which traces end with`);
  }
  const traces = pairs.map((pair) => {
    const found = source.traceOf(pair);
    if ("trace" in found) return found.trace;
    throw new RunError(`Record "${pair.record.id}" has no trace: ${found.skipped}`);
  });
  const targets = await engine.encode(traces);
  const prompts = await encodePrompts(engine, form, pairs);
  return prompts.map((example, index) => ({
    ...example,
    target: Uint32Array.from([...targets[index]!, eos]),
  }));
}

/** Records that are tokenized at once. */
const CHUNK = 256;

/** Options of {@link usableTraces}. */
export interface TraceLimits {
  readonly form: JudgeForm;
  /** Longest example, prompt and target. */
  readonly maxTokens: number;
  /** Enough records; null takes all. */
  readonly examples: number | null;
  readonly source: TraceSource;
}

/** The first records whose traces can be learnt, with the better answer in each place that they have. */
export async function usableTraces(
  engine: Engine,
  records: readonly PreferenceRecord[],
  { form, maxTokens, examples, source }: TraceLimits,
): Promise<Usable> {
  const longest = Math.min(maxTokens, engine.info.contextLength);
  const ends = new Set(engine.info.eosTokenIds);
  return await firstUsable(records, examples ?? Infinity, async (chunk) => {
    const reasons = chunk.map((record): string | null => {
      const traces = source.sidesOf(record).map((side) => source.traceOf(place(record, side)));
      return traces.map((trace) => "skipped" in trace ? trace.skipped : null).find((reason) =>
        reason !== null
      ) ?? null;
    });
    const traced = [...chunk.keys()].filter((index) => reasons[index] === null);
    const placed = traced.flatMap((index) =>
      source.sidesOf(chunk[index]!).map((side) => ({ index, pair: place(chunk[index]!, side) }))
    );
    const examples = await encodeTraces(engine, form, placed.map(({ pair }) => pair), source);
    for (const [at, { prompt, target }] of examples.entries()) {
      const { index } = placed[at]!;
      if (target.subarray(0, -1).some((token) => ends.has(token))) {
        reasons[index] = "end-of-sequence-in-trace";
      } else if (prompt.length + target.length > longest) reasons[index] = "too-long";
    }
    return reasons;
  });
}

/** Options of {@link usablePrompts}. */
export interface PromptLimits {
  readonly form: JudgeForm;
  readonly maxPromptTokens: number;
  /** Room that a response needs within the model's context. */
  readonly maxNewTokens: number;
  /** Enough records. */
  readonly examples: number;
}

/** The first records whose prompts are short enough, with the better answer in either place. */
export async function usablePrompts(
  engine: Engine,
  records: readonly PreferenceRecord[],
  { form, maxPromptTokens, maxNewTokens, examples }: PromptLimits,
): Promise<Usable> {
  const longest = Math.min(maxPromptTokens, engine.info.contextLength - maxNewTokens);
  return await firstUsable(records, examples, async (chunk) => {
    const both = chunk.flatMap((record) => [place(record, "A"), place(record, "B")]);
    const prompts = await encodePrompts(engine, form, both);
    return chunk.map((_, index) =>
      Math.max(prompts[2 * index]!.prompt.length, prompts[2 * index + 1]!.prompt.length) > longest
        ? "prompt-too-long"
        : null
    );
  });
}

/** The first records for which there is no reason to leave them out. */
export async function firstUsable(
  records: readonly PreferenceRecord[],
  enough: number,
  reasonsOf: (chunk: readonly PreferenceRecord[]) => Promise<readonly (string | null)[]>,
): Promise<Usable> {
  const usable: PreferenceRecord[] = [];
  const leftOut: LeftOut[] = [];
  for (let start = 0; start < records.length && usable.length < enough; start += CHUNK) {
    const chunk = records.slice(start, start + CHUNK);
    for (const [index, reason] of (await reasonsOf(chunk)).entries()) {
      if (usable.length >= enough) break;
      if (reason === null) usable.push(chunk[index]!);
      else leftOut.push({ id: chunk[index]!.id, reason });
    }
  }
  return { records: usable, leftOut };
}
