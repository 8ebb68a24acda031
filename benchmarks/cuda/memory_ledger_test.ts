import { expect } from "expect";
import fc from "fast-check";
import { MemoryLedger } from "./memory_ledger.ts";

Deno.test("a process's peak is its own whatever the other holds", () => {
  const bytes = fc.integer({ min: 0, max: 1e12 });
  const turn = fc.record({ ours: fc.boolean(), held: bytes, extra: bytes });
  fc.assert(fc.property(bytes, fc.array(turn, { maxLength: 12 }), (baseline, turns) => {
    const ledger = new MemoryLedger(baseline);
    const held = { ours: 0, peer: 0 };
    const peaks = { ours: 0, peer: 0 };
    for (const { ours, held: after, extra } of turns) {
      const name = ours ? "ours" : "peer";
      const before = held[name];
      ledger.begin();
      ledger.read(baseline + held.ours + held.peer - before + after + extra);
      held[name] = after;
      ledger.read(baseline + held.ours + held.peer);
      peaks[name] = Math.max(peaks[name], before, after + extra);
      expect(ledger.end(name)).toBe(peaks[name]);
    }
  }));
});

Deno.test("what has ended holds nothing", () => {
  const ledger = new MemoryLedger(10);
  ledger.begin();
  ledger.read(110);
  expect(ledger.end("ours")).toBe(100);
  ledger.forget("ours");
  ledger.read(10);
  ledger.begin();
  ledger.read(60);
  expect(ledger.end("peer")).toBe(50);
});
