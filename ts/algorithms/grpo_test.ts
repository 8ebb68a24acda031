import { expect } from "expect";
import fc from "fast-check";
import { addGrpoTotals, grpo, grpoMetrics, type GrpoOptions, type GrpoSequence } from "./grpo.ts";
import { type Normaliser, tokenWeights } from "./normaliser.ts";

const OPTIONS: GrpoOptions = { clipLow: 0.2, clipHigh: 0.28, beta: 0.04 };

interface Token {
  readonly logprob: number;
  readonly old: number;
  readonly reference: number;
  readonly importance: number;
}

const logprob = fc.double({ min: -8, max: -0.01, noNaN: true });
const shift = fc.double({ min: -0.8, max: 0.8, noNaN: true });
const token: fc.Arbitrary<Token> = fc.tuple(logprob, shift, shift, fc.double({ min: 0, max: 2, noNaN: true }))
  .map(([value, old, reference, importance]) => ({
    logprob: value,
    old: value + old,
    reference: value + reference,
    importance,
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
): GrpoSequence[] {
  const weights = tokenWeights(rollouts.map(({ tokens }) => tokens.length), kind);
  return rollouts.map(({ tokens, advantage }, i) => ({
    logprobs: tokens.map((t) => t.logprob),
    oldLogprobs: tokens.map((t) => t.old),
    referenceLogprobs: tokens.map((t) => t.reference),
    importance: tokens.map((t) => t.importance),
    advantage,
    weight: weights[i]!,
  }));
}

function nearKink(t: Token, { clipLow, clipHigh }: GrpoOptions): boolean {
  const ratio = Math.exp(t.logprob - t.old);
  return Math.abs(ratio - (1 - clipLow)) < 1e-3 || Math.abs(ratio - (1 + clipHigh)) < 1e-3;
}

Deno.test("coefficients equal finite differences of the loss, for every normaliser, with and without the KL term", () => {
  fc.assert(fc.property(group, normaliser, fc.constantFrom(0, 0.04, 1), (rollouts, kind, beta) => {
    const options = { ...OPTIONS, beta };
    fc.pre(!rollouts.some(({ tokens }) => tokens.some((t) => nearKink(t, options))));
    const sequences = sequencesOf(rollouts, kind);
    const { dLogprobs } = grpo(sequences, options);
    const h = 1e-5;
    for (const [i, sequence] of sequences.entries()) {
      const values = Array.from(sequence.logprobs);
      for (const t of values.keys()) {
        const at = (value: number): number => {
          const moved = { ...sequence, logprobs: values.with(t, value) };
          return grpo(sequences.with(i, moved), options).loss;
        };
        const slope = (at(values[t]! + h) - at(values[t]! - h)) / (2 * h);
        expect(Math.abs(dLogprobs[i]![t]! - slope)).toBeLessThan(1e-7 * Math.max(1, Math.abs(slope)));
      }
    }
  }));
});

Deno.test("on policy the policy term's coefficient is −A times the weights, and nothing is clipped", () => {
  fc.assert(fc.property(group, normaliser, (rollouts, kind) => {
    const sequences = sequencesOf(rollouts, kind).map((s) => ({ ...s, oldLogprobs: s.logprobs }));
    const { dLogprobs, totals } = grpo(sequences, { ...OPTIONS, beta: 0 });
    for (const [i, sequence] of sequences.entries()) {
      for (const [t, slope] of dLogprobs[i]!.entries()) {
        const { advantage, weight, importance } = sequence;
        expect(slope).toBeCloseTo(-advantage * weight * importance![t]!, 12);
      }
    }
    expect(grpoMetrics(totals)).toMatchObject({ clipFraction: 0, meanRatio: 1, ratioGap: 0, meanOldKl: 0 });
  }));
});

Deno.test("permuting the rollouts permutes the coefficients", () => {
  fc.assert(fc.property(group, normaliser, (rollouts, kind) => {
    const forward = grpo(sequencesOf(rollouts, kind), OPTIONS);
    const backward = grpo(sequencesOf(rollouts.toReversed(), kind), OPTIONS);
    expect(backward.dLogprobs.toReversed()).toEqual(forward.dLogprobs);
    expect(backward.loss).toBeCloseTo(forward.loss, 9);
  }));
});

Deno.test("splitting the step into micro-batches keeps every coefficient, the loss and the metrics", () => {
  fc.assert(fc.property(group, normaliser, fc.nat(), (rollouts, kind, cut) => {
    const sequences = sequencesOf(rollouts, kind);
    const at = cut % (sequences.length + 1);
    const whole = grpo(sequences, OPTIONS);
    const parts = [grpo(sequences.slice(0, at), OPTIONS), grpo(sequences.slice(at), OPTIONS)] as const;
    expect(parts.flatMap((part) => part.dLogprobs)).toEqual(whole.dLogprobs);
    expect(parts[0].loss + parts[1].loss).toBeCloseTo(whole.loss, 9);
    const metrics = grpoMetrics(addGrpoTotals(parts[0].totals, parts[1].totals));
    for (const [name, value] of Object.entries(grpoMetrics(whole.totals))) {
      expect(metrics[name as keyof typeof metrics]).toBeCloseTo(value, 9);
    }
  }));
});

Deno.test("advantages of 0 without a KL term give coefficients of exactly 0, whatever the ratio", () => {
  const sequence = { logprobs: [-1, -2], oldLogprobs: [-900, -2], advantage: 0, weight: 0.5 };
  const { loss, dLogprobs } = grpo([sequence], { ...OPTIONS, beta: 0 });
  expect(loss).toBe(0);
  expect([...dLogprobs[0]!].every((slope) => slope === 0)).toBe(true);
});

Deno.test("the upper bound stops a raised token of a good rollout, the lower bound a lowered token of a bad one", () => {
  const one = { weight: 1, oldLogprobs: [-2] };
  const raisedGood = grpo([{ ...one, logprobs: [-1], advantage: 1 }], { ...OPTIONS, beta: 0 });
  expect(raisedGood.dLogprobs[0]![0]).toBe(0);
  expect(raisedGood.loss).toBeCloseTo(-1.28, 12);
  expect(raisedGood.totals).toMatchObject({ clippedHigh: 1, clippedLow: 0 });
  const loweredBad = grpo([{ ...one, logprobs: [-3], advantage: -1 }], { ...OPTIONS, beta: 0 });
  expect(loweredBad.dLogprobs[0]![0]).toBe(0);
  expect(loweredBad.loss).toBeCloseTo(0.8, 12);
  expect(loweredBad.totals).toMatchObject({ clippedHigh: 0, clippedLow: 1 });
  const raisedBad = grpo([{ ...one, logprobs: [-1], advantage: -1 }], { ...OPTIONS, beta: 0 });
  expect(raisedBad.dLogprobs[0]![0]).toBeCloseTo(Math.E, 12);
});

Deno.test("k3 is 0 at the reference and positive off it, and pulls towards it", () => {
  const at = (reference: number): ReturnType<typeof grpo> =>
    grpo([{ logprobs: [-2], oldLogprobs: [-2], referenceLogprobs: [reference], advantage: 0, weight: 1 }], {
      ...OPTIONS,
      beta: 1,
    });
  expect(at(-2).loss).toBe(0);
  expect(at(-1).loss).toBeCloseTo(Math.E - 2, 12);
  expect(at(-1).dLogprobs[0]![0]).toBeCloseTo(1 - Math.E, 12);
  expect(at(-3).loss).toBeCloseTo(Math.exp(-1), 12);
  expect(at(-3).dLogprobs[0]![0]).toBeGreaterThan(0);
});

Deno.test("what cannot give a finite gradient is refused by name", () => {
  const good = { logprobs: [-1], oldLogprobs: [-1], advantage: 1, weight: 1 };
  expect(() => grpo([good], OPTIONS)).toThrow("Sequence 0 has no reference log-probabilities");
  expect(() => grpo([{ ...good, oldLogprobs: [] }], { ...OPTIONS, beta: 0 })).toThrow(
    "has 0 old log-probabilities",
  );
  expect(() => grpo([{ ...good, logprobs: [NaN] }], { ...OPTIONS, beta: 0 })).toThrow(
    "token 0 of sequence 0",
  );
  expect(() => grpo([{ ...good, oldLogprobs: [-900], advantage: -1 }], { ...OPTIONS, beta: 0 })).toThrow(
    "is not finite",
  );
  expect(() => grpo([good], { ...OPTIONS, clipLow: 1.5 })).toThrow('"clipLow" in [0, 1], not "1.5"');
});

Deno.test("totals of no tokens have a ratio of 1", () => {
  expect(grpoMetrics(grpo([], OPTIONS).totals)).toMatchObject({ tokens: 0, meanRatio: 1, meanKl: 0 });
});
