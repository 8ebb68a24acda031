import { expect } from "expect";
import fc from "fast-check";
import { compareScores } from "./compare.ts";
import { figuresOf, type ScoredItem } from "./figures.ts";
import { type Domain, DOMAINS } from "./items.ts";

const score = fc.integer({ min: 0, max: 5 });
const scored = fc.array(
  fc.record({
    domain: fc.constantFrom(...DOMAINS),
    chosen: fc.tuple(score, score, score),
    rejected: fc.tuple(score, score, score),
  }),
  { minLength: 1, maxLength: 60 },
);
type Scores = typeof scored extends fc.Arbitrary<(infer Item)[]> ? Item : never;

function compare({ domain, chosen, rejected }: Scores): ScoredItem {
  const subset = domain === "safety" ? "safety-refuse" : domain;
  return compareScores({ key: "", subset, domain, prompt: "", chosen: [], rejected: [] }, {
    chosen,
    rejected,
  });
}

/** The paper's definitions, written out one comparison at a time. */
function reference(items: readonly Scores[], domain: Domain): { hard: number; normal: number; easy: number } {
  const of = items.filter((item) => item.domain === domain);
  const cell = (i: 0 | 1 | 2, j: 0 | 1 | 2): number => {
    let wins = 0;
    for (const { chosen, rejected } of of) if (chosen[i] > rejected[j]) wins++;
    return wins / of.length;
  };
  return {
    hard: (cell(0, 1) + cell(0, 2) + cell(1, 2)) / 3,
    normal: (cell(0, 0) + cell(1, 1) + cell(2, 2)) / 3,
    easy: (cell(1, 0) + cell(2, 0) + cell(2, 1)) / 3,
  };
}

Deno.test("figuresOf agrees with the definitions written out", () => {
  fc.assert(fc.property(scored, (items) => {
    const { domains, levels, overall } = figuresOf(items.map(compare), { replicates: 0 });
    const present = DOMAINS.filter((domain) => items.some((item) => item.domain === domain));
    expect(Object.keys(domains)).toEqual(present);
    const references = present.map((domain) => reference(items, domain));
    for (const [at, domain] of present.entries()) {
      const { hard, normal, easy } = references[at]!;
      const figures = domains[domain]!;
      expect(figures.hard).toBeCloseTo(hard, 12);
      expect(figures.normal).toBeCloseTo(normal, 12);
      expect(figures.easy).toBeCloseTo(easy, 12);
      expect(figures.mean).toBeCloseTo((hard + normal + easy) / 3, 12);
    }
    const mean = (level: "hard" | "normal" | "easy"): number =>
      references.reduce((sum, one) => sum + one[level], 0) / references.length;
    expect(levels.hard.score).toBeCloseTo(mean("hard"), 12);
    expect(levels.normal.score).toBeCloseTo(mean("normal"), 12);
    expect(levels.easy.score).toBeCloseTo(mean("easy"), 12);
    expect(overall.score).toBeCloseTo((mean("hard") + mean("normal") + mean("easy")) / 3, 12);
  }));
});

Deno.test("figuresOf does not depend on the order of the items", () => {
  fc.assert(fc.property(scored, fc.nat(), (items, turn) => {
    const compared = items.map(compare);
    const at = turn % compared.length;
    const turned = [...compared.slice(at), ...compared.slice(0, at)];
    const [one, two] = [compared, turned].map((list) => figuresOf(list, { replicates: 0 }));
    expect(one!.overall.score).toBeCloseTo(two!.overall.score, 12);
  }));
});

Deno.test("figuresOf turns into its mirror when the answers change sides", () => {
  const strict = scored.filter((items) =>
    items.every(({ chosen, rejected }) => chosen.every((better) => !rejected.includes(better)))
  );
  fc.assert(fc.property(strict, (items) => {
    const one = figuresOf(items.map(compare), { replicates: 0 }).levels;
    const swapped = items.map(({ domain, chosen, rejected }) =>
      compare({ domain, chosen: rejected, rejected: chosen })
    );
    const two = figuresOf(swapped, { replicates: 0 }).levels;
    // Transposed and complemented: what was hard is one less the easy.
    expect(two.hard.score).toBeCloseTo(1 - one.easy.score, 12);
    expect(two.normal.score).toBeCloseTo(1 - one.normal.score, 12);
  }));
});

