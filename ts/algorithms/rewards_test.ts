import { expect } from "expect";
import fc from "fast-check";
import { generalizedAdvantages } from "./gae.ts";
import { rewardsToGo, tokenRewards } from "./rewards.ts";

const logprob = fc.double({ min: -6, max: -0.01, noNaN: true });
const number = fc.double({ min: -2, max: 2, noNaN: true });
const rollout = fc.record({
  reward: number,
  tokens: fc.array(fc.record({ old: logprob, reference: logprob }), { minLength: 1, maxLength: 8 }),
}).map(({ reward, tokens }) => ({
  reward,
  oldLogprobs: tokens.map(({ old }) => old),
  referenceLogprobs: tokens.map(({ reference }) => reference),
}));

Deno.test("rewards of tokens add up to the rollout's less β times the log-ratio of the whole response", () => {
  fc.assert(fc.property(rollout, fc.constantFrom(0, 0.05, 1), (one, coefficient) => {
    const rewards = tokenRewards(one, coefficient);
    const logRatio = one.oldLogprobs.reduce((sum, old, t) => sum + old - one.referenceLogprobs[t]!, 0);
    expect(rewards.reduce((sum, reward) => sum + reward, 0)).toBeCloseTo(
      one.reward - coefficient * logRatio,
      9,
    );
    for (const t of [...rewards.keys()].slice(0, -1)) {
      expect(rewards[t]).toBeCloseTo(-coefficient * (one.oldLogprobs[t]! - one.referenceLogprobs[t]!), 12);
    }
  }));
});

Deno.test("without a coefficient the reward stands at the last token alone, and each token's to go is all of it", () => {
  const rewards = tokenRewards({ reward: -0.3, oldLogprobs: [-1, -2, -3] }, 0);
  expect([...rewards]).toEqual([0, 0, -0.3]);
  expect([...rewardsToGo(rewards)]).toEqual([-0.3, -0.3, -0.3]);
  expect(tokenRewards({ reward: 1, oldLogprobs: [] }, 0)).toEqual(new Float64Array(0));
});

Deno.test("rewards to go are the advantages of a critic that expects nothing", () => {
  fc.assert(fc.property(fc.array(number, { maxLength: 8 }), (rewards) => {
    const { advantages } = generalizedAdvantages(
      { rewards, values: rewards.map(() => 0) },
      { gamma: 1, lambda: 1 },
    );
    for (const [t, sum] of rewardsToGo(rewards).entries()) expect(sum).toBeCloseTo(advantages[t]!, 9);
  }));
});

Deno.test("the policy gradient of the rewards is that of the reward less β times the divergence", () => {
  const weights = fc.array(fc.double({ min: 0.05, max: 1, noNaN: true }), { minLength: 3, maxLength: 3 })
    .map((masses) => masses.map((mass) => mass / masses.reduce((sum, value) => sum + value, 0)));
  fc.assert(fc.property(weights, weights, fc.tuple(number, number, number), (policy, reference, earned) => {
    const beta = 0.3;
    const objective = (masses: readonly number[]): number =>
      masses.reduce(
        (sum, mass, token) => sum + mass * (earned[token]! - beta * Math.log(mass / reference[token]!)),
        0,
      );
    // By the logits, of one-token responses: E[(∂ log π) · reward].
    const signals = policy.map((mass, token) =>
      tokenRewards({
        reward: earned[token]!,
        oldLogprobs: [Math.log(mass)],
        referenceLogprobs: [Math.log(reference[token]!)],
      }, beta)[0]!
    );
    for (const logit of policy.keys()) {
      const at = (by: number): number => {
        const masses = policy.map((mass, token) => token === logit ? mass * Math.exp(by) : mass);
        const total = masses.reduce((sum, mass) => sum + mass, 0);
        return objective(masses.map((mass) => mass / total));
      };
      const estimate = policy.reduce(
        (sum, mass, token) => sum + mass * ((token === logit ? 1 : 0) - policy[logit]!) * signals[token]!,
        0,
      );
      expect(estimate).toBeCloseTo((at(1e-5) - at(-1e-5)) / 2e-5, 7);
    }
  }));
});

Deno.test("wrong input is named", () => {
  const one = { reward: 1, oldLogprobs: [-1, -2], referenceLogprobs: [-1, NaN] };
  expect(() => tokenRewards(one, 0.1, "rollout 3")).toThrow(
    'The reward of token 1 of rollout 3 is not finite: old log-probability "-2", reference "NaN"',
  );
  expect(() => tokenRewards({ ...one, referenceLogprobs: [-1] }, 0.1)).toThrow(
    'Expected 2 reference log-probabilities of the rollout, as it has old ones, not "1"',
  );
  expect(() => tokenRewards({ ...one, reward: NaN }, 0)).toThrow("reward of the rollout to be finite");
  expect(() => tokenRewards(one, -1)).toThrow('at least 0, not "-1"');
});
