/**
 * The critic of PPO: a score head that predicts, before each token of a response, the return from there on
 * (Schulman et al. 2017, arXiv:1707.06347, section 5; for language models Ouyang et al. 2022, arXiv:2203.02155).
 *
 * @module
 */
import {
  addValueTotals,
  NO_VALUE_TOTALS,
  tokenWeights,
  valueLoss,
  type ValueTotals,
} from "../algorithms/mod.ts";
import type { Engine, StepOptions, Tape, TrainableEngine } from "../engine/mod.ts";
import { type MicroBatch, microBatches, type Sequence } from "./batching.ts";
import type { CriticConfig, MicroBatchConfig, Stage2Config } from "./config.ts";
import { applyStep, DivergedError } from "./diverged.ts";

type Trunk = Pick<CriticConfig, "trunk">;

/** A rollout with what its critic is to learn, where there is one. */
export interface ValuedSequence extends Sequence {
  /** Before each response token, as the critic had it before the update, `[tokens]`. */
  readonly oldValues?: Float32Array;
  /** From each response token on, `[tokens]`. */
  readonly returns?: Float64Array;
}

/** With the weight of each of its tokens in the value loss. */
type Weighed<S extends ValuedSequence> = S & { readonly valueWeight: number };

/** Which states of a micro-batch are valued. */
export interface ValuedStates {
  /** Tokens of the forest whose hidden state is scored, each once. */
  readonly tokens: Uint32Array;
  /** Of each sequence, for each response token, the index in `tokens` of the state before it. */
  readonly places: readonly Uint32Array[];
}

/** The states before each response token: the prompt's last token, and all response tokens but the last. */
export function statesOf({ sequences, layout }: MicroBatch<Sequence>): ValuedStates {
  const indexOf = new Map<number, number>();
  const places = sequences.map(({ prompt, response }, sequence) =>
    Uint32Array.from(response, (_, t) => {
      const token = layout.maps[sequence]![prompt.length - 1 + t]!;
      const known = indexOf.get(token) ?? indexOf.size;
      indexOf.set(token, known);
      return known;
    })
  );
  return { tokens: Uint32Array.from(indexOf.keys()), places };
}

/**
 * Values before each response token, `[sequences][tokens]`, from the scores of {@link ValuedStates.tokens}.
 *
 * @throws {DivergedError} One is not finite.
 */
function valuesIn({ places }: ValuedStates, scores: Float32Array, { trunk }: Trunk): Float32Array[] {
  const odd = scores.find((score) => !Number.isFinite(score));
  if (odd !== undefined) {
    const optimizer = trunk === "own" ? "critic.optimizer" : "optimizer";
    throw new DivergedError(`A value of the critic is "${odd}"`, { optimizer });
  }
  return places.map((place) => Float32Array.from(place, (at) => scores[at]!));
}

/** dL/dscore of each state; a shared state has the sum. */
export function scatterValues(
  { tokens, places }: ValuedStates,
  dValues: readonly Float64Array[],
): Float32Array {
  const sums = new Float64Array(tokens.length);
  for (const [sequence, place] of places.entries()) {
    for (const [t, at] of place.entries()) sums[at]! += dValues[sequence]![t]!;
  }
  return Float32Array.from(sums);
}

/** A selection of no tokens: the critic's passes need no log-probabilities. */
function none({ layout }: MicroBatch<Sequence>): Uint8Array {
  return new Uint8Array(layout.forest.tokens.length);
}

/** Values before each response token under the critic as it is. */
export async function valuesOf<S extends Sequence>(
  engine: Engine,
  sequences: readonly S[],
  { microBatchTokens, critic }: Pick<Stage2Config, "microBatchTokens" | "critic">,
  onDone?: (count: number) => void,
): Promise<Map<S, Float32Array>> {
  const found = new Map<S, Float32Array>();
  for (const batch of microBatches(sequences, microBatchTokens)) {
    const states = statesOf(batch);
    const scores = await engine.scores(batch.layout.forest, states.tokens);
    const values = valuesIn(states, scores, critic ?? { trunk: "own" });
    for (const [index, sequence] of batch.sequences.entries()) found.set(sequence, values[index]!);
    onDone?.(batch.sequences.length);
  }
  return found;
}

/** What {@link updateCritic} did. */
export interface CriticUpdate {
  readonly loss: number;
  readonly gradNorm: number;
  readonly totals: ValueTotals;
  /** Tokens of all forward passes, shared prefixes once. */
  readonly tokens: number;
}

/** The value loss of a micro-batch, and the coefficients of its states' scores. */
export function criticLoss(
  batch: MicroBatch<Weighed<ValuedSequence>>,
  states: ValuedStates,
  tape: Tape,
  { clip, coefficient, trunk }: Pick<CriticConfig, "clip" | "coefficient" | "trunk">,
): { readonly loss: number; readonly dScores: Float32Array; readonly totals: ValueTotals } {
  const values = valuesIn(states, tape.scores, { trunk });
  const { loss, dValues, totals } = valueLoss(
    batch.sequences.map(({ oldValues, returns, valueWeight }, index) => {
      if (oldValues === undefined || returns === undefined) {
        throw new RangeError(`Sequence ${index} has no values and returns, which a critic learns from`);
      }
      return { values: values[index]!, oldValues, returns, weight: valueWeight };
    }),
    { clip, coefficient },
  );
  return { loss, dScores: scatterValues(states, dValues), totals };
}

/** Weighs sequences for the value loss: all tokens of a minibatch weigh the same. */
export function weighValues<S extends ValuedSequence>(sequences: readonly S[]): Weighed<S>[] {
  const weights = tokenWeights(sequences.map(({ response }) => response.length), { kind: "token-mean" });
  return sequences.map((sequence, index) => ({ ...sequence, valueWeight: weights[index]! }));
}

/** One optimiser step of a critic that is a model of its own, whose loss needs no coefficient. */
export async function updateCritic(
  engine: TrainableEngine,
  sequences: readonly ValuedSequence[],
  { stage, clip, optimizer, signal }: {
    readonly stage: MicroBatchConfig;
    readonly clip: number | null;
    readonly optimizer: StepOptions;
    /** Heeded before the weights change. */
    readonly signal?: AbortSignal;
  },
): Promise<CriticUpdate> {
  let loss = 0;
  let totals = NO_VALUE_TOTALS;
  let tokens = 0;
  for (const batch of microBatches(weighValues(sequences), stage.microBatchTokens)) {
    signal?.throwIfAborted();
    const states = statesOf(batch);
    const { forest } = batch.layout;
    using tape = await engine.forward(forest, {
      select: none(batch),
      scores: states.tokens,
      recompute: stage.recompute,
    });
    const result = criticLoss(batch, states, tape, { clip, coefficient: 1, trunk: "own" });
    await tape.backward({ dScores: result.dScores });
    loss += result.loss;
    totals = addValueTotals(totals, result.totals);
    tokens += forest.tokens.length;
  }
  signal?.throwIfAborted();
  const { gradNorm } = await applyStep(engine, optimizer, "critic.optimizer");
  return { loss, gradNorm, totals, tokens };
}
