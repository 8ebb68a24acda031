/**
 * Stage 2, reinforcement with the verdict's reward (RM-R1, Chen et al. 2025, arXiv:2505.02387, section 3.3): GRPO and
 * its family, or PPO, with old log-probabilities as the policy recorded them when it sampled.
 *
 * @module
 */
import { addGapTotals, gapMetrics, type GapTotals } from "../algorithms/mod.ts";
import type { PreferenceRecord } from "../data/mod.ts";
import type { Engine, TrainableEngine } from "../engine/mod.ts";
import { formOf, type Stage2Config } from "./config.ts";
import { updateCritic } from "./critic.ts";
import { countReasons, encodePrompts, placeTurns, type Usable, usablePrompts } from "./examples.ts";
import { ExampleOrder } from "./order.ts";
import { updatePolicy } from "./policy_update.ts";
import { isMasked, rate, type RatedGroup } from "./rating.ts";
import { listCounts, type Stage2StepRecord } from "./records.ts";
import { describeRollouts, ledgerOf, teaches } from "./rollout_report.ts";
import type { RolloutGroup } from "./rollouts.ts";
import { RunError } from "./run_error.ts";
import { sampleStep } from "./sampler.ts";
import { type Stage, type StageContext, stepOptions, type StepResult, type StepRunOptions } from "./stage.ts";
import { Updates } from "./updates.ts";

/**
 * Chooses the prompts of stage 2: the first training records that fit.
 *
 * @param used the records of stage 1, which `records: "unseen"` leaves to it
 * @throws {RunError} No record is left.
 */
export async function chooseStage2(
  { engine, config }: Pick<StageContext, "engine" | "config">,
  stage: Stage2Config,
  train: readonly PreferenceRecord[],
  used: readonly PreferenceRecord[],
): Promise<Usable> {
  const seen = new Set(stage.records === "all" ? [] : used);
  const candidates = train.filter((record) => !seen.has(record));
  const limits = { form: formOf(config), ...stage, examples: stage.steps * stage.prompts };
  const usable = await usablePrompts(engine, candidates, limits);
  if (usable.records.length > 0) return usable;
  const reason = candidates.length === 0
    ? `stage 1 uses all ${train.length} records; lower "stage1.examples" or set "stage2.records" to "all"`
    : `of ${candidates.length} records all are left out: ${listCounts(countReasons(usable.leftOut))}`;
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
  const further = new ExampleOrder(records.length, { seed: config.seed, name: "stage2 further" });
  const reference = stage.kl.coefficient > 0 ? await engine.reference() : null;
  const own = stage.critic?.trunk === "own" ? await context.openAgain() : null;
  if (stage.critic !== null) await (own ?? engine).addScoreHead();
  const models: Models = { engine, reference, critic: stage.critic === null ? null : own ?? engine };
  return {
    number: 2,
    steps: stage.steps,
    counts: { examples: records.length, leftOut: countReasons(leftOut) },
    companions: new Map(own === null ? [] : [["critic", own]]),
    run: (step, options) => {
      const pairsOf = (round: number): ReturnType<typeof placeTurns> => {
        const turn = round === 0 ? step - 1 : (step - 1) * stage.resampleRounds + round - 1;
        const from = turn * stage.prompts;
        return placeTurns(records, (round === 0 ? order : further).turns(from, from + stage.prompts));
      };
      return reinforce(models, context, stage, { step, pairsOf }, options);
    },
    [Symbol.asyncDispose]: async () => {
      await reference?.[Symbol.asyncDispose]();
      await own?.[Symbol.asyncDispose]();
    },
  };
}

interface Models {
  readonly engine: TrainableEngine;
  readonly reference: Engine | null;
  /** The policy's engine where they share a trunk. */
  readonly critic: TrainableEngine | null;
}

interface Step {
  readonly step: number;
  /** The pairs of the step, and those of its further rounds of sampling. */
  readonly pairsOf: (round: number) => ReturnType<typeof placeTurns>;
}

interface Sampled {
  /** All that were sampled. */
  readonly groups: readonly RolloutGroup[];
  /** Those that are trained on. */
  readonly kept: readonly RolloutGroup[];
  readonly gap: GapTotals | null;
}

