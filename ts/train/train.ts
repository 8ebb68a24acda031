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
import type { Arithmetic, Device, Precision, TrainableEngine } from "../engine/mod.ts";
import { hashModel } from "../judge/mod.ts";
import { isAbort } from "./abort.ts";
import { Checkpoints, type ModelCard, saveModel } from "./checkpoint.ts";
import { type EvaluationPoint, formOf, type TrainConfig } from "./config.ts";
import { hashRecords, loadData, type RunData } from "./data.ts";
import { exists, findDamage, writeFileDurably } from "./durable.ts";
import { evaluate } from "./evaluate.ts";
import type { Usable } from "./examples.ts";
import { evaluationIn, Journal, readJournal, totalSeconds } from "./journal.ts";
import { Ledger, type LedgerEntry } from "./ledger.ts";
import { assertFits } from "./memory.ts";
import type { ProgressEvent } from "./progress.ts";
import type { EvaluationReport, TrainResult } from "./records.ts";
import { hashConfig, RunDirectory } from "./run_directory.ts";
import { InterruptedError } from "./run_error.ts";
import type { Stage, StageContext } from "./stage.ts";
import { chooseScalarStage, prepareScalarStage } from "./scalar_stage.ts";
import { StageSteps } from "./stage_steps.ts";
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
    selectionExamples: config.evaluation.during?.examples ?? 0,
  });
  const traces = config.stage1 === null || config.stage1.traces === null
    ? tracesFromData(formOf(config))
    : await tracesFromFile(config.stage1.traces);
  const base = await options.openEngine(config.model, config);
  let session: Session;
  try {
    // From the first evaluation on: of zeros, so that all answers are ties before training.
    if (config.judge === "scalarrm") await base.addScoreHead();
    const plan = await makePlan(base, config, data, traces);
    const memory = await base.trainingMemory();
    if (memory !== null) assertFits(config, memory, base.info);
    const run = resumed ?? await RunDirectory.create(path, config);
    const journal = await Journal.open(run.file("journal.jsonl"));
    const ledger = await Ledger.open(run.file("ledger.jsonl"));
    session = new Session({
      config,
      options,
      run,
      data,
      traces,
      plan,
      journal,
      ledger,
      code: await codeVersion(),
    });
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
  const choose1 = config.judge === "scalarrm" ? chooseScalarStage : chooseStage1;
  const stage1 = config.stage1 === null ? null : await choose1(context, config.stage1, train, traces);
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
  readonly ledger: Ledger;
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
    await this.#parts.ledger[Symbol.asyncDispose]();
  }

  async #begin(base: TrainableEngine, resume: boolean): Promise<void> {
    const { config, run, data, traces, journal, ledger, code, plan } = this.#parts;
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
    if (data.selection.length > 0) await run.pin("validation data", hashRecords(data.selection));
    if (traces.hash !== null) await run.pin("traces", traces.hash);
    const { leftOut } = data;
    await journal.append({
      type: "data",
      train: data.train.length,
      evaluation: data.evaluation.length,
      leftOut,
    });
    if (!resume) await ledger.append([...filtered(null, data), ...filtered(1, plan), ...filtered(2, plan)]);
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
  async #runStage1(base: TrainableEngine, stage1: NonNullable<TrainConfig["stage1"]>): Promise<number> {
    const { config, plan, run, traces } = this.#parts;
    const isWhole = await this.#isWhole(run.file("distilled"));
    if (!isWhole) await this.#adapt(base);
    const context = this.#context(base, config.model);
    await using stage = config.judge === "scalarrm"
      ? await prepareScalarStage(context, stage1, plan.stage1!)
      : prepareStage1(context, stage1, plan.stage1!, traces);
    if (!isWhole) {
      const step = await this.#runSteps(base, stage, 0);
      await this.#saveModel(run.file("distilled"), base, this.#card(stage.number, step, step));
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
    await this.#adapt(engine);
    await using stage = await prepareStage2(this.#context(engine, start), config.stage2, plan.stage2!);
    const step = await this.#runSteps(engine, stage, steps1);
    await this.#saveModel(run.file("final"), engine, this.#card(2, step, steps1 + step));
  }

  /** Puts adapters beside the weights, where the configuration asks for them. */
  async #adapt(engine: TrainableEngine): Promise<void> {
    const { lora, seed } = this.#parts.config;
    if (lora !== null) await engine.addLora({ ...lora, seed });
  }

  #context(engine: TrainableEngine, start: string): StageContext {
    const { config, options } = this.#parts;
    const openAgain = async (): Promise<TrainableEngine> => {
      const again = await options.openEngine(start, config);
      await this.#adapt(again);
      return again;
    };
    return { engine, config, openAgain };
  }

  /** Trains a stage to its end. Gives the step whose weights the engine ends with. */
  async #runSteps(engine: TrainableEngine, stage: Stage, before: number): Promise<number> {
    const { config, data, run, journal, ledger, options: { signal } } = this.#parts;
    const steps = new StageSteps({
      trained: { engine, companions: stage.companions },
      stage,
      config,
      selection: data.selection,
      run,
      checkpoints: this.#checkpoints,
      journal,
      ledger,
      signal,
      cardOf: (step) => this.#card(stage.number, step, before + step),
      warn: (message) => this.#warn(message),
      emit: (event) => this.#emit(event),
    });
    try {
      return await steps.run();
    } finally {
      this.position = steps.position;
    }
  }

  #card(stage: 1 | 2, step: number, globalStep: number): ModelCard {
    const { config, code } = this.#parts;
    const { protocol, judge, chain, model: base, seed } = config;
    return {
      format: 1,
      protocol,
      judge,
      chain,
      base,
      stage,
      step,
      globalStep,
      seed,
      config: hashConfig(config),
      code,
    };
  }

  async #saveModel(path: string, engine: TrainableEngine, card: ModelCard): Promise<void> {
    await saveModel(path, engine, card);
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
          kind: config.judge,
          form: formOf(config),
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

/** What was left out before the first step: of the data, or of a stage. */
function filtered(stage: null, data: RunData): LedgerEntry[];
function filtered(stage: 1 | 2, plan: Plan): LedgerEntry[];
function filtered(stage: 1 | 2 | null, from: RunData | Plan): LedgerEntry[] {
  const leftOut = "heldOut" in from
    ? from.heldOut.map(({ id }) => ({ id, reason: "prompt-held-out" }))
    : (stage === 1 ? from.stage1 : from.stage2)?.leftOut ?? [];
  return leftOut.map(({ id, reason }) => ({ stage, step: null, id, what: "filtered", reason }));
}
