/**
 * Micro-batches: sequences of an optimiser step cut into forests that fit in memory.
 *
 * @module
 */
import { forestOf, gather, scatter, scatterMask, type SequenceForest } from "../engine/mod.ts";
import { batchesOf } from "../judge/batches.ts";

/** A response to a prompt; only the response's tokens carry loss. */
export interface Sequence {
  readonly prompt: Uint32Array;
  readonly response: Uint32Array;
}

/** Sequences of one forward pass. */
export interface MicroBatch<S extends Sequence> {
  readonly sequences: readonly S[];
  readonly layout: SequenceForest;
  /** One byte a token of the forest: 1 where a log-probability is needed. */
  readonly select: Uint8Array;
}

function join({ prompt, response }: Sequence): Uint32Array {
  const tokens = new Uint32Array(prompt.length + response.length);
  tokens.set(prompt);
  tokens.set(response, prompt.length);
  return tokens;
}

/**
 * Cuts sequences into forests of at most `tokenBudget` tokens, shared prefixes counted once; a longer sequence has a
 * forest of its own. Sequences of one prompt come together. The cut depends on the sequences alone, whatever their
 * order.
 */
export function* microBatches<S extends Sequence>(
  sequences: readonly S[],
  tokenBudget: number,
): Generator<MicroBatch<S>> {
  const joined = sequences.map((sequence, index) => ({ index, tokens: join(sequence) }));
  for (const batch of batchesOf(joined, { maxConcurrent: Infinity, tokenBudget, maxNewTokens: 0 })) {
    const layout = forestOf(batch.map(({ tokens }) => tokens));
    const own = batch.map(({ index }) => sequences[index]!);
    const masks = own.map(({ prompt, response }) =>
      new Uint8Array(prompt.length + response.length).fill(1, prompt.length)
    );
    yield { sequences: own, layout, select: scatterMask(layout, masks) };
  }
}

/** Of each sequence, the values of its response's tokens. */
export function gatherResponses(batch: MicroBatch<Sequence>, values: Float32Array): Float32Array[] {
  return batch.sequences.map(({ prompt }, index) =>
    gather(batch.layout.maps[index]!.subarray(prompt.length), values)
  );
}

/** Coefficients of the forest's tokens from those of each response's; a shared token has the sum. */
export function scatterResponses(batch: MicroBatch<Sequence>, values: readonly Float64Array[]): Float32Array {
  const padded = batch.sequences.map(({ prompt, response }, index) => {
    const whole = new Float64Array(prompt.length + response.length);
    whole.set(values[index]!, prompt.length);
    return whole;
  });
  return scatter(batch.layout, padded);
}
