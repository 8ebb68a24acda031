/**
 * Stage 2, reinforcement with the verdict's reward (RM-R1, Chen et al. 2025, arXiv:2505.02387, section 3.3): GRPO,
 * with old log-probabilities as the policy recorded them when it sampled.
 *
 * @module
 */
import { addGrpoTotals, groupAdvantages, grpoMetrics, hasSpread, NO_GRPO_TOTALS } from "../algorithms/mod.ts";
import type { PreferenceRecord } from "../data/mod.ts";
import type { Engine } from "../engine/mod.ts";
import type { Stage2Config } from "./config.ts";
import { encodePrompts, placeTurns, type Usable, usablePrompts } from "./examples.ts";
import { ExampleOrder } from "./order.ts";
import { type RatedRollout, updatePolicy } from "./policy_update.ts";
import { increment, listCounts, type Stage2StepRecord } from "./records.ts";
import type { RolloutGroup } from "./rollouts.ts";
import { RunError } from "./run_error.ts";
import { sampleStep } from "./sampler.ts";
import { type Stage, type StageContext, stepOptions, type StepRunOptions } from "./stage.ts";

/**
 * Chooses the prompts of stage 2: the first training records that fit.
 *
 * @param used the records of stage 1, which `records: "unseen"` leaves to it
 * @throws {RunError} No record is left.
 */
export async function chooseStage2(
  { engine, config }: StageContext,
  stage: Stage2Config,
  train: readonly PreferenceRecord[],
  used: readonly PreferenceRecord[],
): Promise<Usable> {
  const seen = new Set(stage.records === "all" ? [] : used);
  const candidates = train.filter((record) => !seen.has(record));
  const limits = { protocol: config.protocol, ...stage, examples: stage.steps * stage.prompts };
  const usable = await usablePrompts(engine, candidates, limits);
  if (usable.records.length > 0) return usable;
  const reason = candidates.length === 0
    ? `stage 1 uses all ${train.length} records; lower "stage1.examples" or set "stage2.records" to "all"`
    : `of ${candidates.length} records all are left out: ${listCounts(usable.leftOut)}`;
  throw new RunError(`Stage 2 has no examples: ${reason}`);
}

/**
 * Readies stage 2 to train on what {@link chooseStage2} chose. The reference is the weights as they are now, before
 * the first step.
 */
export async function prepareStage2(
  context: StageContext,
  stage: Stage2Config,
  { records, leftOut }: Usable,
): Promise<Stage> {
  const { engine, config } = context;
  const order = new ExampleOrder(records.length, { seed: config.seed, name: "stage2" });
  const reference = stage.beta > 0 ? await engine.reference() : null;
  return {
    number: 2,
    steps: stage.steps,
    counts: { examples: records.length, leftOut },
    run: (step, options) => {
      const turns = order.turns((step - 1) * stage.prompts, step * stage.prompts);
      return reinforce(context, stage, { step, reference, pairs: placeTurns(records, turns) }, options);
    },
    [Symbol.asyncDispose]: async () => await reference?.[Symbol.asyncDispose](),
  };
}

interface Step {
  readonly step: number;
  readonly reference: Engine | null;
  readonly pairs: ReturnType<typeof placeTurns>;
}

