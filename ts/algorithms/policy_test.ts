import { expect } from "expect";
import fc from "fast-check";
import { groupAdvantages } from "./advantages.ts";
import { type Normaliser, tokenWeights } from "./normaliser.ts";
import {
  addPolicyTotals,
  policyLoss,
  policyMetrics,
  type PolicyOptions,
  type PolicySequence,
} from "./policy.ts";

const OPTIONS: PolicyOptions = {
  clipLow: 0.2,
  clipHigh: 0.28,
  dualClip: null,
  ratio: "token",
  kl: { coefficient: 0.04, estimator: "k3" },
};
const NO_KL: PolicyOptions = { ...OPTIONS, kl: { coefficient: 0, estimator: "k3" } };

interface Token {
  readonly logprob: number;
  readonly old: number;
  readonly reference: number;
  readonly importance: number;
  /** Of the token beside that of its rollout, as a critic or the divergence in the reward gives it. */
  readonly advantage: number;
}

const logprob = fc.double({ min: -8, max: -0.01, noNaN: true });
const shift = fc.double({ min: -0.8, max: 0.8, noNaN: true });
const token: fc.Arbitrary<Token> = fc.record({
  value: logprob,
  old: shift,
  reference: shift,
  importance: fc.double({ min: 0, max: 2, noNaN: true }),
  advantage: fc.oneof(fc.constant(0), fc.double({ min: -2, max: 2, noNaN: true })),
}).map(({ value, old, reference, ...rest }) => ({
  ...rest,
  logprob: value,
  old: value + old,
  reference: value + reference,
}));
const rollout = fc.record({
  tokens: fc.array(token, { minLength: 1, maxLength: 6 }),
  advantage: fc.oneof(fc.constant(0), fc.double({ min: -3, max: 3, noNaN: true })),
});
const group = fc.array(rollout, { minLength: 1, maxLength: 6 });
const normaliser: fc.Arbitrary<Normaliser> = fc.constantFrom(
  { kind: "token-mean" },
  { kind: "sequence-mean" },
  { kind: "constant", length: 16 },
);

function sequencesOf(
  rollouts: readonly { readonly tokens: readonly Token[]; readonly advantage: number }[],
  kind: Normaliser,
): PolicySequence[] {
  const weights = tokenWeights(rollouts.map(({ tokens }) => tokens.length), kind);
  return rollouts.map(({ tokens, advantage }, i) => ({
    logprobs: tokens.map((t) => t.logprob),
    oldLogprobs: tokens.map((t) => t.old),
    referenceLogprobs: tokens.map((t) => t.reference),
    importance: tokens.map((t) => t.importance),
    advantages: tokens.map((t) => advantage + t.advantage),
    weight: weights[i]!,
  }));
}

const options: fc.Arbitrary<PolicyOptions> = fc.record({
  clipLow: fc.constantFrom(0.1, 0.2),
  clipHigh: fc.constantFrom(0.2, 0.28),
  dualClip: fc.constantFrom(null, 1.5, 3),
  ratio: fc.constantFrom("token", "sequence"),
  kl: fc.record({
    coefficient: fc.constantFrom(0, 0.04, 1),
    estimator: fc.constantFrom("k2", "k3"),
  }),
});

function nearKink(
  { logprobs, oldLogprobs }: PolicySequence,
  { clipLow, clipHigh, dualClip, ratio }: PolicyOptions,
): boolean {
  const logRatios = Array.from(logprobs, (value, t) => value - oldLogprobs[t]!);
  const mean = logRatios.reduce((sum, value) => sum + value, 0) / logRatios.length;
  const kinks = [1 - clipLow, 1 + clipHigh, ...(dualClip === null ? [] : [dualClip])];
  return (ratio === "token" ? logRatios : [mean]).some((value) =>
    kinks.some((kink) => Math.abs(Math.exp(value) - kink) < 1e-3)
  );
}

Deno.test("coefficients equal finite differences of the loss, for every normaliser and option", () => {
  fc.assert(fc.property(group, normaliser, options, (rollouts, kind, chosen) => {
    const sequences = sequencesOf(rollouts, kind);
    fc.pre(!sequences.some((sequence) => nearKink(sequence, chosen)));
    const { dLogprobs } = policyLoss(sequences, chosen);
    const h = 1e-5;
    for (const [i, sequence] of sequences.entries()) {
      const values = Array.from(sequence.logprobs);
      for (const t of values.keys()) {
        const at = (value: number): number => {
          const moved = { ...sequence, logprobs: values.with(t, value) };
          return policyLoss(sequences.with(i, moved), chosen).loss;
        };
        const slope = (at(values[t]! + h) - at(values[t]! - h)) / (2 * h);
        expect(Math.abs(dLogprobs[i]![t]! - slope)).toBeLessThan(1e-7 * Math.max(1, Math.abs(slope)));
      }
    }
  }));
});

