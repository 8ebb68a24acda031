import { expect } from "expect";
import fc from "fast-check";
import { KeyValueMemory } from "./memory.ts";

const summary = fc.record({ kvPeak: fc.nat(), kvBudget: fc.nat(), waited: fc.nat(), prefilled: fc.nat() });

Deno.test("one line tells the greatest of the memory that was seen, with the budget it was of", () => {
  fc.assert(fc.property(fc.array(summary, { minLength: 1 }), (summaries) => {
    const lines: string[] = [];
    {
      using memory = new KeyValueMemory((text) => lines.push(text));
      summaries.forEach(memory.see);
    }
    const greatest = summaries.toSorted((x, y) => y.kvPeak - x.kvPeak)[0]!;
    const [peak, budget] = [greatest.kvPeak, greatest.kvBudget].map((bytes) => (bytes / 1e6).toFixed(1));
    expect(lines).toEqual([`keys and values took ${peak} MB of at most ${budget} MB\n`]);
  }));
});

Deno.test("where nothing was generated nothing is said", () => {
  const lines: string[] = [];
  new KeyValueMemory((text) => lines.push(text))[Symbol.dispose]();
  expect(lines).toEqual([]);
});
