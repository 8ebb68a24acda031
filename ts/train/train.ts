/**
 * Trains a judge: both stages from one configuration, each evaluated, saved and resumable.
 *
 * A run is a row of phases: base evaluation, stage 1, its evaluation, stage 2, final evaluation. Each looks at what is
 * on the disk and does what is missing, so that going on after any interruption is the same as having begun. Every
 * stage starts from a saved folder with a new optimizer, and every random draw is a function of the seed and the step:
 * a run that was killed at any moment and resumed ends with the same weights, bit for bit, as one that was not.
 *
 * @module
 */
import {
  type Arithmetic,
  type Device,
  EngineError,
  type Precision,
  type TrainableEngine,
} from "../engine/mod.ts";
import { hashModel } from "../judge/mod.ts";
import { Checkpoints, type ModelCard, saveModel } from "./checkpoint.ts";
import type { EvaluationPoint, TrainConfig } from "./config.ts";
import { hashRecords, loadData, type RunData } from "./data.ts";
import { exists, findDamage, writeFileDurably } from "./durable.ts";
import { evaluate } from "./evaluate.ts";
import type { Usable } from "./examples.ts";
import { evaluationIn, Journal, readJournal, totalSeconds } from "./journal.ts";
import { assertFits } from "./memory.ts";
import type { ProgressEvent } from "./progress.ts";
import type { EvaluationReport, TrainResult } from "./records.ts";
import { hashConfig, RunDirectory } from "./run_directory.ts";
import { InterruptedError } from "./run_error.ts";
import type { Stage } from "./stage.ts";
import { chooseStage1, prepareStage1 } from "./stage1.ts";
import { chooseStage2, prepareStage2 } from "./stage2.ts";
import { tracesFromData, tracesFromFile, type TraceSource } from "./traces.ts";
import { codeVersion } from "./version.ts";

/** Options of {@link train}. */
export interface TrainOptions {
  /** Folder of the run. */
  readonly runDirectory: string;
  /** Go on with the run in that folder. Default false: the folder must be new or empty. */
  readonly resume?: boolean;
  /** Stops the run where it can be gone on with. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: ProgressEvent) => void;
  /** Opens a model by its name or folder. */
  readonly openEngine: (
    model: string,
    options: {
      readonly threads: number;
      readonly precision: Precision;
      readonly device: Device;
      readonly arithmetic: Arithmetic;
    },
  ) => Promise<TrainableEngine>;
  /** Command that goes on with this run, for messages. */
  readonly resumeCommand?: string;
}

/**
 * Trains as the configuration says, or goes on with a run. A run that has finished already gives its result again.
 *
 * @throws {RunError} The run cannot start, go on, or be saved.
 * @throws {InterruptedError} The signal stopped it; what was done is saved.
 */
export async function train(config: TrainConfig, options: TrainOptions): Promise<TrainResult> {
  const { runDirectory: path, resume = false, signal } = options;
  const resumed = resume ? await RunDirectory.resume(path, config) : null;
  if (resumed === null) await RunDirectory.checkFree(path);
  const finished = await resumed?.result() ?? null;
  if (finished !== null) return { ...finished, alreadyFinished: true };

  const data = await loadData(config.data, {
    seed: config.seed,
    evaluationExamples: config.evaluation.examples,
  });
  const traces = config.stage1 === null || config.stage1.traces === null
    ? tracesFromData()
    : await tracesFromFile(config.stage1.traces);
  const base = await options.openEngine(config.model, config);
  let session: Session;
  try {
    const plan = await makePlan(base, config, data, traces);
    const memory = await base.trainingMemory();
    if (memory !== null) assertFits(config, memory, base.info);
    const run = resumed ?? await RunDirectory.create(path, config);
    const journal = await Journal.open(run.file("journal.jsonl"));
    session = new Session({ config, options, run, data, traces, plan, journal, code: await codeVersion() });
  } catch (error) {
    await base[Symbol.asyncDispose]();
    throw error;
  }
  try {
    return await session.train(base, resume);
  } catch (error) {
    if (!isAbort(error, signal)) throw error;
    const command = options.resumeCommand ?? `deno task train --resume ${path}`;
    throw new InterruptedError(session.position, path, command, { cause: error });
  } finally {
    await session.close();
  }
}

