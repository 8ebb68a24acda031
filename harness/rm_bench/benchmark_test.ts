import { expect } from "expect";
import fc from "fast-check";
import type { ItemOutcome } from "../benchmark.ts";
import { averageRows, estimate, type Estimates } from "../figures.ts";
import { rmBench, type RmBenchRule } from "./benchmark.ts";

const DOMAINS = ["chat", "math", "code", "safety"] as const;
type Domain = (typeof DOMAINS)[number];

interface Scores {
  readonly domain: Domain;
  readonly chosen: readonly number[];
  readonly rejected: readonly number[];
}

const score = fc.integer({ min: 0, max: 5 });
const three = fc.array(score, { minLength: 3, maxLength: 3 });
const scored = fc.array(
  fc.record({ domain: fc.constantFrom(...DOMAINS), chosen: three, rejected: three }),
  { minLength: 1, maxLength: 60 },
);

function outcome(domain: Domain, pairs: readonly number[]): ItemOutcome {
  const subset = domain === "safety" ? "safety-refuse" : domain;
  return { item: { key: "", subset, conversation: [], answers: [], pairs: [] }, pairs, scores: null };
}

function compare({ domain, chosen, rejected }: Scores): ItemOutcome {
  return outcome(domain, chosen.flatMap((better) => rejected.map((worse) => better > worse ? 1 : 0)));
}

function figures(outcomes: readonly ItemOutcome[], rule: RmBenchRule = "standard"): Estimates {
  const benchmark = rmBench(rule);
  return estimate(benchmark, averageRows(benchmark, [outcomes]), { seed: 0, replicates: 0 })!;
}

/** The paper's definitions, written out one comparison at a time. */
function reference(items: readonly Scores[], domain: Domain): Record<"hard" | "normal" | "easy", number> {
  const of = items.filter((item) => item.domain === domain);
  const cell = (i: number, j: number): number =>
    of.filter(({ chosen, rejected }) => chosen[i]! > rejected[j]!).length / of.length;
  return {
    hard: (cell(0, 1) + cell(0, 2) + cell(1, 2)) / 3,
    normal: (cell(0, 0) + cell(1, 1) + cell(2, 2)) / 3,
    easy: (cell(1, 0) + cell(2, 0) + cell(2, 1)) / 3,
  };
}

Deno.test("figures agree with the definitions written out", () => {
  fc.assert(fc.property(scored, (items) => {
    const { domains, levels, overall } = figures(items.map(compare));
    const present = DOMAINS.filter((domain) => items.some((item) => item.domain === domain));
    expect(Object.keys(domains!)).toEqual(present);
    const references = present.map((domain) => reference(items, domain));
    for (const [at, domain] of present.entries()) {
      const { hard, normal, easy } = references[at]!;
      const found = domains![domain]!;
      expect(found.levels["hard"]).toBeCloseTo(hard, 12);
      expect(found.levels["normal"]).toBeCloseTo(normal, 12);
      expect(found.levels["easy"]).toBeCloseTo(easy, 12);
      expect(found.score).toBeCloseTo((hard + normal + easy) / 3, 12);
    }
    const mean = (level: "hard" | "normal" | "easy"): number =>
      references.reduce((sum, one) => sum + one[level], 0) / references.length;
    for (const level of ["hard", "normal", "easy"] as const) {
      expect(levels[level]!.score).toBeCloseTo(mean(level), 12);
    }
    expect(overall.score).toBeCloseTo((mean("hard") + mean("normal") + mean("easy")) / 3, 12);
  }));
});

Deno.test("figures turn into their mirror when the answers change sides", () => {
  const strict = scored.filter((items) =>
    items.every(({ chosen, rejected }) => chosen.every((better) => !rejected.includes(better)))
  );
  fc.assert(fc.property(strict, (items) => {
    const one = figures(items.map(compare)).levels;
    const swapped = items.map(({ domain, chosen, rejected }) =>
      compare({ domain, chosen: rejected, rejected: chosen })
    );
    const two = figures(swapped).levels;
    // Transposed and complemented: what was hard is one less the easy.
    expect(two["hard"]!.score).toBeCloseTo(1 - one["easy"]!.score, 12);
    expect(two["normal"]!.score).toBeCloseTo(1 - one["normal"]!.score, 12);
  }));
});

Deno.test("by hand: one item, both rules", () => {
  // M01 = 1 alone of the hard cells, M20 alone of the easy ones; the diagonal is right.
  const item = outcome("chat", [1, 1, 0, 0, 1, 0, 1, 0, 1]);
  expect(figures([item]).domains!["chat"]).toEqual({
    levels: { hard: 1 / 3, normal: 1, easy: 1 / 3 },
    score: 5 / 9,
    low: null,
    high: null,
    n: 1,
  });
  // M02, M10 and M21 are all wrong, and they are all that the released script reads off the diagonal.
  expect(figures([item], "released").domains!["chat"]).toMatchObject({
    levels: { hard: 0, normal: 1, easy: 0 },
    score: 1 / 3,
  });
});

Deno.test("the released rule gives hard = (2·M02 + M10)/3 and easy = (M10 + 2·M21)/3", () => {
  const cells = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 9, maxLength: 9 });
  fc.assert(fc.property(cells, (m) => {
    const { levels } = figures([outcome("math", m)], "released").domains!["math"]!;
    expect(levels["hard"]).toBeCloseTo((2 * m[2]! + m[3]!) / 3, 12);
    expect(levels["normal"]).toBeCloseTo((m[0]! + m[4]! + m[8]!) / 3, 12);
    expect(levels["easy"]).toBeCloseTo((m[3]! + 2 * m[7]!) / 3, 12);
  }));
});

Deno.test("each domain counts once, however many items it has", () => {
  const right = outcome("chat", Array(9).fill(1));
  const wrong = outcome("code", Array(9).fill(0));
  expect(figures([right, wrong, wrong, wrong]).overall.score).toBe(0.5);
});

Deno.test("what could not be read has no part where it is left out", () => {
  const half = outcome("chat", [1, 1, 1, 1, 0, 0, NaN, NaN, NaN]);
  const none = outcome("math", Array(9).fill(NaN));
  const found = figures([half, half, none]);
  expect(found.sections).toMatchObject({ chat: { score: 4 / 6, n: 2 } });
  expect(Object.keys(found.sections)).toEqual(["chat"]);
});
