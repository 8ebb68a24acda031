/**
 * How likely each verdict is behind what was written before it.
 *
 * @module
 */
import type { Engine } from "../engine/engine.ts";
import { forestOf, gather, scatterMask } from "../engine/forest.ts";

/** What stands before a verdict's letter. */
export interface BeforeVerdict {
  /** Token ids. */
  readonly prompt: Uint32Array;
  /** What was written up to the letter; null where no verdict was written. */
  readonly before: string | null;
}

/** What opens a verdict. */
export const VERDICT_OPENING = "<answer>[[";

/** The last verdict of a text, up to its letter. */
const LAST_VERDICT = /^[\s\S]*<answer>\s*\[\[\s*(?=[AB])/i;

/** The text up to the letter of its last verdict; null where there is none. */
export function beforeVerdict(text: string): string | null {
  return LAST_VERDICT.exec(text)?.[0] ?? null;
}

/** Both verdicts behind the text, tokenized with it: as the model itself would put them together. */
async function encodeVerdicts(
  engine: Engine,
  { prompt, before }: BeforeVerdict,
): Promise<Uint32Array[] | null> {
  if (before === null) return null;
  const written = await engine.encode(["A", "B"].map((side) => `${before}${side}]]</answer>`));
  const sequences = written.map((tokens) => Uint32Array.of(...prompt, ...tokens));
  return sequences.some(({ length }) => length > engine.info.contextLength) ? null : sequences;
}

/**
 * The probability of the verdict for A, against that for B; null where none was written, or the context has no room.
 *
 * @param budget most tokens of a pass, but for a text that has more alone
 */
export async function* probabilitiesOfA<T extends BeforeVerdict>(
  engine: Engine,
  written: readonly T[],
  budget: number,
): AsyncGenerator<readonly [T, number | null]> {
  let batch: Encoded<T>[] = [];
  let tokens = 0;
  for (const of of written) {
    const sequences = await encodeVerdicts(engine, of);
    if (sequences === null) {
      yield [of, null];
      continue;
    }
    const size = sequences.reduce((sum, { length }) => sum + length, 0);
    if (batch.length > 0 && tokens + size > budget) {
      yield* await scoreVerdicts(engine, batch);
      [batch, tokens] = [[], 0];
    }
    batch.push({ of, sequences });
    tokens += size;
  }
  if (batch.length > 0) yield* await scoreVerdicts(engine, batch);
}

interface Encoded<T> {
  readonly of: T;
  readonly sequences: readonly Uint32Array[];
}

async function scoreVerdicts<T extends BeforeVerdict>(
  engine: Engine,
  batch: readonly Encoded<T>[],
): Promise<(readonly [T, number])[]> {
  const { forest, maps } = forestOf(batch.flatMap(({ sequences }) => sequences));
  const prompts = batch.flatMap(({ of, sequences }) => sequences.map(() => of.prompt.length));
  const masks = maps.map((map, index) => new Uint8Array(map.length).fill(1, prompts[index]));
  const logprobs = await engine.logprobs(forest, { select: scatterMask({ forest, maps }, masks) });
  const totals = maps.map((map, index) =>
    gather(map.subarray(prompts[index]), logprobs).reduce((sum, logprob) => sum + logprob, 0)
  );
  return batch.map(({ of }, index) => [of, 1 / (1 + Math.exp(totals[2 * index + 1]! - totals[2 * index]!))]);
}