/** Whether an error says no more than that the signal stopped the work. */
function isAbort(error: unknown, signal: AbortSignal | undefined): boolean {
  if (signal?.aborted !== true) return false;
  return error === signal.reason || (error instanceof EngineError && error.kind === "cancelled");
}

/** The records that each stage is to use; null for a stage left out. */
interface Plan {
  readonly stage1: Usable | null;
  readonly stage2: Usable | null;
}

async function makePlan(
  engine: TrainableEngine,
  config: TrainConfig,
  { train }: RunData,
  traces: TraceSource,
): Promise<Plan> {
  const context = { engine, config };
  const stage1 = config.stage1 === null ? null : await chooseStage1(context, config.stage1, train, traces);
  const stage2 = config.stage2 === null
    ? null
    : await chooseStage2(context, config.stage2, train, stage1?.records ?? []);
  return { stage1, stage2 };
}

interface SessionParts {
  readonly config: TrainConfig;
  readonly options: TrainOptions;
  readonly run: RunDirectory;
  readonly data: RunData;
  readonly traces: TraceSource;
  readonly plan: Plan;
  readonly journal: Journal;
  readonly code: string;
}

/** One process's part of a run. */
class Session {
  readonly #parts: SessionParts;
  readonly #checkpoints: Checkpoints;
  #engine: TrainableEngine | null = null;
  /** Where the run stands, for the message of an interruption. */
  position = "Stopped before the first step";

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#checkpoints = new Checkpoints(parts.run.file("checkpoints"), {
      keep: parts.config.checkpoint.keep,
    });
  }

  async train(base: TrainableEngine, resume: boolean): Promise<TrainResult> {
    this.#engine = base;
    const { config, run } = this.#parts;
    await this.#begin(base, resume);
    await this.#evaluate("base", base);
    const steps1 = config.stage1 === null ? 0 : await this.#runStage1(base, config.stage1);
    const start = config.stage1 === null ? config.model : run.file("distilled");
    if (config.stage1 !== null) await this.#evaluate("distilled", start);
    if (!(await this.#isWhole(run.file("final")))) await this.#runStage2(start, steps1);
    await this.#evaluate("final", run.file("final"));
    return await this.#finish(steps1);
  }

  async close(): Promise<void> {
    await this.#engine?.[Symbol.asyncDispose]();
    await this.#parts.journal[Symbol.asyncDispose]();
  }

  async #begin(base: TrainableEngine, resume: boolean): Promise<void> {
    const { config, run, data, traces, journal, code, plan } = this.#parts;
    const { name, backend, parameters } = base.info;
    await journal.append({ type: resume ? "resume" : "start", code, backend, threads: config.threads });
    this.#emit({ type: "model", name, backend, parameters });
    const firstCode = await run.recall("code", code);
    if (firstCode !== code) {
      await this.#warn(`The run was begun by version "${firstCode}", this is "${code}"`);
    }
    const device = backend.replace(/\d+ threads?, /, "");
    const firstDevice = await run.recall("device", device);
    if (firstDevice !== device) {
      await this.#warn(`The run was begun on "${firstDevice}", this is "${device}": bits may differ`);
    }
    await run.pin("model", await exists(name) ? await hashModel(name) : name);
    await run.pin("training data", hashRecords(data.train));
    await run.pin("evaluation data", hashRecords(data.evaluation));
    if (traces.hash !== null) await run.pin("traces", traces.hash);
    const { leftOut } = data;
    await journal.append({
      type: "data",
      train: data.train.length,
      evaluation: data.evaluation.length,
      leftOut,
    });
    const learnt = (plan.stage1?.records.length ?? 0) * (config.stage1?.epochs ?? 0);
    const { stage1, stage2 } = config;
    this.#emit({
      type: "plan",
      trainRecords: data.train.length,
      evaluationRecords: data.evaluation.length,
      steps: {
        stage1: stage1 === null ? 0 : Math.ceil(learnt / stage1.batchExamples),
        stage2: stage2?.steps ?? 0,
      },
      traces: learnt,
      rollouts: stage2 === null ? 0 : stage2.steps * stage2.prompts * stage2.rollouts,
    });
  }

  /** Gives the number of steps of stage 1. */
  async #runStage1(base: TrainableEngine, config: NonNullable<TrainConfig["stage1"]>): Promise<number> {
    const { plan, run, traces } = this.#parts;
    const context = { engine: base, config: this.#parts.config };
    await using stage = prepareStage1(context, config, plan.stage1!, traces);
    if (!(await this.#isWhole(run.file("distilled")))) {
      await this.#runSteps(base, stage, 0);
      await this.#saveModel(run.file("distilled"), base, this.#card(stage.number, stage.steps, stage.steps));
    }
    return stage.steps;
  }

  /** Trains stage 2 from a folder, if there is one, and saves the final model. */
  async #runStage2(start: string, steps1: number): Promise<void> {
    const { config, plan, run } = this.#parts;
    const engine = await this.#open(start);
    if (config.stage2 === null) {
      await this.#saveModel(run.file("final"), engine, this.#card(1, steps1, steps1));
      return;
    }
    await using stage = await prepareStage2({ engine, config }, config.stage2, plan.stage2!);
    await this.#runSteps(engine, stage, steps1);
    await this.#saveModel(run.file("final"), engine, this.#card(2, stage.steps, steps1 + stage.steps));
  }

  /** Trains from the stage's newest whole checkpoint to its end. `before`: steps of the stages before. */
  async #runSteps(engine: TrainableEngine, stage: Stage, before: number): Promise<void> {
    const { options: { signal }, journal, config } = this.#parts;
    const found = await this.#checkpoints.latest(stage.number, (message) => this.#warn(message));
    if (found !== null) await engine.load(found.path);
    const from = found?.card.step ?? 0;
    const about = { stage: stage.number, steps: stage.steps, from, ...stage.counts };
    await journal.append({ type: "stage", ...about });
    this.#emit({ type: "stage", ...about });
    let saved = from;
    const save = async (step: number): Promise<void> => {
      const card = this.#card(stage.number, step, before + step);
      const path = await this.#checkpoints.save(engine, card);
      saved = step;
      await journal.append({ type: "checkpoint", path });
      this.#emit({ type: "saved", path });
    };
    let seconds = 0;
    for (let step = from + 1; step <= stage.steps; step++) {
      try {
        const record = await stage.run(step, {
          ...(signal === undefined ? {} : { signal }),
          onProgress: (work) => this.#emit({ type: "working", stage: stage.number, step, work }),
        });
        seconds += record.wallSeconds;
        await journal.append({ type: "step", ...record });
        const secondsLeft = seconds / (step - from) * (stage.steps - step);
        this.#emit({ type: "step", record, steps: stage.steps, secondsLeft });
      } catch (error) {
        if (!isAbort(error, signal)) throw error;
        const done = step - 1;
        await engine.discardGradients();
        if (done > saved) await save(done);
        await journal.append({ type: "interrupted", stage: stage.number, step: done });
        this.position = `Stopped in stage ${stage.number} ` +
          (done === 0 ? "before its first step" : `after step ${done} of ${stage.steps}, which is saved`);
        throw error;
      }
      this.position = `Stopped in stage ${stage.number} after step ${step} of ${stage.steps}`;
      if (step % config.checkpoint.every === 0 && step < stage.steps) await save(step);
    }
  }

  #card(stage: 1 | 2, step: number, globalStep: number): ModelCard {
    const { config, code } = this.#parts;
    const { protocol, model: base, seed } = config;
    return { format: 1, protocol, base, stage, step, globalStep, seed, config: hashConfig(config), code };
  }

  async #saveModel(path: string, engine: TrainableEngine, card: ModelCard): Promise<void> {
    await saveModel(path, engine, card, { optimizer: false });
    await this.#parts.journal.append({ type: "checkpoint", path });
    this.#emit({ type: "saved", path });
  }

  /** Whether a saved model is there and undamaged. */
  async #isWhole(path: string): Promise<boolean> {
    if (!(await exists(path))) return false;
    const damage = await findDamage(path);
    if (damage !== null) await this.#warn(`Model "${path}" is damaged and is made again: ${damage}`);
    return damage === null;
  }

  /** Closes the engine that was open and opens another: only one model is in memory. */
  async #open(model: string): Promise<TrainableEngine> {
    const { options, config } = this.#parts;
    await this.#engine?.[Symbol.asyncDispose]();
    this.#engine = null;
    this.#engine = await options.openEngine(model, config);
    return this.#engine;
  }

  /** Evaluates, if the configuration asks for it and the journal has no report of it yet. */
  async #evaluate(at: EvaluationPoint, model: TrainableEngine | string): Promise<void> {
    const { config, run, data, journal, options: { signal } } = this.#parts;
    if (!config.evaluation.at.includes(at) || await this.#reportOf(at) !== null) return;
    const same = at === "final" && config.stage2 === null ? await this.#reportOf("distilled") : null;
    let report = same;
    if (report === null) {
      this.position = `Stopped in the evaluation "${at}"; all training before it is saved`;
      const evaluation = await evaluate(
        typeof model === "string" ? await this.#open(model) : model,
        data.evaluation,
        {
          protocol: config.protocol,
          config: config.evaluation,
          ...(signal === undefined ? {} : { signal }),
          onProgress: (done, of) => this.#emit({ type: "evaluating", at, done, of }),
        },
      );
      const lines = evaluation.judged.map(({ pair, judgement: { outcome, finish, tokens, text } }) =>
        JSON.stringify({ id: pair.record.id, gold: pair.gold, outcome, finish, tokens, text })
      );
      await writeFileDurably(
        run.file("evaluations", `${at}.jsonl`),
        lines.map((line) => `${line}\n`).join(""),
      );
      report = evaluation.report;
    }
    await journal.append({ type: "evaluation", at, report });
    this.#emit({ type: "evaluation", at, report });
  }

  async #reportOf(at: EvaluationPoint): Promise<EvaluationReport | null> {
    return evaluationIn(await readJournal(this.#parts.run.file("journal.jsonl")), at) ?? null;
  }

  async #finish(steps1: number): Promise<TrainResult> {
    const { config, run, journal } = this.#parts;
    await journal.append({ type: "finish" });
    const records = await readJournal(run.file("journal.jsonl"));
    const evaluations = {
      base: evaluationIn(records, "base") ?? null,
      distilled: evaluationIn(records, "distilled") ?? null,
      final: evaluationIn(records, "final") ?? null,
    };
    const result: TrainResult = {
      accuracy: {
        base: evaluations.base?.accuracy.value ?? null,
        distilled: evaluations.distilled?.accuracy.value ?? null,
        final: evaluations.final?.accuracy.value ?? null,
      },
      seconds: totalSeconds(records),
      evaluations,
      steps: { stage1: config.stage1 === null ? null : steps1, stage2: config.stage2?.steps ?? null },
      runDirectory: run.path,
      model: run.file("final"),
      alreadyFinished: false,
    };
    await run.finish(result);
    return result;
  }

  async #warn(message: string): Promise<void> {
    await this.#parts.journal.append({ type: "warning", message });
    this.#emit({ type: "warning", message });
  }

  #emit(event: ProgressEvent): void {
    this.#parts.options.onProgress?.(event);
  }
}
