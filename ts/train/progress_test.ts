import { expect } from "expect";
import { proportion } from "./evaluate.ts";
import { formatDuration, formatProgress, type ProgressEvent, progressWriter } from "./progress.ts";
import type { Stage2StepRecord } from "./records.ts";

const record: Stage2StepRecord = {
  stage: 2,
  algorithm: "grpo",
  step: 7,
  loss: 0.01234,
  gradNorm: 0.5,
  learningRate: 1e-6,
  tokens: 900,
  lossTokens: 300,
  tokensPerSecond: 123.4,
  wallSeconds: 2,
  ids: [],
  reward: 0.25,
  parseRate: 0.875,
  entropy: 1.5,
  outcomes: {},
  finishes: {},
  meanTokens: 81,
  groups: 8,
  equalGroups: 3,
  skippedGroups: 0,
  distinct: 1,
  updates: 1,
  onPolicyRatioGap: 0,
  sampler: null,
  critic: null,
  policy: {
    tokens: 300,
    clipFraction: 0.01,
    clipFractionLow: 0,
    clipFractionHigh: 0.01,
    clipFractionDual: 0,
    meanRatio: 1,
    ratioGap: 0,
    meanKl: 0.002,
    meanOldKl: 0,
  },
};
const step: ProgressEvent = { type: "step", steps: 40, secondsLeft: 3725, record };
const working: ProgressEvent = {
  type: "working",
  stage: 2,
  step: 8,
  work: { phase: "sampling", done: 3, of: 56 },
};

Deno.test("a step is one line with reward, KL, entropy, parse rate, speed and the time left", () => {
  expect(formatProgress(step)).toBe(
    "stage 2 step 7/40 · loss 0.0123 · reward 0.250 · KL 2.0e-3 · entropy 1.500 · parsed 87.5% · clipped 1.0% · " +
      "equal groups 3/8 · 81 tok/rollout · grad 0.500 · 123 tok/s · 1 h 2 min left",
  );
});

Deno.test("a step of PPO tells of its critic, and not of groups", () => {
  const critic = {
    loss: 0.25,
    gradNorm: 1,
    explainedVariance: 0.4,
    clipFraction: 0,
    meanValue: 0.5,
    meanSquaredError: 0.5,
  };
  const line = formatProgress({ ...step, record: { ...record, algorithm: "ppo", critic } });
  expect(line).toContain("value loss 0.250 · explained 40.0%");
  expect(line).not.toContain("equal groups");
});

Deno.test("a sampler that is not the policy is named with its gap", () => {
  const sampler = {
    kind: "int8",
    meanGap: 0.0123,
    maxGap: 0.5,
    meanKl: 1e-4,
    meanWeight: 0.999,
    truncatedFraction: 0.0021,
  } as const;
  expect(formatProgress({ ...step, record: { ...record, sampler } })).toContain(
    "81 tok/rollout · int8 sampler: gap 1.2e-2, truncated 0.2% · grad",
  );
});

Deno.test("an evaluation tells strict and parsed accuracy apart, with intervals and reasons", () => {
  const line = formatProgress({
    type: "evaluation",
    at: "final",
    report: {
      examples: 100,
      correct: 85,
      parsed: 90,
      accuracy: proportion(85, 100),
      parsedAccuracy: proportion(85, 90),
      parseRate: proportion(90, 100),
      sides: { A: 40, B: 50 },
      unparsable: { "no-answer": 3, malformed: 7 },
      finishes: {},
      tokens: 0,
      wallSeconds: 1,
    },
  });
  expect(line).toBe(
    "final: accuracy 85.0% [76.7%, 90.7%] · of the parsed 94.4% [87.6%, 97.6%] · parsed 90.0% · n 100 · A/B 40/50 · " +
      "unparsable: 7 malformed, 3 no-answer",
  );
});

Deno.test("where there is no terminal, output is plain lines and nothing in between", () => {
  const written: string[] = [];
  const write = progressWriter({ write: (text) => written.push(text) });
  for (const event of [working, working, step]) write(event);
  expect(written).toEqual([`${formatProgress(step)}\n`]);
});

Deno.test("a terminal also shows the work under way, on a line that gives way", () => {
  const written: string[] = [];
  const write = progressWriter({ isTTY: true, columns: 30, write: (text) => written.push(text) });
  for (const event of [working, working, step, step]) write(event);
  expect(written[0]).toBe("stage 2 step 8 · sampling 3/56".slice(0, 29));
  expect(written[1]!.startsWith("\r\x1b[2Kstage 2 step 8")).toBe(true);
  expect(written[2]!.startsWith("\r\x1b[2Kstage 2 step 7/40")).toBe(true);
  expect(written[3]!.startsWith("stage 2 step 7/40")).toBe(true);
});

Deno.test("durations are in the two largest units", () => {
  expect([0.4, 59.4, 200, 7500].map(formatDuration)).toEqual(["0 s", "59 s", "3 min 20 s", "2 h 5 min"]);
});
