import { expect } from "expect";
import fc from "fast-check";
import { klEstimate } from "./kl.ts";

const logprob = fc.double({ min: -6, max: -0.01, noNaN: true });
const distribution = fc.array(fc.double({ min: 0.05, max: 1, noNaN: true }), { minLength: 3, maxLength: 3 })
  .map(
    (masses) => {
      const total = masses.reduce((sum, mass) => sum + mass, 0);
      return masses.map((mass) => mass / total);
    },
  );

Deno.test("slopes equal finite differences, and k2 and k3 are never below 0", () => {
  fc.assert(fc.property(fc.constantFrom("k1", "k2", "k3"), logprob, logprob, (estimator, x, reference) => {
    const { value, slope } = klEstimate(estimator, x, reference);
    const at = (moved: number): number => klEstimate(estimator, moved, reference).value;
    const expected = (at(x + 1e-6) - at(x - 1e-6)) / 2e-6;
    expect(Math.abs(slope - expected)).toBeLessThan(1e-6 * Math.max(1, Math.abs(expected)));
    if (estimator !== "k1") expect(value).toBeGreaterThanOrEqual(0);
    expect(klEstimate(estimator, x, x)).toEqual({
      value: 0,
      slope: estimator === "k1" ? 1 : expect.closeTo(0, 15),
    });
  }));
});

Deno.test("k1 and k3 have the divergence as their expectation, and of slopes only k2's follows its gradient", () => {
  fc.assert(fc.property(distribution, distribution, (policy, reference) => {
    const mean = (of: (token: number) => number): number =>
      policy.reduce((sum, mass, token) => sum + mass * of(token), 0);
    const estimate = (estimator: "k1" | "k2" | "k3", token: number): { value: number; slope: number } =>
      klEstimate(estimator, Math.log(policy[token]!), Math.log(reference[token]!));
    const divergence = mean((token) => Math.log(policy[token]! / reference[token]!));
    expect(mean((token) => estimate("k1", token).value)).toBeCloseTo(divergence, 12);
    expect(mean((token) => estimate("k3", token).value)).toBeCloseTo(divergence, 12);
    // By the logit of each token, whose log-probabilities have the derivative [i = j] − π_i.
    for (const logit of policy.keys()) {
      const expected = policy[logit]! * (Math.log(policy[logit]! / reference[logit]!) - divergence);
      const gradient = (estimator: "k1" | "k2" | "k3"): number =>
        mean((token) => estimate(estimator, token).slope * ((token === logit ? 1 : 0) - policy[logit]!));
      expect(gradient("k1")).toBeCloseTo(0, 12);
      expect(gradient("k2")).toBeCloseTo(expected, 12);
      expect(gradient("k3")).toBeCloseTo(policy[logit]! - reference[logit]!, 12);
    }
  }));
});

Deno.test("k3 times the ratio has the slope of k2 times the ratio", () => {
  fc.assert(fc.property(logprob, logprob, logprob, (x, old, reference) => {
    const at = (moved: number): number => Math.exp(moved - old) * klEstimate("k3", moved, reference).value;
    const expected = Math.exp(x - old) * klEstimate("k2", x, reference).slope;
    expect(Math.abs((at(x + 1e-6) - at(x - 1e-6)) / 2e-6 - expected)).toBeLessThan(
      1e-6 * Math.max(1, Math.abs(at(x)), Math.abs(expected)),
    );
  }));
});
