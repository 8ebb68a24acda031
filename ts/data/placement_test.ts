import { expect } from "expect";
import fc from "fast-check";
import { bothOrders, place, placeAll } from "./placement.ts";
import type { PreferenceRecord } from "./record.ts";

const record = (id: string): PreferenceRecord => ({
  id,
  conversation: [{ role: "user", content: "Q" }],
  chosen: `good ${id}`,
  rejected: `bad ${id}`,
});
const records = Array.from({ length: 2000 }, (_, index) => record(String(index)));

Deno.test("the gold side always holds the better answer", () => {
  fc.assert(fc.property(fc.uniqueArray(fc.string()), fc.integer(), (ids, seed) => {
    for (const placement of [{ kind: "alternate" }, { kind: "seeded", seed }] as const) {
      const pairs = placeAll(ids.map(record), placement);
      expect(pairs.map(({ record: { id } }) => id)).toEqual(ids);
      for (const { a, b, gold, record: { chosen, rejected } } of pairs) {
        expect(gold === "A" ? [a, b] : [b, a]).toEqual([chosen, rejected]);
      }
    }
  }));
});

Deno.test("alternation is strict", () => {
  const pairs = placeAll(records, { kind: "alternate" });
  expect(pairs.every(({ gold }, index) => gold === (index % 2 === 0 ? "A" : "B"))).toBe(true);
});

Deno.test("a seeded place depends on the seed and the id alone, and both places are equally likely", () => {
  const pairs = placeAll(records, { kind: "seeded", seed: 7 });
  const some = placeAll(records.toReversed().slice(0, 100), { kind: "seeded", seed: 7 });
  for (const { record: { id }, gold } of some) expect(gold).toBe(pairs[Number(id)]!.gold);
  const share = pairs.filter(({ gold }) => gold === "A").length / pairs.length;
  expect(Math.abs(share - 0.5)).toBeLessThan(0.05);
  const other = placeAll(records, { kind: "seeded", seed: 8 });
  const same = pairs.filter(({ gold }, index) => gold === other[index]!.gold).length / pairs.length;
  expect(Math.abs(same - 0.5)).toBeLessThan(0.05);
});

Deno.test("both orders are the two places", () => {
  expect(bothOrders(record("x"))).toEqual([place(record("x"), "A"), place(record("x"), "B")]);
});
