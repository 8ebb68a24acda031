import { expect } from "expect";
import fc from "fast-check";
import { busyShare } from "./machine.ts";
import { awaitRest, BusyError } from "./rest.ts";

function observing(...shares: number[]): () => Promise<{ busyShare: number; loadAverage: number }> {
  let at = 0;
  return () => Promise.resolve({ busyShare: shares[Math.min(at++, shares.length - 1)]!, loadAverage: 0 });
}

Deno.test("waits until the machine is at rest", async () => {
  const rest = await awaitRest({ evenIfBusy: false, pause: 0, observe: observing(0.9, 0.5, 0.02) });
  expect(rest.busyShare).toBe(0.02);
});

Deno.test("refuses a machine that stays busy, unless told to warn", async () => {
  const busy = awaitRest({ evenIfBusy: false, pause: 0, attempts: 3, observe: observing(0.5) });
  await expect(busy).rejects.toThrow(BusyError);
  const warnings: string[] = [];
  const warn = (line: string): void => void warnings.push(line);
  expect((await awaitRest({ evenIfBusy: true, observe: observing(0.5), warn })).busyShare).toBe(0.5);
  expect(warnings).toEqual([
    "Others take 50 % of the machine, expected at most 10 %: the figures are not to be trusted",
  ]);
});

Deno.test("the busy share is what was not idle", () => {
  fc.assert(fc.property(fc.nat(1000), fc.nat(1000), fc.nat(1000), (start, idle, busy) => {
    const share = busyShare({ idle: start, total: 2 * start }, {
      idle: start + idle,
      total: 2 * start + idle + busy,
    });
    expect(share).toBeCloseTo(idle + busy === 0 ? 0 : busy / (idle + busy));
  }));
});