Deno.test("the ratio of a sequence of one token is that of the token", () => {
  fc.assert(fc.property(fc.array(rollout, { minLength: 1, maxLength: 4 }), options, (rollouts, chosen) => {
    const sequences = sequencesOf(rollouts.map((r) => ({ ...r, tokens: r.tokens.slice(0, 1) })), {
      kind: "token-mean",
    });
    const [token, sequence] = (["token", "sequence"] as const).map((ratio) =>
      policyLoss(sequences, { ...chosen, ratio })
    );
    expect(sequence!.loss).toBeCloseTo(token!.loss, 12);
    for (const [i, slopes] of token!.dLogprobs.entries()) {
      expect(sequence!.dLogprobs[i]![0]).toBeCloseTo(slopes[0]!, 12);
    }
  }));
});

Deno.test("the tokens of a sequence's ratio share one coefficient, 0 where it is clipped", () => {
  const sequence = {
    logprobs: [-1, -2, -3],
    oldLogprobs: [-1.1, -2.3, -2.9],
    advantages: [1, 1, 1],
    weight: 0.5,
  };
  const gspo = { ...NO_KL, ratio: "sequence" } as const;
  const { dLogprobs, loss } = policyLoss([sequence], gspo);
  const ratio = Math.exp(0.3 / 3);
  for (const slope of dLogprobs[0]!) expect(slope).toBeCloseTo(-0.5 * ratio, 12);
  expect(loss).toBeCloseTo(-1.5 * ratio, 12);
  const clipped = policyLoss([{ ...sequence, oldLogprobs: [-2, -2, -3] }], gspo);
  expect([...clipped.dLogprobs[0]!]).toEqual([0, 0, 0]);
  expect(clipped.totals.clippedHigh).toBe(3);
});

Deno.test("the dual clip bounds the loss of bad rollouts alone, and takes their gradient away there", () => {
  const at = (advantage: number, dualClip: number | null): ReturnType<typeof policyLoss> =>
    policyLoss([{ logprobs: [-1], oldLogprobs: [-4], advantages: [advantage], weight: 1 }], {
      ...NO_KL,
      dualClip,
    });
  expect(at(-1, null).loss).toBeCloseTo(Math.exp(3), 9);
  expect(at(-1, 3)).toMatchObject({ loss: 3, totals: { clippedDual: 1, clippedLow: 0 } });
  expect(at(-1, 3).dLogprobs[0]![0]).toBe(0);
  expect(at(1, 3)).toMatchObject({ loss: -1.28, totals: { clippedDual: 0, clippedHigh: 1 } });
  expect(policyMetrics(at(-1, 3).totals)).toMatchObject({ clipFraction: 1, clipFractionDual: 1 });
});

Deno.test("on policy the policy term's coefficient is −A times the weights, and nothing is clipped", () => {
  fc.assert(fc.property(group, normaliser, (rollouts, kind) => {
    const sequences = sequencesOf(rollouts, kind).map((s) => ({ ...s, oldLogprobs: s.logprobs }));
    const { dLogprobs, totals } = policyLoss(sequences, NO_KL);
    for (const [i, sequence] of sequences.entries()) {
      for (const [t, slope] of dLogprobs[i]!.entries()) {
        const { advantages, weight, importance } = sequence;
        expect(slope).toBeCloseTo(-advantages[t]! * weight * importance![t]!, 12);
      }
    }
    expect(policyMetrics(totals)).toMatchObject({ clipFraction: 0, meanRatio: 1, ratioGap: 0, meanOldKl: 0 });
  }));
});

Deno.test("permuting the rollouts permutes the coefficients", () => {
  fc.assert(fc.property(group, normaliser, options, (rollouts, kind, chosen) => {
    const forward = policyLoss(sequencesOf(rollouts, kind), chosen);
    const backward = policyLoss(sequencesOf(rollouts.toReversed(), kind), chosen);
    expect(backward.dLogprobs.toReversed()).toEqual(forward.dLogprobs);
    expect(backward.loss).toBeCloseTo(forward.loss, 9);
  }));
});

Deno.test("splitting the step into micro-batches keeps every coefficient, the loss and the metrics", () => {
  fc.assert(fc.property(group, normaliser, options, fc.nat(), (rollouts, kind, chosen, cut) => {
    const sequences = sequencesOf(rollouts, kind);
    const at = cut % (sequences.length + 1);
    const whole = policyLoss(sequences, chosen);
    const parts = [
      policyLoss(sequences.slice(0, at), chosen),
      policyLoss(sequences.slice(at), chosen),
    ] as const;
    expect(parts.flatMap((part) => part.dLogprobs)).toEqual(whole.dLogprobs);
    expect(parts[0].loss + parts[1].loss).toBeCloseTo(whole.loss, 9);
    const metrics = policyMetrics(addPolicyTotals(parts[0].totals, parts[1].totals));
    for (const [name, value] of Object.entries(policyMetrics(whole.totals))) {
      expect(metrics[name as keyof typeof metrics]).toBeCloseTo(value, 9);
    }
  }));
});

