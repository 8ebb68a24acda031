import { expect } from "expect";
import fc from "fast-check";
import { addGapTotals, gapMetrics, NO_GAP_TOTALS, truncatedImportance } from "./importance.ts";
import { policyLoss, type PolicyOptions, type PolicySequence } from "./policy.ts";

const OPTIONS: PolicyOptions = {
  clipLow: 0.2,
  clipHigh: 0.28,
  dualClip: null,
  ratio: "token",
  kl: { coefficient: 0, estimator: "k3" },
};

const logits = fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: 3, maxLength: 3 });

function logSoftmax(values: readonly number[]): number[] {
  const total = Math.log(values.reduce((sum, value) => sum + Math.exp(value), 0));
  return values.map((value) => value - total);
}

Deno.test("weights are ratios up to the cap, and the totals are theirs", () => {
  const rollouts = [
    { oldLogprobs: [-1, -2, -0.5], samplerLogprobs: [-1, -4, -0.25] },
    { oldLogprobs: [-3], samplerLogprobs: [-3.5] },
  ];
  const { weights, totals } = truncatedImportance(rollouts, 2);
  expect(weights.map((list) => [...list])).toEqual([[1, 2, Math.exp(-0.25)], [Math.exp(0.5)]]);
  expect(totals).toMatchObject({ tokens: 4, gap: 2.75, maxGap: 2, truncated: 1 });
  const parts = rollouts.map((rollout) => truncatedImportance([rollout], 2).totals).reduce(addGapTotals);
  expect(parts).toEqual(totals);
  expect(gapMetrics(totals)).toMatchObject({ meanGap: 0.6875, truncatedFraction: 0.25 });
  expect(gapMetrics(NO_GAP_TOTALS)).toMatchObject({ meanGap: 0, meanWeight: 1 });
});

Deno.test("the corrected gradient is the policy's own in expectation, and the plain one is not", () => {
  fc.assert(fc.property(logits, logits, logits, (policyLogits, samplerLogits, rewards) => {
    const [policy, sampler] = [logSoftmax(policyLogits), logSoftmax(samplerLogits)];
    const moved = policy.map((logprob, token) => Math.exp(logprob) - Math.exp(sampler[token]!));
    fc.pre(moved.some((by, token) => Math.abs(by * rewards[token]!) > 1e-3));
    // dL/dlogprob of a token that is drawn, weighed by how often it is.
    const expected = (drawnBy: readonly number[], corrected: boolean): number[] =>
      policy.map((logprob, token) => {
        const { weights } = truncatedImportance(
          [{ oldLogprobs: [logprob], samplerLogprobs: [sampler[token]!] }],
          1e9,
        );
        const sequence: PolicySequence = {
          logprobs: [logprob],
          oldLogprobs: [logprob],
          ...(corrected ? { importance: weights[0]! } : {}),
          advantages: [rewards[token]!],
          weight: 1,
        };
        return Math.exp(drawnBy[token]!) * policyLoss([sequence], OPTIONS).dLogprobs[0]![0]!;
      });
    const onPolicy = expected(policy, false);
    expected(sampler, true).forEach((value, token) => expect(value).toBeCloseTo(onPolicy[token]!, 9));
    const plain = expected(sampler, false);
    expect(plain.some((value, token) => Math.abs(value - onPolicy[token]!) > 1e-6)).toBe(true);
  }));
});

Deno.test("wrong input is named", () => {
  const rollout = { oldLogprobs: [-1, -2], samplerLogprobs: [-1] };
  expect(() => truncatedImportance([rollout], 2)).toThrow(
    "Rollout 0 has 1 log-probabilities of the sampler, expected 2",
  );
  expect(() => truncatedImportance([{ oldLogprobs: [NaN], samplerLogprobs: [-1] }], 2)).toThrow(
    'Token 0 of rollout 0 has log-probability "NaN"',
  );
  expect(() => truncatedImportance([{ oldLogprobs: [-1], samplerLogprobs: [-Infinity] }], 2)).toThrow(
    'the sampler\'s "-Infinity": expected finite numbers',
  );
  expect(() => truncatedImportance([], 0)).toThrow('Expected "cap" above 0, not "0"');
});
