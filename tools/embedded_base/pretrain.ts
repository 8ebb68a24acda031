/**
 * Trains the embedded base model from random weights by the next-token loss on a corpus.
 *
 * @module
 */
import { nll } from "../../ts/algorithms/mod.ts";
import type { Engine, TrainableEngine } from "../../ts/engine/mod.ts";
import { gatherResponses, microBatches, scatterResponses, type Sequence } from "../../ts/train/batching.ts";
import { type Document, drawCorpus } from "./corpus.ts";
import { END_TOKEN } from "./tokenizer.ts";

/** Options of {@link pretrain}. */
export interface PretrainOptions {
  /** Names the corpus: an unsigned 32-bit integer. */
  readonly seed: number;
  /** Documents of the whole training. */
  readonly documents: number;
  /** Documents of an optimiser step. */
  readonly batchDocuments: number;
  /** Highest learning rate. */
  readonly learningRate: number;
  /** Steps over which the learning rate rises from 0. */
  readonly warmupSteps: number;
  /** Share of the steps after which the learning rate falls to 0, linearly. */
  readonly decayFrom: number;
  readonly weightDecay: number;
  readonly onStep?: (progress: PretrainProgress) => void | Promise<void>;
}

/** What a step tells. */
export interface PretrainProgress {
  /** Steps done. */
  readonly step: number;
  readonly steps: number;
  /** Mean loss of the step's targets, in nats a token. */
  readonly loss: number;
  /** Tokens computed so far, shared prefixes once. */
  readonly tokens: number;
  readonly gradNorm: number;
}

/** Learning rate of a step: a linear rise, a plateau, a linear fall. */
export function learningRateAt(
  step: number,
  steps: number,
  { learningRate, warmupSteps, decayFrom }: Pick<
    PretrainOptions,
    "learningRate" | "warmupSteps" | "decayFrom"
  >,
): number {
  const rise = Math.min(1, (step + 1) / Math.max(1, warmupSteps));
  const fall = Math.min(1, (1 - step / steps) / (1 - decayFrom));
  return learningRate * Math.min(rise, fall);
}

/** Trains the engine's model on the whole corpus, once. */
export async function pretrain(engine: TrainableEngine, options: PretrainOptions): Promise<void> {
  const { seed, documents, batchDocuments, weightDecay, onStep } = options;
  const steps = Math.ceil(documents / batchDocuments);
  const corpus = drawCorpus({ seed, count: documents });
  let tokens = 0;
  for (let step = 0; step < steps; step++) {
    const sequences = await encodeDocuments(engine, [...take(corpus, batchDocuments)]);
    const targets = sequences.reduce((sum, { response }) => sum + response.length, 0);
    let loss = 0;
    for (const batch of microBatches(sequences, Infinity)) {
      tokens += batch.layout.forest.tokens.length;
      using tape = await engine.forward(batch.layout.forest, { select: batch.select });
      const result = nll(gatherResponses(batch, tape.logprobs), { tokens: targets });
      await tape.backward({ dLogprobs: scatterResponses(batch, result.dLogprobs) });
      loss += result.loss;
    }
    const { gradNorm } = await engine.step({
      learningRate: learningRateAt(step, steps, options),
      beta1: 0.9,
      beta2: 0.98,
      epsilon: 1e-8,
      weightDecay,
      maxGradNorm: 1,
    });
    await onStep?.({ step: step + 1, steps, loss, tokens, gradNorm });
  }
}

function* take<T>(items: Iterator<T>, count: number): Generator<T> {
  for (let taken = 0; taken < count; taken++) {
    const next = items.next();
    if (next.done === true) return;
    yield next.value;
  }
}

/**
 * One sequence a response: the prompt, the response and the token that ends a turn. All tokens but the first are
 * targets: what a pair of answers has in common teaches to copy. A document without a prompt starts with that token.
 */
export async function encodeDocuments(engine: Engine, documents: readonly Document[]): Promise<Sequence[]> {
  const texts = documents.flatMap(({ prompt, responses }) => {
    const opening = prompt === null ? END_TOKEN : engine.renderChat(prompt, { addGenerationPrompt: true });
    return responses.map((response) => opening + response + END_TOKEN);
  });
  const encoded = await engine.encode(texts);
  return encoded.map((tokens) => ({ prompt: tokens.subarray(0, 1), response: tokens.subarray(1) }));
}
