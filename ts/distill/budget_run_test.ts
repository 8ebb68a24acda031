import { join } from "node:path";
import { expect } from "expect";
import fc from "fast-check";
import { OracleServer } from "../endpoint/testing/oracle_server.ts";
import type { BudgetLimits } from "../endpoint/mod.ts";
import { runSmall, withPairs } from "./testing/small_distillation.ts";

const PRICES = { input: 2, output: 8 };

const limits: fc.Arbitrary<BudgetLimits> = fc.record(
  {
    calls: fc.integer({ min: 0, max: 40 }),
    tokens: fc.integer({ min: 0, max: 200_000 }),
    cost: fc.integer({ min: 0, max: 400_000 }).map((micro) => micro / 1e6),
  },
  { requiredKeys: [] },
).filter((each) => Object.keys(each).length > 0);

Deno.test("no budget is passed by the server's own count, over sessions, faults and lost answers", async () => {
  await fc.assert(
    fc.asyncProperty(
      limits,
      fc.nat(99),
      fc.integer({ min: 1, max: 8 }),
      async (budget, seed, concurrency) => {
        await using server = await OracleServer.start({ seed, faults: 0.35, capacity: 6, bytesPerToken: 1 });
        await withPairs(40, async (folder, data) => {
          const out = join(folder, "traces.jsonl");
          const small = { url: server.url, data, out, budget, concurrency, prices: PRICES };
          const check = (): void => {
            const { input, output } = server.tokens;
            expect(server.calls.length).toBeLessThanOrEqual(budget.calls ?? Infinity);
            expect(input + output).toBeLessThanOrEqual(budget.tokens ?? Infinity);
            expect((input * PRICES.input + output * PRICES.output) / 1e6).toBeLessThanOrEqual(
              (budget.cost ?? Infinity) + 1e-12,
            );
          };
          const first = await runSmall(small);
          check();
          // A second session has what the first one left.
          const second = await runSmall(small);
          check();
          expect(second.statistics.kept).toBeGreaterThanOrEqual(first.statistics.kept);
          if (!second.complete) {
            expect(JSON.stringify(second.statistics.passes)).toContain("unanswered: budget");
          }
        });
      },
    ),
    { numRuns: 16 },
  );
});

Deno.test("a budget is used, not only kept: calls go on while the most that the next may take fits", async () => {
  await using server = await OracleServer.start();
  await withPairs(40, async (folder, data) => {
    const out = join(folder, "traces.jsonl");
    const cut = await runSmall({ url: server.url, data, out, budget: { calls: 25 } });
    expect([server.calls.length, cut.complete, cut.spent?.calls]).toEqual([25, false, 25]);
    const tokens = 60_000;
    const result = await runSmall({ url: server.url, data, out, budget: { tokens } });
    const worst = 6000;
    expect(result.complete || result.spent!.tokens > tokens - worst).toBe(true);
    const raised = await runSmall({ url: server.url, data, out });
    expect([raised.complete, new Set(server.calls.map(({ key }) => key)).size]).toEqual([
      true,
      server.calls.length,
    ]);
  });
});

Deno.test("a server that counts more than a call can have is left where there is a budget", async () => {
  await using server = await OracleServer.start();
  await withPairs(10, async (folder, data) => {
    const out = join(folder, "traces.jsonl");
    const { fetch } = globalThis;
    globalThis.fetch = async (input, init) => {
      const response = await fetch(input, init);
      const text = await response.text();
      return new Response(text.replaceAll(/"completion_tokens":\d+/g, '"completion_tokens":5000'), response);
    };
    try {
      await expect(runSmall({ url: server.url, data, out, budget: { calls: 100 } })).rejects.toThrow(
        'The server counts "5000" output tokens of a call that can have 400 at most',
      );
    } finally {
      globalThis.fetch = fetch;
    }
  });
});
