/**
 * Stage 1, distillation: the negative log-likelihood of a trace (rationale, label, end of sequence) given its prompt
 * (RM-R1, Chen et al. 2025, arXiv:2505.02387, section 3.2). The prompt's tokens carry no loss.
 *
 * @module
 */
import { nll } from "../algorithms/mod.ts";
import type { PreferenceRecord } from "../data/mod.ts";
import { gatherResponses, microBatches, scatterResponses } from "./batching.ts";
import { formOf, type Stage1Config } from "./config.ts";
import { applyStep, assertFinite } from "./diverged.ts";
import { countReasons, encodeTraces, placeTurns, type Usable, usableTraces } from "./examples.ts";
import { ExampleOrder } from "./order.ts";
import { listCounts, type Stage1StepRecord } from "./records.ts";
import { RunError } from "./run_error.ts";
import { type Stage, type StageContext, stepOptions, type StepResult, type StepRunOptions } from "./stage.ts";
import { tracesFromData, type TraceSource } from "./traces.ts";

/**
 * Chooses the examples of stage 1: the first training records that have a trace and fit. Records for which a file of
 * traces has none are left to stage 2.
 *
 * @throws {RunError} None does.
 */
export async function chooseStage1(
  { engine, config }: Pick<StageContext, "engine" | "config">,
  stage: Stage1Config,
  train: readonly PreferenceRecord[],
  source: TraceSource = tracesFromData(formOf(config)),
): Promise<Usable> {
  const traced = train.filter((record) => source.sidesOf(record).length > 0);
  const usable = await usableTraces(engine, traced, { form: formOf(config), ...stage, source });
  const unmatched = source.unmatched(train).map((id) => ({ id, reason: "trace-of-no-training-record" }));
  const leftOut = [...usable.leftOut, ...unmatched];
  if (usable.records.length > 0) return { records: usable.records, leftOut };
  const reasons = listCounts(countReasons(leftOut));
  throw new RunError(`Stage 1 has no examples: of ${train.length} records all are left out: ${reasons}`);
}

/** Readies stage 1 to train on what {@link chooseStage1} chose. */
export function prepareStage1(
  context: StageContext,
  stage: Stage1Config,
  { records, leftOut }: Usable,
  source: TraceSource = tracesFromData(formOf(context.config)),
): Stage {
  const { config } = context;
  const order = new ExampleOrder(records.length, { seed: config.seed, name: "stage1" });
  const turns = records.length * stage.epochs;
  const steps = Math.ceil(turns / stage.batchExamples);
  return {
    number: 1,
    steps,
    counts: { examples: records.length, leftOut: countReasons(leftOut) },
    companions: new Map(),
    run: (step, options) => {
      const from = (step - 1) * stage.batchExamples;
      const due = order.turns(from, Math.min(from + stage.batchExamples, turns));
      const pairs = placeTurns(records, due, source);
      return distill(context, stage, { step, steps, pairs, source }, options);
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

interface Step {
  readonly step: number;
  readonly steps: number;
  readonly pairs: ReturnType<typeof placeTurns>;
  readonly source: TraceSource;
}

async function distill(
  { engine, config }: StageContext,
  stage: Stage1Config,
  { step, steps, pairs, source }: Step,
  { signal, onProgress }: StepRunOptions = {},
): Promise<StepResult> {
  const began = performance.now();
  const drops = config.lora !== null && config.lora.dropout > 0;
  signal?.throwIfAborted();
  const examples = await encodeTraces(engine, formOf(config), pairs, source);
  const sequences = examples.map(({ prompt, target }) => ({ prompt, response: target }));
  const lossTokens = sequences.reduce((sum, { response }) => sum + response.length, 0);
  let loss = 0;
  let tokens = 0;
  let done = 0;
  let batches = 0;
  for (const batch of microBatches(sequences, stage.microBatchTokens)) {
    signal?.throwIfAborted();
    using tape = await engine.forward(batch.layout.forest, {
      select: batch.select,
      recompute: stage.recompute,
      ...(drops && { dropout: { seed: config.seed, step, batch: batches++ } }),
    });
    const logprobs = gatherResponses(batch, tape.logprobs);
    assertFinite(batch, logprobs);
    const result = nll(logprobs, { tokens: lossTokens });
    await tape.backward({ dLogprobs: scatterResponses(batch, result.dLogprobs) });
    loss += result.loss;
    tokens += batch.layout.forest.tokens.length;
    done += batch.sequences.length;
    onProgress?.({ phase: "training", done, of: sequences.length });
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
    lossTokens,
    tokensPerSecond: tokens / wallSeconds,
    wallSeconds,
    ids: pairs.map(({ record }) => record.id),
  };
  return { record, ledger: [] };
}
