/**
 * A run's folder as the trainer leaves it, written by hand: small, of any length, and with what one likes in its texts.
 *
 * @module
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hashRecords, loadData } from "../../train/data.ts";
import { parseConfig } from "../../train/mod.ts";

/** What an example run is made of. */
export interface ExampleOptions {
  /** Steps of the two stages. */
  readonly steps?: readonly [stage1: number, stage2: number];
  /** What is put into each text that a stranger could have written. Default nothing. */
  readonly inserted?: string;
  readonly finished?: boolean;
}

/** The time of the first line of an example's journal. */
export const BEGAN: Date = new Date("2026-01-31T12:00:00.000Z");

/** The results of the held-out pairs at each point, in the order of {@link exampleIds}. */
export const EXAMPLE_RESULTS = {
  base: ["right", "wrong", "unreadable", "right"],
  distilled: ["right", "right", "wrong", "wrong"],
  final: ["right", "right", "right", "wrong"],
} as const;

/** The held-out pairs, with the texts that were inserted. */
export function exampleIds(inserted = ""): string[] {
  return EXAMPLE_RESULTS.base.map((_, index) => `held-${index}${inserted}`);
}

/** Writes the run's folder. */
export async function writeExampleRun(folder: string, options: ExampleOptions = {}): Promise<void> {
  const { steps: [steps1, steps2] = [4, 6], inserted = "", finished = true } = options;
  await mkdir(join(folder, "evaluations"), { recursive: true });
  const put = (name: string, content: unknown): Promise<void> =>
    writeFile(join(folder, name), `${JSON.stringify(content, null, 2)}\n`);
  const putLines = (name: string, lines: readonly unknown[]): Promise<void> =>
    writeFile(join(folder, name), lines.map((line) => `${JSON.stringify(line)}\n`).join(""));

  await putLines("train.jsonl", [pairOf("train-0", inserted)]);
  await putLines("held.jsonl", exampleIds(inserted).map((id) => pairOf(id, inserted)));
  const data = {
    kind: "jsonl",
    path: join(folder, "train.jsonl"),
    evaluationPath: join(folder, "held.jsonl"),
  };
  const config = parseConfig({ model: `embedded${inserted}`, data, evaluation: { examples: 4 } });
  const { evaluation } = await loadData(config.data, { seed: 0, evaluationExamples: 4 });
  await put("config.json", inserted === "" ? config : { ...config, [`key${inserted}`]: inserted });
  await put("provenance.json", {
    code: `0.1.0${inserted}`,
    [`what${inserted}`]: inserted,
    "evaluation data": hashRecords(evaluation),
  });
  const line = clock();
  const stage = (number: 1 | 2, steps: number): unknown[] => [
    line({ type: "stage", stage: number, steps, from: 0, examples: 8, leftOut: { [`long${inserted}`]: 2 } }),
    ...Array.from({ length: steps }, (_, index) => line(number === 1 ? step1(index + 1) : step2(index + 1))),
  ];
  await putLines("journal.jsonl", [
    line({ type: "start", code: `0.1.0${inserted}`, backend: `cpu${inserted}`, threads: 2 }),
    line({ type: "data", train: 1, evaluation: 4, leftOut: { [`same${inserted}`]: 3 } }),
    line({ type: "warning", message: `Rewards are all equal${inserted}` }),
    line({ type: "checkpoint", path: `checkpoints/000001${inserted}` }),
    line({ type: `unknown${inserted}` }),
    line({ type: "evaluation", at: "base", report: reportOf(1, inserted) }),
    ...stage(1, steps1),
    line({ type: "evaluation", at: "distilled", report: reportOf(2, inserted) }),
    ...stage(2, steps2),
    line({ type: "evaluation", at: "step", stage: 2, step: steps2, report: reportOf(3, inserted) }),
    line({ type: "evaluation", at: "final", report: reportOf(3, inserted) }),
    ...(finished ? [line({ type: "finish" })] : []),
  ]);
  await putLines("ledger.jsonl", [
    { stage: null, step: null, id: `train-9${inserted}`, what: "filtered", reason: `held-out${inserted}` },
    ...Array.from({ length: steps2 }, (_, index) => ({
      stage: 2,
      step: index + 1,
      id: `train-0${inserted}`,
      what: `unparsable`,
      reason: `no-answer${inserted}`,
    })),
  ]);
  for (const [point, results] of Object.entries(EXAMPLE_RESULTS)) {
    const judged = exampleIds(inserted).map((id, index) => judgedOf(id, index, results[index]!, inserted));
    await putLines(join("evaluations", `${point}.jsonl`), judged);
  }
  if (finished) await put("result.json", {});
}

