/**
 * The steps of a stage: from its newest whole checkpoint to its end, with checkpoints, evaluations and warnings.
 *
 * @module
 */
import { mkdir } from "node:fs/promises";
import type { PreferenceRecord } from "../data/mod.ts";
import { isAbort } from "./abort.ts";
import { type Checkpoints, loadState, type ModelCard, saveState, type Trained } from "./checkpoint.ts";
import { formOf, type TrainConfig } from "./config.ts";
import { asDiverged, type DivergedError } from "./diverged.ts";
import { evaluate } from "./evaluate.ts";
import { type Journal, readJournal, type StepEvaluation, stepEvaluationsIn, stepsIn } from "./journal.ts";
import type { Ledger } from "./ledger.ts";
import type { ProgressEvent } from "./progress.ts";
import type { RunDirectory } from "./run_directory.ts";
import { RunError } from "./run_error.ts";
import { Selection } from "./selection.ts";
import type { Stage } from "./stage.ts";
import { Watch } from "./watch.ts";

/** What {@link StageSteps} works with. */
export interface StageStepsParts {
  readonly trained: Trained;
  readonly stage: Stage;
  readonly config: TrainConfig;
  /** Validation pairs, for evaluation while it trains. */
  readonly selection: readonly PreferenceRecord[];
  readonly run: RunDirectory;
  readonly checkpoints: Checkpoints;
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly signal: AbortSignal | undefined;
  /** What a model saved after a step says of itself. */
  readonly cardOf: (step: number) => ModelCard;
  readonly warn: (message: string) => Promise<void>;
  readonly emit: (event: ProgressEvent) => void;
}

/** One process's part of a stage. */
export class StageSteps {
  readonly #parts: StageStepsParts;
  readonly #watch: Watch;
  #selection: Selection | null = null;
  /** The step that the process began behind. */
  #from = 0;
  /** The last step that is done. */
  #done = 0;
  /** The last step with a checkpoint. */
  #saved = 0;
  /** Where the stage stands, for the message of an interruption. */
  position: string;

  constructor(parts: StageStepsParts) {
    this.#parts = parts;
    this.#watch = new Watch(parts.trained.engine.info);
    this.position = `Stopped in stage ${parts.stage.number} before its first step`;
  }

  /**
   * Trains to the end. Gives the step whose weights the engine ends with.
   *
   * @throws {RunError} Training diverged.
   */
  async run(): Promise<number> {
    const { trained: { engine, companions }, stage, journal, signal } = this.#parts;
    await this.#begin();
    try {
      await this.#select();
      await this.#train();
    } catch (error) {
      const diverged = asDiverged(error);
      if (diverged !== null) throw this.#diverged(diverged);
      if (!isAbort(error, signal)) throw error;
      await engine.discardGradients();
      for (const companion of companions.values()) await companion.discardGradients();
      if (this.#done > this.#saved) await this.#save();
      await journal.append({ type: "interrupted", stage: stage.number, step: this.#done });
      if (this.#done > 0) this.position = `${this.#after()}, which is saved`;
      throw error;
    }
    return await this.#choose();
  }

  /** Goes back to the newest whole checkpoint, and to what was known then. */
  async #begin(): Promise<void> {
    const { trained, stage, config, run, checkpoints, journal, warn, emit } = this.#parts;
    const found = await checkpoints.latest(stage.number, warn);
    if (found !== null) await loadState(found.path, trained);
    this.#from = this.#done = this.#saved = found?.card.step ?? 0;
    const about = { stage: stage.number, steps: stage.steps, from: this.#from, ...stage.counts };
    await journal.append({ type: "stage", ...about });
    emit({ type: "stage", ...about });
    const history = await readJournal(run.file("journal.jsonl"));
    const past = { stage: stage.number, upTo: this.#from };
    for (const record of stepsIn(history, past)) this.#watch.see(record);
    const { during } = config.evaluation;
    if (during !== null) {
      this.#selection = new Selection(during, stage.steps, stepEvaluationsIn(history, past));
    }
  }

  async #train(): Promise<void> {
    const { stage, config, journal, ledger, signal, warn, emit } = this.#parts;
    let seconds = 0;
    while (this.#done < stage.steps && this.#selection?.isOver !== true) {
      const step = this.#done + 1;
      const { record, ledger: entries } = await stage.run(step, {
        ...(signal === undefined ? {} : { signal }),
        onProgress: (work) => emit({ type: "working", stage: stage.number, step, work }),
      });
      this.#done = step;
      this.position = this.#after();
      seconds += record.wallSeconds;
      await ledger.append(entries);
      await journal.append({ type: "step", ...record });
      const secondsLeft = seconds / (step - this.#from) * (stage.steps - step);
      emit({ type: "step", record, steps: stage.steps, secondsLeft });
      for (const message of this.#watch.see(record)) await warn(message);
      if (step % config.checkpoint.every === 0 && step < stage.steps) await this.#save();
      await this.#select();
    }
  }

  #after(): string {
    const { number, steps } = this.#parts.stage;
    return `Stopped in stage ${number} after step ${this.#done} of ${steps}`;
  }

  async #save(): Promise<void> {
    const { trained, checkpoints, cardOf, journal, emit } = this.#parts;
    const path = await checkpoints.save(trained, cardOf(this.#done));
    this.#saved = this.#done;
    await journal.append({ type: "checkpoint", path });
    emit({ type: "saved", path });
  }

  /** Evaluates after the last step, if that is due, and keeps the weights if they are the best so far. */
  async #select(): Promise<void> {
    const { trained, stage, config, selection: pairs, cardOf, journal, signal, emit } = this.#parts;
    const selection = this.#selection;
    const step = this.#done;
    if (selection === null || step === 0 || !selection.isDue(step)) return;
    const { report } = await evaluate(trained.engine, pairs, {
      kind: config.judge,
      form: formOf(config),
      config: config.evaluation,
      ...(signal === undefined ? {} : { signal }),
      onProgress: (done, of) => emit({ type: "evaluating", at: "step", done, of }),
    });
    const evaluation: StepEvaluation = { stage: stage.number, step, report };
    if (config.evaluation.during!.keepBest && selection.isBetter(evaluation)) {
      await mkdir(this.#parts.run.file("best"), { recursive: true });
      await saveState(this.#best, trained, cardOf(step), { optimizer: false });
    }
    await journal.append({ type: "evaluation", at: "step", ...evaluation });
    emit({ type: "evaluation", at: "step", ...evaluation });
    selection.add(evaluation);
  }

  get #best(): string {
    return this.#parts.run.file("best", `stage${this.#parts.stage.number}`);
  }

  /** Goes back to the best weights, where those are wanted and are not the last ones. */
  async #choose(): Promise<number> {
    const { trained, stage, journal, emit } = this.#parts;
    const chosen = this.#selection?.chosen ?? null;
    if (chosen === null) return this.#done;
    await loadState(this.#best, trained);
    const accuracy = chosen.report.accuracy.value;
    const choice = { stage: stage.number, step: chosen.step, accuracy, last: this.#done };
    await journal.append({ type: "chosen", ...choice });
    emit({ type: "chosen", ...choice });
    return chosen.step;
  }

  #diverged(error: DivergedError): RunError {
    const { number } = this.#parts.stage;
    const kept = this.#saved === 0
      ? "There is no checkpoint of this stage"
      : `The checkpoint of step ${this.#saved} is whole, though its weights may be on that way`;
    return new RunError(
      `Stage ${number} diverged at step ${this.#done + 1}: ${error.message}; lower ` +
        `"stage${number}.${error.optimizer}.learningRate". ${kept}`,
      { cause: error },
    );
  }
}
