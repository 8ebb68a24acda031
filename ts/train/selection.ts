/**
 * Which step's weights a stage ends with, and whether it ends early.
 *
 * @module
 */
import type { SelectionConfig } from "./config.ts";
import type { StepEvaluation } from "./journal.ts";

/** The evaluations of a stage so far. */
export class Selection {
  readonly #config: SelectionConfig;
  readonly #steps: number;
  #best: StepEvaluation | null = null;
  #last = 0;
  #since = 0;

  /** @param evaluations of the steps that are done, in order */
  constructor(config: SelectionConfig, steps: number, evaluations: readonly StepEvaluation[]) {
    this.#config = config;
    this.#steps = steps;
    for (const evaluation of evaluations) this.add(evaluation);
  }

  /** Whether a step is to be evaluated and has not been yet. */
  isDue(step: number): boolean {
    return step > this.#last && (step % this.#config.every === 0 || step === this.#steps);
  }

  /** Whether an evaluation would be the best so far. */
  isBetter({ report }: StepEvaluation): boolean {
    return this.#best === null || report.accuracy.value > this.#best.report.accuracy.value;
  }

  add(evaluation: StepEvaluation): void {
    this.#since = this.isBetter(evaluation) ? 0 : this.#since + 1;
    if (this.isBetter(evaluation)) this.#best = evaluation;
    this.#last = evaluation.step;
  }

  /** Whether there have been as many evaluations without a better one as patience allows. */
  get isOver(): boolean {
    return this.#config.patience !== null && this.#since >= this.#config.patience;
  }

  /** The evaluation of the weights that the stage ends with: null for those of its last step. */
  get chosen(): StepEvaluation | null {
    return this.#config.keepBest && this.#best !== null && this.#best.step < this.#last ? this.#best : null;
  }
}