/** Gives lines of a journal their times, a second apart. */
function clock(): (line: object) => object {
  let seconds = 0;
  return (line) => {
    seconds++;
    return { time: new Date(BEGAN.getTime() + 1000 * seconds).toISOString(), seconds, ...line };
  };
}

function pairOf(id: string, inserted: string): object {
  return {
    id,
    prompt: `How many of ${id}?${inserted}`,
    chosen: `There are twelve.${inserted}\nThat is all.`,
    rejected: `There are none.${inserted}\nThat is it.`,
  };
}

/** Its first quote is verbatim, its second one invented. */
function judgedOf(id: string, index: number, result: string, inserted: string): object {
  const gold = index % 2 === 0 ? "A" : "B";
  const other = gold === "A" ? "B" : "A";
  const verdict = result === "right" ? gold : other;
  const chain = `<type>Chat</type>\n<rubric>\n1. Counts well${inserted} (70%)\n2. Is brief (30%)\n` +
    `<justify>Both matter</justify>\n</rubric>\n<eval>\n<quote_${gold}>There are twelve.</quote_${gold}> is right, ` +
    `<quote_${other}>There are ninety.</quote_${other}> is not.${inserted}\n</eval>\n`;
  return {
    id,
    gold,
    outcome: result === "unreadable"
      ? { kind: "unparsable", reason: `no-answer${inserted}` }
      : { kind: verdict },
    finish: `eos${inserted}`,
    tokens: 40 + index,
    text: result === "unreadable" ? chain : `${chain}<answer>[[${verdict}]]</answer>`,
  };
}

function reportOf(correct: number, inserted: string): object {
  const share = (value: number): object => ({ value, interval: [value / 2, (1 + value) / 2] });
  return {
    examples: 4,
    correct,
    parsed: 3,
    accuracy: share(correct / 4),
    parsedAccuracy: share(correct / 3),
    parseRate: share(3 / 4),
    sides: { A: 2, B: 1 },
    unparsable: { [`no-answer${inserted}`]: 1 },
    finishes: { eos: 4 },
    tokens: 160,
    wallSeconds: 1,
  };
}

function step1(step: number): object {
  const rate = { learningRate: 1e-4 * step, tokensPerSecond: 100 + step, wallSeconds: 1 };
  return { type: "step", stage: 1, step, loss: 1 / step, gradNorm: 0.5 / step, ...rate, ids: ["train-0"] };
}

function step2(step: number): object {
  return {
    type: "step",
    stage: 2,
    step,
    loss: 0.01 * step,
    gradNorm: 0.1,
    learningRate: 1e-5,
    tokensPerSecond: 200 + step,
    wallSeconds: 2,
    reward: -1 + step / 10,
    parseRate: 0.75,
    entropy: 0.3,
    outcomes: { "correct": 2, "wrong": 1, "unparsable: no-answer": 1 },
    finishes: { eos: 4 },
    meanTokens: 60 + step,
    groups: 2,
    equalGroups: 1,
    distinct: 0.5,
    sampler: null,
    policy: { meanKl: 0.001 * step, clipFraction: 0 },
    critic: null,
    ids: ["train-0"],
  };
}