Deno.test("a group of equal rewards has coefficients of exactly 0 without a KL term", () => {
  const rollouts = fc.array(fc.array(token, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(
      rollouts,
      fc.double({ min: -1, max: 1, noNaN: true }),
      normaliser,
      options,
      (lists, reward, kind, chosen) => {
        const advantages = groupAdvantages(lists.map(() => reward), { std: "sample" });
        const sequences = sequencesOf(lists.map((tokens) => ({ tokens, advantage: 0 })), kind)
          .map((sequence, i) => ({
            ...sequence,
            advantages: new Float64Array(lists[i]!.length).fill(advantages[i]!),
          }));
        const { loss, dLogprobs } = policyLoss(sequences, { ...chosen, kl: NO_KL.kl });
        expect(loss).toBe(0);
        expect(dLogprobs.every((slopes) => slopes.every((slope) => slope === 0))).toBe(true);
      },
    ),
  );
});

Deno.test("advantages of 0 without a KL term give coefficients of exactly 0, whatever the ratio", () => {
  const sequence = { logprobs: [-1, -2], oldLogprobs: [-900, -2], advantages: [0, 0], weight: 0.5 };
  const { loss, dLogprobs } = policyLoss([sequence], NO_KL);
  expect(loss).toBe(0);
  expect([...dLogprobs[0]!].every((slope) => slope === 0)).toBe(true);
});

Deno.test("the upper bound stops a raised token of a good rollout, the lower bound a lowered token of a bad one", () => {
  const one = { weight: 1, oldLogprobs: [-2] };
  const raisedGood = policyLoss([{ ...one, logprobs: [-1], advantages: [1] }], NO_KL);
  expect(raisedGood.dLogprobs[0]![0]).toBe(0);
  expect(raisedGood.loss).toBeCloseTo(-1.28, 12);
  expect(raisedGood.totals).toMatchObject({ clippedHigh: 1, clippedLow: 0 });
  const loweredBad = policyLoss([{ ...one, logprobs: [-3], advantages: [-1] }], NO_KL);
  expect(loweredBad.dLogprobs[0]![0]).toBe(0);
  expect(loweredBad.loss).toBeCloseTo(0.8, 12);
  expect(loweredBad.totals).toMatchObject({ clippedHigh: 0, clippedLow: 1 });
  const raisedBad = policyLoss([{ ...one, logprobs: [-1], advantages: [-1] }], NO_KL);
  expect(raisedBad.dLogprobs[0]![0]).toBeCloseTo(Math.E, 12);
});

Deno.test("k3 is 0 at the reference and positive off it, and pulls towards it", () => {
  const at = (reference: number): ReturnType<typeof policyLoss> =>
    policyLoss([{
      logprobs: [-2],
      oldLogprobs: [-2],
      referenceLogprobs: [reference],
      advantages: [0],
      weight: 1,
    }], {
      ...OPTIONS,
      kl: { coefficient: 1, estimator: "k3" },
    });
  expect(at(-2).loss).toBe(0);
  expect(at(-1).loss).toBeCloseTo(Math.E - 2, 12);
  expect(at(-1).dLogprobs[0]![0]).toBeCloseTo(1 - Math.E, 12);
  expect(at(-3).loss).toBeCloseTo(Math.exp(-1), 12);
  expect(at(-3).dLogprobs[0]![0]).toBeGreaterThan(0);
});

Deno.test("what cannot give a finite gradient is refused by name", () => {
  const good = { logprobs: [-1], oldLogprobs: [-1], advantages: [1], weight: 1 };
  expect(() => policyLoss([good], OPTIONS)).toThrow("Sequence 0 has no reference log-probabilities");
  expect(() => policyLoss([{ ...good, oldLogprobs: [] }], NO_KL)).toThrow(
    "has 0 old log-probabilities",
  );
  expect(() => policyLoss([{ ...good, advantages: [] }], NO_KL)).toThrow("has 0 advantages, expected 1");
  expect(() => policyLoss([good], { ...NO_KL, dualClip: 1 })).toThrow('"dualClip" to be above 1, not "1"');
  expect(() => policyLoss([{ ...good, logprobs: [NaN] }], NO_KL)).toThrow(
    "token 0 of sequence 0",
  );
  expect(() => policyLoss([{ ...good, oldLogprobs: [-900], advantages: [-1] }], NO_KL)).toThrow(
    "is not finite",
  );
  expect(() => policyLoss([{ ...good, logprobs: [-Infinity] }], NO_KL)).toThrow(
    'log-probability "-Infinity", old "-1"',
  );
  expect(() => policyLoss([{ ...good, importance: [NaN] }], NO_KL)).toThrow('importance "NaN"');
  expect(() => policyLoss([good], { ...OPTIONS, clipLow: 1.5 })).toThrow('"clipLow" in [0, 1], not "1.5"');
});

Deno.test("totals of no tokens have a ratio of 1", () => {
  expect(policyMetrics(policyLoss([], OPTIONS).totals)).toMatchObject({ tokens: 0, meanRatio: 1, meanKl: 0 });
});
