import { expect } from "expect";
import type { Stage1StepRecord, Stage2StepRecord } from "./records.ts";
import { Watch } from "./watch.ts";

const done = {
  gradNorm: 1,
  learningRate: 1,
  tokens: 1,
  lossTokens: 1,
  tokensPerSecond: 1,
  wallSeconds: 1,
  ids: [],
};

function distilled(step: number, loss: number): Stage1StepRecord {
  return { ...done, stage: 1, step, loss };
}

function reinforced(step: number, equalGroups: number, meanOldKl = 0): Stage2StepRecord {
  return {
    ...done,
    stage: 2,
    algorithm: "grpo",
    step,
    loss: 0,
    reward: -1,
    parseRate: 1,
    entropy: 1,
    outcomes: {},
    finishes: {},
    meanTokens: 1,
    groups: 4,
    equalGroups,
    skippedGroups: 0,
    distinct: 1,
    updates: 1,
    onPolicyRatioGap: 0,
    sampler: null,
    critic: null,
    policy: { ...({} as Stage2StepRecord["policy"]), meanOldKl },
  };
}

Deno.test("fifty steps in a row of equal groups are warned of, once", () => {
  const watch = new Watch({ vocabSize: 100 });
  for (let step = 1; step < 50; step++) expect(watch.see(reinforced(step, 4))).toEqual([]);
  expect(watch.see(reinforced(50, 3))).toEqual([]);
  for (let step = 51; step < 100; step++) expect(watch.see(reinforced(step, 4))).toEqual([]);
  const [warning] = watch.see(reinforced(100, 4));
  expect(warning).toContain(
    "In the last 50 steps all rollouts of a group had equal rewards (-1.00 in the last one)",
  );
  expect(warning).toContain("Distil first");
  for (let step = 101; step < 200; step++) expect(watch.see(reinforced(step, 4))).toEqual([]);
  const critical = new Watch({ vocabSize: 100 });
  for (let step = 1; step < 99; step++) {
    expect(critical.see({ ...reinforced(step, 4), algorithm: "ppo" })).toEqual([]);
  }
});

Deno.test("a loss above that of guessing evenly is warned of, but not before the first update", () => {
  const watch = new Watch({ vocabSize: 100 });
  expect(watch.see(distilled(1, 9))).toEqual([]);
  expect(watch.see(distilled(2, 4.6))).toEqual([]);
  expect(watch.see(distilled(3, 4.7))[0]).toBe(
    "The loss of step 3 is 4.70 nats, above the 4.61 of guessing evenly: training diverges; lower " +
      '"stage1.optimizer.learningRate"',
  );
  expect(watch.see(distilled(4, 9))).toEqual([]);
});

Deno.test("scores whose loss is far above that of equal ones are warned of", () => {
  const watch = new Watch({ vocabSize: 100 });
  const preference = { accuracy: 0, meanLead: -3, meanScore: 0 };
  expect(watch.see({ ...distilled(2, 2.7), preference })).toEqual([]);
  expect(watch.see({ ...distilled(3, 2.8), preference })[0]).toContain(
    "that of scores that know nothing 0.69",
  );
});

Deno.test("a policy that leaps is warned of", () => {
  const watch = new Watch({ vocabSize: 100 });
  expect(watch.see(reinforced(1, 0, 0.5))).toEqual([]);
  expect(watch.see(reinforced(2, 0, 2))[0]).toContain("Step 2 moved the policy by 2.00 nats a token");
});
