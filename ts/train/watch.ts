/**
 * Signs in a run's records that it does not learn.
 *
 * @module
 */
import type { Stage1StepRecord, Stage2StepRecord, StepRecord } from "./records.ts";

/** Steps in a row whose groups all have equal rewards that are worth a warning. */
const EQUAL_STEPS = 50;
/** Bradley–Terry loss of a step, four times that of equal scores, that is worth a warning. */
const LARGE_PAIR_LOSS = 4 * Math.LN2;
/** Nats a token that a policy may move within a step without a warning. */
const LARGE_STEP_KL = 1;

/** Looks at each step once, and warns of each thing once a stage. */
export class Watch {
  readonly #vocabSize: number;
  readonly #warned = new Set<string>();
  #equalSteps = 0;

  constructor({ vocabSize }: { readonly vocabSize: number }) {
    this.#vocabSize = vocabSize;
  }

  /** Gives what is to be said of a step. */
  see(record: StepRecord): string[] {
    const found = record.stage === 1 ? this.#seeStage1(record) : this.#seeStage2(record);
    const fresh = found.filter(([kind]) => !this.#warned.has(kind));
    for (const [kind] of fresh) this.#warned.add(kind);
    return fresh.map(([, message]) => message);
  }

  #seeStage1({ step, loss, preference }: Stage1StepRecord): [kind: string, message: string][] {
    if (preference !== undefined) return this.#seeScores(step, loss);
    const uniform = Math.log(this.#vocabSize);
    if (step === 1 || loss <= uniform) return [];
    return [[
      "loss",
      `The loss of step ${step} is ${loss.toFixed(2)} nats, above the ${uniform.toFixed(2)} of guessing ` +
      'evenly: training diverges; lower "stage1.optimizer.learningRate"',
    ]];
  }

  #seeScores(step: number, loss: number): [kind: string, message: string][] {
    if (step === 1 || loss <= LARGE_PAIR_LOSS) return [];
    return [[
      "loss",
      `The loss of step ${step} is ${
        loss.toFixed(2)
      }, that of scores that know nothing 0.69: training diverges; ` +
      'lower "stage1.optimizer.learningRate"',
    ]];
  }

  #seeStage2(record: Stage2StepRecord): [kind: string, message: string][] {
    const found: [string, string][] = [];
    const isEqual = record.algorithm === "grpo" && record.equalGroups === record.groups;
    this.#equalSteps = isEqual ? this.#equalSteps + 1 : 0;
    if (this.#equalSteps === EQUAL_STEPS) {
      const { reward } = record;
      found.push([
        "equal",
        `In the last ${EQUAL_STEPS} steps all rollouts of a group had equal rewards (${
          reward.toFixed(2)
        } in the ` +
        "last one): nothing is learnt from groups without spread. " +
        (reward < 0
          ? 'Distil first, take an easier set, or raise "stage2.maxNewTokens" if rollouts are cut short'
          : "Take a harder set, or end here"),
      ]);
    }
    if (record.policy.meanOldKl > LARGE_STEP_KL) {
      found.push([
        "step",
        `Step ${record.step} moved the policy by ${
          record.policy.meanOldKl.toFixed(2)
        } nats a token: training ` +
        'diverges; lower "stage2.optimizer.learningRate"',
      ]);
    }
    return found;
  }
}