function cells(domain: Domain, ...values: number[]): ScoredItem {
  return { domain, cells: values, judged: 9, parsed: 9, right: values.reduce((sum, value) => sum + value) };
}

Deno.test("figuresOf by hand: one item, both rules", () => {
  // M01 = 1 alone of the hard cells, M20 alone of the easy ones; the diagonal is right.
  const item = cells("chat", 1, 1, 0, 0, 1, 0, 1, 0, 1);
  const standard = figuresOf([item]);
  expect(standard.domains.chat).toEqual({
    hard: 1 / 3,
    normal: 1,
    easy: 1 / 3,
    mean: 5 / 9,
    low: null,
    high: null,
    n: 1,
    parsedAccuracy: 5 / 9,
    parseRate: 1,
  });
  // M02, M10 and M21 are all wrong, and they are all that the released script reads off the diagonal.
  const released = figuresOf([item], { rule: "released" });
  expect(released.domains.chat).toMatchObject({ hard: 0, normal: 1, easy: 0, mean: 1 / 3 });
});

Deno.test("the released rule gives hard = (2·M02 + M10)/3 and easy = (M10 + 2·M21)/3", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 9, maxLength: 9 }), (m) => {
      const { hard, normal, easy } = figuresOf([cells("math", ...m)], { rule: "released" }).domains.math!;
      expect(hard).toBeCloseTo((2 * m[2]! + m[3]!) / 3, 12);
      expect(normal).toBeCloseTo((m[0]! + m[4]! + m[8]!) / 3, 12);
      expect(easy).toBeCloseTo((m[3]! + 2 * m[7]!) / 3, 12);
    }),
  );
});

Deno.test("figuresOf counts each domain once, however many items it has", () => {
  const right = cells("chat", 1, 1, 1, 1, 1, 1, 1, 1, 1);
  const wrong = cells("code", 0, 0, 0, 0, 0, 0, 0, 0, 0);
  const { overall, domains } = figuresOf([right, wrong, wrong, wrong]);
  expect(overall).toEqual({ score: 0.5, low: null, high: null });
  expect([domains.code!.low, domains.code!.high]).toEqual([0, 0]);
});

Deno.test("figuresOf's intervals hold the score and follow the seed", () => {
  const items = Array.from({ length: 80 }, (_, i): ScoredItem => {
    const values = Array.from({ length: 9 }, (_, cell) => (i * 31 + cell * 17) % 5 < 3 ? 1 : 0);
    return cells(i % 2 === 0 ? "chat" : "safety", ...values);
  });
  const { overall, domains } = figuresOf(items, { seed: 4 });
  for (
    const { score, low, high } of [overall, ...Object.values(domains).map((d) => ({ ...d, score: d.mean }))]
  ) {
    expect(low!).toBeLessThan(score);
    expect(high!).toBeGreaterThan(score);
  }
  expect(figuresOf(items, { seed: 4 })).toEqual(figuresOf(items, { seed: 4 }));
  expect(figuresOf(items, { seed: 5 }).overall.low).not.toBe(overall.low);
});

Deno.test("figuresOf keeps what could be read apart from what was wrong", () => {
  const half = {
    domain: "chat",
    cells: [1, 1, 1, 1, 0, 0, 0, 0, 0],
    judged: 9,
    parsed: 6,
    right: 4,
  } as const;
  const none = { domain: "math", cells: Array(9).fill(0), judged: 9, parsed: 0, right: 0 } as const;
  const one = figuresOf([half, half]);
  expect(one.domains.chat).toMatchObject({ mean: 4 / 9, parsedAccuracy: 4 / 6, parseRate: 6 / 9 });
  expect(one.parsedAccuracy!.score).toBeCloseTo(4 / 6, 12);
  const two = figuresOf([half, half, none, none]);
  expect(two.domains.math).toMatchObject({ mean: 0, parsedAccuracy: null, parseRate: 0 });
  expect(two.parsedAccuracy).toBeNull();
  expect(two.overall.score).toBeCloseTo(2 / 9, 12);
});

Deno.test("figuresOf refuses an empty set", () => {
  expect(() => figuresOf([])).toThrow("No items, expected one or more");
});
