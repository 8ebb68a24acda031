import { expect } from "expect";
import { formatSeconds, progressLine, progressPrinter } from "./progress.ts";

const progress = { done: 30, total: 100, reused: 10, failed: 0, tokens: 4000, seconds: 40 };

Deno.test("formatSeconds shows two units at most", () => {
  expect([0.4, 59, 90, 3599, 3600, 37_000].map(formatSeconds)).toEqual([
    "0s",
    "59s",
    "1m30s",
    "59m59s",
    "1h00m",
    "10h16m",
  ]);
});

Deno.test("progressLine counts the rate and the time left from this session alone", () => {
  expect(progressLine(progress)).toBe(
    "30/100 judged, 10 from the journal, 0.500/s, 100 tokens/s, 2m20s left",
  );
  expect(progressLine({ ...progress, done: 10, tokens: 0, seconds: 0 })).toBe(
    "10/100 judged, 10 from the journal",
  );
  expect(progressLine({ ...progress, failed: 2 })).toContain("2 failed");
});

Deno.test("progressPrinter redraws one line on a terminal and always writes the last one", () => {
  const written: string[] = [];
  const print = progressPrinter({ isTTY: true, write: (text) => written.push(text) });
  for (const seconds of [0, 0.1, 0.3]) print({ ...progress, seconds });
  print({ ...progress, done: 100, seconds: 0.31 });
  expect(written.length).toBe(3);
  expect(written.every((text) => text.startsWith("\r\x1b[K"))).toBe(true);
  expect(written.map((text) => text.endsWith("\n"))).toEqual([false, false, true]);
});

Deno.test("progressPrinter writes a line now and then elsewhere", () => {
  const written: string[] = [];
  const print = progressPrinter({ write: (text) => written.push(text) });
  for (let second = 0; second < 31; second++) print({ ...progress, seconds: second });
  expect(written.length).toBe(3);
  expect(written.join("")).not.toContain("\r");
});
