import { expect } from "expect";
import fc from "fast-check";
import { AdaptiveLimit, type Place, retryAfter } from "./adaptive_limit.ts";

const never = new AbortController().signal;

Deno.test("the limit grows by one a round of answers, halves once a round of refusals, and stays in its bounds", async () => {
  let time = 0;
  const limit = new AdaptiveLimit({ start: 4, most: 6, now: () => time });
  const round = async (end: "answered" | "limited"): Promise<number> => {
    const places: Place[] = [];
    while (limit.underWay < limit.limit) places.push(await limit.enter(never));
    time += 10;
    for (const place of places) place.leave(end);
    return limit.limit;
  };
  const limits: number[] = [];
  for (
    const end of [
      "answered",
      "answered",
      "answered",
      "answered",
      "answered",
      "limited",
      "limited",
      "limited",
    ] as const
  ) {
    limits.push(await round(end));
  }
  expect(limits).toEqual([4, 5, 6, 6, 6, 3, 1, 1]);
});

Deno.test("never more calls are under way than the limit allows, and all of them end", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom("answered", "limited", "failed"), { minLength: 1, maxLength: 60 }),
      fc.integer({ min: 1, max: 8 }),
      async (ends, most) => {
        const limit = new AdaptiveLimit({ start: 4, most });
        let under = 0;
        let done = 0;
        await Promise.all(ends.map(async (end) => {
          const place = await limit.enter(never);
          under++;
          expect(under).toBeLessThanOrEqual(Math.max(1, limit.limit));
          await Promise.resolve();
          under--;
          place.leave(end as "answered" | "limited" | "failed");
          done++;
        }));
        expect({ done, under: limit.underWay }).toEqual({ done: ends.length, under: 0 });
      },
    ),
    { numRuns: 50 },
  );
});

Deno.test("no call begins before a pause is over, and a pause can be broken off", async () => {
  const limit = new AdaptiveLimit({ start: 1, most: 1 });
  (await limit.enter(never)).leave("limited", 60);
  const began = performance.now();
  (await limit.enter(never)).leave("limited", 60_000);
  expect(performance.now() - began).toBeGreaterThanOrEqual(59);
  const controller = new AbortController();
  const waiting = limit.enter(controller.signal);
  controller.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
});

Deno.test("Retry-After is read in seconds and as a date", () => {
  const now = Date.parse("Tue, 24 Nov 2026 08:00:00 GMT");
  expect(retryAfter("120", now)).toBe(120_000);
  expect(retryAfter(" 0.5 ", now)).toBe(500);
  expect(retryAfter("Tue, 24 Nov 2026 08:01:30 GMT", now)).toBe(90_000);
  expect(retryAfter("Tue, 24 Nov 2026 07:00:00 GMT", now)).toBe(0);
  for (const header of [null, "", "soon", "-5", "1e9x"]) expect(retryAfter(header, now)).toBe(null);
});