/** Samples a step's groups; with `resample`, further ones until there are enough that teach something. */
async function sample(
  engine: TrainableEngine,
  { config }: StageContext,
  stage: Stage2Config,
  { step, pairsOf }: Step,
  options: StepRunOptions,
): Promise<Sampled> {
  const groups: RolloutGroup[] = [];
  let gap: GapTotals | null = null;
  const rounds = stage.equalGroups === "resample" ? stage.resampleRounds : 0;
  for (let round = 0; round <= rounds; round++) {
    const examples = await encodePrompts(engine, formOf(config), pairsOf(round));
    const names = { stage, seed: config.seed, step, firstPrompt: round * stage.prompts };
    const sampled = await sampleStep(engine, examples, names, options);
    groups.push(...sampled.groups);
    if (sampled.gap !== null) gap = gap === null ? sampled.gap : addGapTotals(gap, sampled.gap);
    if (groups.filter(teaches).length >= stage.prompts) break;
  }
  const kept = stage.equalGroups === "keep" ? groups : groups.filter(teaches).slice(0, stage.prompts);
  return { groups, kept, gap };
}

async function reinforce(
  models: Models,
  context: StageContext,
  stage: Stage2Config,
  step: Step,
  options: StepRunOptions = {},
): Promise<StepResult> {
  const began = performance.now();
  const { signal, onProgress } = options;
  signal?.throwIfAborted();
  const { groups, kept, gap } = await sample(models.engine, context, stage, step, options);
  const rated = withoutMasked(await rate(kept, { stage, ...models }, options), stage);
  const optimizer = stepOptions(stage.optimizer, step.step, stage.steps);
  const updates = new Updates(stage, rated);
  let done = 0;
  const of = stage.epochs * rated.reduce((sum, { rollouts }) => sum + rollouts.length, 0);
  for (let epoch = 0; epoch < stage.epochs; epoch++) {
    for (const minibatch of split(rated, stage.minibatches)) {
      const rollouts = minibatch.flatMap((group) => group.rollouts);
      // Once anything has been updated the step must end.
      const heeded = (): { signal?: AbortSignal } => updates.begun || signal === undefined ? {} : { signal };
      if (stage.critic?.trunk === "own") {
        const own = stepOptions(stage.critic.optimizer, step.step, stage.steps);
        const { clip } = stage.critic;
        const ways = { stage, clip, optimizer: own, ...heeded() };
        updates.addCritic(await updateCritic(models.critic!, rollouts, ways));
      }
      if (step.step <= (stage.critic?.warmupSteps ?? 0)) continue;
      updates.add(
        await updatePolicy(models.engine, rollouts, {
          stage,
          optimizer,
          onPolicy: updates.count === 0 && models.engine.info.exact,
          ...heeded(),
          onDone: (count) => {
            done += count;
            onProgress?.({ phase: "training", done, of });
          },
        }),
        epoch,
      );
    }
  }
  const wallSeconds = (performance.now() - began) / 1000;
  const sampledTokens = groups.flatMap(({ rollouts }) => rollouts.map(({ response }) => response.length))
    .reduce((sum, length) => sum + length, 0);
  const record: Stage2StepRecord = {
    stage: 2,
    algorithm: stage.algorithm,
    step: step.step,
    ...updates.report(),
    learningRate: optimizer.learningRate,
    tokensPerSecond: (updates.tokens + sampledTokens) / wallSeconds,
    wallSeconds,
    ids: groups.map(({ example }) => example.pair.record.id),
    ...describeRollouts(groups),
    skippedGroups: groups.length - kept.length,
    sampler: gap === null ? null : { kind: stage.sampler, ...gapMetrics(gap) },
  };
  return { record, ledger: ledgerOf(groups, step.step) };
}

/** Leaves rollouts that were cut short out of the loss, where the configuration masks them. */
export function withoutMasked(groups: readonly RatedGroup[], stage: Stage2Config): RatedGroup[] {
  return groups.map((group) => ({
    ...group,
    rollouts: group.rollouts.filter((rollout) => !isMasked(rollout, stage)),
  })).filter(({ rollouts }) => rollouts.length > 0);
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
