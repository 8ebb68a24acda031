import { join } from "node:path";
import { expect } from "expect";
import type { Estimate } from "./estimate.ts";
import { OracleServer } from "../endpoint/testing/oracle_server.ts";
import { runSmall, withPairs } from "./testing/small_distillation.ts";

const prices = { input: 2, output: 8 };

Deno.test("what a run takes lies below the most that was said, and is near to what was expected", async () => {
  await using server = await OracleServer.start();
  await withPairs(80, async (folder, data) => {
    const out = join(folder, "traces.jsonl");
    const said: Estimate[] = [];
    const run = (limit: number, dryRun = false): ReturnType<typeof runSmall> =>
      runSmall({ url: server.url, data, out, limit, prices }, {
        dryRun,
        onEstimate: (each) => said.push(each),
      });
    await run(80, true);
    expect(server.calls).toEqual([]);
    await run(20);
    const part = { ...server.tokens, calls: server.calls.length };
    const { spent } = await run(80);
    const [all, , rest] = said as [Estimate, Estimate, Estimate];
    for (const estimate of [all, rest]) {
      const before = estimate === rest ? part : { input: 0, output: 0, calls: 0 };
      const calls = server.calls.length - before.calls;
      const input = server.tokens.input - before.input;
      const output = server.tokens.output - before.output;
      const { expected, most } = estimate;
      expect(calls).toBeLessThanOrEqual(most.calls);
      expect(input).toBeLessThanOrEqual(most.inputTokens);
      expect(output).toBeLessThanOrEqual(most.outputTokens);
      expect((input * prices.input + output * prices.output) / 1e6).toBeLessThanOrEqual(most.cost!);
      expect(Math.abs(expected.calls / calls - 1)).toBeLessThan(0.2);
      expect(Math.abs(expected.inputTokens / input - 1)).toBeLessThan(0.4);
    }
    // The server writes shorter traces than is assumed; once there are some, they tell.
    expect(Math.abs(rest.expected.outputTokens / (server.tokens.output - part.output) - 1)).toBeLessThan(0.3);
    expect([all.answered, rest.answered]).toEqual([0, part.calls]);
    expect(spent!.cost).toBeCloseTo((server.tokens.input * 2 + server.tokens.output * 8) / 1e6, 9);
    await run(80, true);
    expect(said.at(-1)).toMatchObject({
      answered: server.calls.length,
      expected: { calls: 0 },
      most: { calls: 0 },
    });
  });
});

Deno.test("prices that are not known leave the cost unknown, and calls that are none cost nothing", async () => {
  await using server = await OracleServer.start();
  await withPairs(5, async (folder, data) => {
    const said: Estimate[] = [];
    const out = join(folder, "t.jsonl");
    const run = () => runSmall({ url: server.url, data, out }, { onEstimate: (each) => said.push(each) });
    const first = await run();
    await run();
    expect(said.map(({ most }) => most.cost)).toEqual([null, 0]);
    expect(first.spent!.cost).toBe(null);
  });
});