async function reinforce(
  { engine, config }: StageContext,
  stage: Stage2Config,
  { step, reference, pairs }: Step,
  options: StepRunOptions = {},
): Promise<Stage2StepRecord> {
  const began = performance.now();
  const { signal, onProgress } = options;
  signal?.throwIfAborted();
  const examples = await encodePrompts(engine, config.protocol, pairs);
  const { groups, sampler } = await sampleStep(engine, examples, { stage, seed: config.seed, step }, options);
  const rated = groups.map((group) => ({ ...group, rollouts: rate(group, stage) }));
  const kept = rated.filter(({ rollouts }) => stage.equalGroups === "keep" || hasSpread(rewardsOf(rollouts)));
  const optimizer = stepOptions(stage.optimizer, step);

  let updates = 0;
  let loss = 0;
  let gradNorm = 0;
  let entropy = 0;
  let firstPassTokens = 0;
  let onPolicyRatioGap = 0;
  let tokens = 0;
  let lossTokens = 0;
  let totals = NO_GRPO_TOTALS;
  let done = 0;
  const of = stage.epochs * kept.reduce((sum, { rollouts }) => sum + rollouts.length, 0);
  for (let epoch = 0; epoch < stage.epochs; epoch++) {
    for (const minibatch of split(kept, stage.minibatches)) {
      const report = await updatePolicy(engine, minibatch.flatMap(({ rollouts }) => rollouts), {
        stage,
        optimizer,
        reference,
        onPolicy: updates === 0 && engine.info.exact,
        ...(updates > 0 || signal === undefined ? {} : { signal }),
        onDone: (count) => {
          done += count;
          onProgress?.({ phase: "training", done, of });
        },
      });
      if (updates === 0) onPolicyRatioGap = report.totals.ratioGap;
      updates++;
      loss += report.loss;
      gradNorm += report.gradNorm;
      totals = addGrpoTotals(totals, report.totals);
      tokens += report.tokens;
      lossTokens += report.totals.tokens;
      if (epoch === 0) {
        entropy += report.entropy;
        firstPassTokens += report.totals.tokens;
      }
    }
  }
  const wallSeconds = (performance.now() - began) / 1000;
  const sampledTokens = sum(rated.flatMap(({ rollouts }) => rollouts.map(({ response }) => response.length)));
  return {
    stage: 2,
    step,
    loss: updates === 0 ? 0 : loss / updates,
    gradNorm: updates === 0 ? 0 : gradNorm / updates,
    learningRate: optimizer.learningRate,
    tokens,
    lossTokens,
    tokensPerSecond: (tokens + sampledTokens) / wallSeconds,
    wallSeconds,
    ids: pairs.map(({ record }) => record.id),
    ...describe(rated),
    entropy: firstPassTokens === 0 ? 0 : entropy / firstPassTokens,
    skippedGroups: rated.length - kept.length,
    updates,
    onPolicyRatioGap,
    sampler,
    policy: grpoMetrics(totals),
  };
}

function rewardsOf(rollouts: readonly { readonly reward: number }[]): number[] {
  return rollouts.map(({ reward }) => reward);
}

function rate({ rollouts }: RolloutGroup, { std }: Stage2Config): RatedRollout[] {
  const advantages = groupAdvantages(rewardsOf(rollouts), { std });
  return rollouts.map((rollout, index) => ({ ...rollout, advantage: advantages[index]! }));
}

/** Cuts groups into at most `parts` parts of sizes as equal as can be, in order; none is empty. */
function split<T>(groups: readonly T[], parts: number): T[][] {
  const count = Math.min(parts, groups.length);
  return Array.from(
    { length: count },
    (_, part) =>
      groups.slice(Math.floor(part * groups.length / count), Math.floor((part + 1) * groups.length / count)),
  );
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** What became of a step's rollouts. */
function describe(
  groups: readonly RolloutGroup[],
): Pick<
  Stage2StepRecord,
  "reward" | "parseRate" | "outcomes" | "finishes" | "meanTokens" | "groups" | "equalGroups" | "distinct"
> {
  const outcomes: { [outcome: string]: number } = {};
  const finishes: { [finish: string]: number } = {};
  let distinct = 0;
  for (const { example, rollouts } of groups) {
    for (const { verdict, finish } of rollouts) {
      increment(finishes, finish);
      if (verdict.kind === "unparsable") increment(outcomes, `unparsable: ${verdict.reason}`);
      else increment(outcomes, verdict.kind === example.pair.gold ? "correct" : "wrong");
    }
    distinct += new Set(rollouts.map(({ response }) => response.join())).size;
  }
  const rollouts = groups.flatMap((group) => group.rollouts);
  return {
    reward: sum(rewardsOf(rollouts)) / rollouts.length,
    parseRate: rollouts.filter(({ verdict }) => verdict.kind !== "unparsable").length / rollouts.length,
    outcomes,
    finishes,
    meanTokens: sum(rollouts.map(({ response }) => response.length)) / rollouts.length,
    groups: groups.length,
    equalGroups: groups.filter((group) => !hasSpread(rewardsOf(group.rollouts))).length,
    distinct: distinct / rollouts.length,
  };
}
