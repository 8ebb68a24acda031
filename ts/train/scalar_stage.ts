/**
 * The training of a ScalarRM: the Bradley–Terry loss of pairs, in the place of stage 1. Each answer is scored alone, at
 * the last token of its conversation as the chat template renders it.
 *
 * @module
 */
import {
  addBradleyTerryTotals,
  bradleyTerry,
  bradleyTerryMetrics,
  NO_BRADLEY_TERRY_TOTALS,
} from "../algorithms/mod.ts";
import type { PreferenceRecord } from "../data/mod.ts";
import { type Engine, forestOf } from "../engine/mod.ts";
import { encodeAnswers, scoredTokens } from "../judge/mod.ts";
import type { Stage1Config } from "./config.ts";
import { applyStep, DivergedError } from "./diverged.ts";
import { countReasons, firstUsable, type Usable } from "./examples.ts";
import { ExampleOrder } from "./order.ts";
import { listCounts, type Stage1StepRecord } from "./records.ts";
import { RunError } from "./run_error.ts";
import { type Stage, type StageContext, stepOptions, type StepResult, type StepRunOptions } from "./stage.ts";

/** Token ids of the conversation with each of its answers. */
interface Pair {
  readonly record: PreferenceRecord;
  readonly chosen: Uint32Array;
  readonly rejected: Uint32Array;
}

async function encodePairs(engine: Engine, records: readonly PreferenceRecord[]): Promise<Pair[]> {
  const encoded = await encodeAnswers(
    engine,
    records.flatMap(({ conversation, chosen, rejected }) => [
      { conversation, response: chosen },
      { conversation, response: rejected },
    ]),
  );
  return records.map((record, index) => ({
    record,
    chosen: encoded[2 * index]!,
    rejected: encoded[2 * index + 1]!,
  }));
}

/**
 * Chooses the pairs of a ScalarRM: the first training records that fit and whose answers differ in their tokens.
 *
 * @throws {RunError} None does.
 */
export async function chooseScalarStage(
  { engine }: Pick<StageContext, "engine">,
  { maxTokens, examples }: Stage1Config,
  train: readonly PreferenceRecord[],
): Promise<Usable> {
  const longest = Math.min(maxTokens, engine.info.contextLength);
  const usable = await firstUsable(
    train,
    examples ?? Infinity,
    async (chunk) =>
      (await encodePairs(engine, chunk)).map(({ chosen, rejected }) => {
        if (Math.max(chosen.length, rejected.length) > longest) return "too-long";
        // A chat template may take off the spaces in which two answers differ.
        return chosen.every((token, at) => token === rejected[at]) && chosen.length === rejected.length
          ? "answers-of-same-tokens"
          : null;
      }),
  );
  if (usable.records.length > 0) return usable;
  const reasons = listCounts(countReasons(usable.leftOut));
  throw new RunError(`Stage 1 has no examples: of ${train.length} records all are left out: ${reasons}`);
}

/** Readies the training on what {@link chooseScalarStage} chose. */
export async function prepareScalarStage(
  context: StageContext,
  stage: Stage1Config,
  { records, leftOut }: Usable,
): Promise<Stage> {
  const order = new ExampleOrder(records.length, { seed: context.config.seed, name: "scalar" });
  const turns = records.length * stage.epochs;
  const steps = Math.ceil(turns / stage.batchExamples);
  await context.engine.addScoreHead();
  return {
    number: 1,
    steps,
    counts: { examples: records.length, leftOut: countReasons(leftOut) },
    companions: new Map(),
    run: (step, options) => {
      const from = (step - 1) * stage.batchExamples;
      const due = order.turns(from, Math.min(from + stage.batchExamples, turns));
      return prefer(
        context,
        stage,
        { step, steps, records: due.map(({ index }) => records[index]!) },
        options,
      );
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

interface Step {
  readonly step: number;
  readonly steps: number;
  readonly records: readonly PreferenceRecord[];
}

async function prefer(
  { engine, config }: StageContext,
  stage: Stage1Config,
  { step, steps, records }: Step,
  { signal, onProgress }: StepRunOptions = {},
): Promise<StepResult> {
  const began = performance.now();
  const drops = config.lora !== null && config.lora.dropout > 0;
  const { margin, centring } = stage.bradleyTerry;
  signal?.throwIfAborted();
  const pairs = await encodePairs(engine, records);
  let loss = 0;
  let totals = NO_BRADLEY_TERRY_TOTALS;
  let tokens = 0;
  let done = 0;
  let batches = 0;
  for (const batch of pairBatches(pairs, stage.microBatchTokens)) {
    signal?.throwIfAborted();
    const layout = forestOf(batch.flatMap(({ chosen, rejected }) => [chosen, rejected]));
    const { forest } = layout;
    using tape = await engine.forward(forest, {
      select: new Uint8Array(forest.tokens.length),
      scores: scoredTokens(layout),
      recompute: stage.recompute,
      ...(drops && { dropout: { seed: config.seed, step, batch: batches++ } }),
    });
    const at = tape.scores.findIndex((score) => !Number.isFinite(score));
    if (at >= 0) {
      const { id } = batch[at >> 1]!.record;
      throw new DivergedError(`The score of an answer of record "${id}" is "${tape.scores[at]}"`);
    }
    const result = bradleyTerry(
      batch.map((_, index) => ({
        chosen: tape.scores[2 * index]!,
        rejected: tape.scores[2 * index + 1]!,
        margin,
      })),
      { pairs: pairs.length, centring },
    );
    const dScores = Float32Array.from(
      tape.scores,
      (_, index) => (index % 2 === 0 ? result.dChosen : result.dRejected)[index >> 1]!,
    );
    await tape.backward({ dScores });
    loss += result.loss;
    totals = addBradleyTerryTotals(totals, result.totals);
    tokens += forest.tokens.length;
    done += batch.length;
    onProgress?.({ phase: "training", done, of: pairs.length });
  }
  signal?.throwIfAborted();
  const update = stepOptions(stage.optimizer, step, steps);
  const { gradNorm } = await applyStep(engine, update);
  const wallSeconds = (performance.now() - began) / 1000;
  const record: Stage1StepRecord = {
    stage: 1,
    step,
    loss,
    gradNorm,
    learningRate: update.learningRate,
    tokens,
    lossTokens: 2 * pairs.length,
    tokensPerSecond: tokens / wallSeconds,
    wallSeconds,
    ids: records.map(({ id }) => id),
    preference: bradleyTerryMetrics(totals),
  };
  return { record, ledger: [] };
}

/** Cuts pairs into batches of at most so many tokens, what a pair's answers share counted once; none is empty. */
function* pairBatches(pairs: readonly Pair[], tokenBudget: number): Generator<Pair[]> {
  let batch: Pair[] = [];
  let used = 0;
  for (const pair of pairs) {
    const { chosen, rejected } = pair;
    let shared = 0;
    while (shared < Math.min(chosen.length, rejected.length) && chosen[shared] === rejected[shared]) shared++;
    const cost = chosen.length + rejected.length - shared;
    if (batch.length > 0 && used + cost > tokenBudget) {
      yield batch;
      [batch, used] = [[], 0];
    }
    batch.push(pair);
    used += cost;
  }
  if (batch.length > 0) yield batch;
}
