import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect } from "expect";
import { OracleServer } from "../endpoint/testing/oracle_server.ts";
import { runSmall, withPairs } from "./testing/small_distillation.ts";

/** When calls came to a server that refuses the first ones with a header, and afterwards all for a reason of their own. */
async function arrivals(refused: number, header: () => string): Promise<number[]> {
  const times: number[] = [];
  const server = createServer((request, response) => {
    request.resume().on("end", () => {
      times.push(performance.now());
      if (times.length <= refused) response.writeHead(429, { "retry-after": header() }).end();
      else setTimeout(() => response.writeHead(400).end("no"), 40);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await withPairs(9, async (folder, data) => {
      const { port } = server.address() as AddressInfo;
      const { statistics } = await runSmall({
        url: `http://127.0.0.1:${port}`,
        data,
        out: join(folder, "t.jsonl"),
      });
      expect(statistics.passes).toEqual({ "pass 1": { "unanswered: refused": 9 } });
    });
  } finally {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
  return times;
}

Deno.test("no call at all is made before the time of a Retry-After, in seconds or as a date", async () => {
  let until = 0;
  const [seconds, date] = await Promise.all([
    arrivals(1, () => "1"),
    arrivals(1, () => {
      // A date has whole seconds.
      const at = Math.ceil(Date.now() / 1000 + 0.7) * 1000;
      until = performance.now() + at - Date.now();
      return new Date(at).toUTCString();
    }),
  ]);
  // The first four calls are under way together, before the first one is refused.
  const later = (times: readonly number[]): number =>
    Math.min(...times.filter((time) => time > times[0]! + 300));
  expect(later(seconds) - seconds[0]!).toBeGreaterThanOrEqual(990);
  expect(later(date)).toBeGreaterThanOrEqual(until - 5);
  for (const times of [seconds, date]) {
    expect(times.length).toBe(10);
    expect(times.filter((time) => time <= times[0]! + 300).length).toBeLessThanOrEqual(4);
  }
});

Deno.test("the number of calls at once finds a server's capacity, and few are refused", async () => {
  const capacity = 9;
  await using server = await OracleServer.start({ capacity, latency: 4 });
  await withPairs(250, async (folder, data) => {
    const limits: number[] = [];
    await runSmall({ url: server.url, data, out: join(folder, "t.jsonl"), concurrency: 64 }, {
      onProgress: ({ calls }) => limits.push(calls!.limit),
    });
    const settled = limits.slice(limits.length / 2);
    expect(Math.max(...settled)).toBeLessThanOrEqual(2 * capacity);
    expect(settled.reduce((sum, limit) => sum + limit, 0) / settled.length).toBeGreaterThan(capacity / 3);
    const refused = server.calls.filter(({ fault }) => fault !== "none").length;
    expect(refused / server.calls.length).toBeLessThan(0.2);
    expect(refused).toBeGreaterThan(0);
  });
});
