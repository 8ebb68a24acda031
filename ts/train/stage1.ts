/**
 * Stage 1, distillation: the negative log-likelihood of a trace (rationale, label, end of sequence) given its prompt
 * (RM-R1, Chen et al. 2025, arXiv:2505.02387, section 3.2). The prompt's tokens carry no loss.
 *
 * @module
 */
import { nll } from "../algorithms/mod.ts";
import type { PreferenceRecord } from "../data/mod.ts";
import { gatherResponses, microBatches, scatterResponses } from "./batching.ts";
import type { Stage1Config } from "./config.ts";
import { encodeTraces, placeTurns, type Usable, usableTraces } from "./examples.ts";
import { ExampleOrder } from "./order.ts";
import { listCounts, type Stage1StepRecord } from "./records.ts";
import { RunError } from "./run_error.ts";
import { type Stage, type StageContext, stepOptions, type StepRunOptions } from "./stage.ts";
import { tracesFromData, type TraceSource } from "./traces.ts";

/**
 * Chooses the examples of stage 1: the first training records that have a trace and fit. Records for which a file of
 * traces has none are left to stage 2.
 *
 * @throws {RunError} None does.
 */
export async function chooseStage1(
  { engine, config }: StageContext,
  stage: Stage1Config,
  train: readonly PreferenceRecord[],
  source: TraceSource = tracesFromData(),
): Promise<Usable> {
  const traced = train.filter((record) => source.sidesOf(record).length > 0);
  const usable = await usableTraces(engine, traced, { protocol: config.protocol, ...stage, source });
  const unmatched = source.unmatched(train);
  const leftOut = { ...usable.leftOut, ...(unmatched > 0 && { "trace-of-no-training-record": unmatched }) };
  if (usable.records.length > 0) return { records: usable.records, leftOut };
  const reasons = listCounts(leftOut);
  throw new RunError(`Stage 1 has no examples: of ${train.length} records all are left out: ${reasons}`);
}

/** Readies stage 1 to train on what {@link chooseStage1} chose. */
export function prepareStage1(
  context: StageContext,
  stage: Stage1Config,
  { records, leftOut }: Usable,
  source: TraceSource = tracesFromData(),
): Stage {
  const { config } = context;
  const order = new ExampleOrder(records.length, { seed: config.seed, name: "stage1" });
  const turns = records.length * stage.epochs;
  return {
    number: 1,
    steps: Math.ceil(turns / stage.batchExamples),
    counts: { examples: records.length, leftOut },
    run: (step, options) => {
      const from = (step - 1) * stage.batchExamples;
      const due = order.turns(from, Math.min(from + stage.batchExamples, turns));
      return distill(context, stage, { step, pairs: placeTurns(records, due, source), source }, options);
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function distill(
  { engine, config }: StageContext,
  stage: Stage1Config,
  { step, pairs, source }: {
    readonly step: number;
    readonly pairs: ReturnType<typeof placeTurns>;
    readonly source: TraceSource;
  },
  { signal, onProgress }: StepRunOptions = {},
): Promise<Stage1StepRecord> {
  const began = performance.now();
  signal?.throwIfAborted();
  const examples = await encodeTraces(engine, config.protocol, pairs, source);
  const sequences = examples.map(({ prompt, target }) => ({ prompt, response: target }));
  const lossTokens = sequences.reduce((sum, { response }) => sum + response.length, 0);
  let loss = 0;
  let tokens = 0;
  let done = 0;
  for (const batch of microBatches(sequences, stage.microBatchTokens)) {
    signal?.throwIfAborted();
    using tape = await engine.forward(batch.layout.forest, {
      select: batch.select,
      recompute: stage.recompute,
    });
    const result = nll(gatherResponses(batch, tape.logprobs), { tokens: lossTokens });
    await tape.backward({ dLogprobs: scatterResponses(batch, result.dLogprobs) });
    loss += result.loss;
    tokens += batch.layout.forest.tokens.length;
    done += batch.sequences.length;
    onProgress?.({ phase: "training", done, of: sequences.length });
  }
  signal?.throwIfAborted();
  const update = stepOptions(stage.optimizer, step);
  const { gradNorm } = await engine.step(update);
  const wallSeconds = (performance.now() - began) / 1000;
  return {
    stage: 1,
    step,
    loss,
    gradNorm,
    learningRate: update.learningRate,
    tokens,
    lossTokens,
    tokensPerSecond: tokens / wallSeconds,
    wallSeconds,
    ids: pairs.map(({ record }) => record.id),
  };
}
