import { expect } from "expect";
import fc from "fast-check";
import { benchRunName, lastRunName, nextRunName } from "./run_names.ts";

Deno.test("new runs are numbered, and the newest one is found again", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 30 }), fc.array(fc.string()), (count, others) => {
    const there = others.filter((name) => !name.startsWith("default"));
    expect(lastRunName("default", there)).toBeNull();
    for (let run = 1; run <= count; run++) {
      const name = nextRunName("default", there);
      expect(there).not.toContain(name);
      there.unshift(name);
      expect(lastRunName("default", there)).toBe(name);
    }
    expect(there[0]).toBe(count === 1 ? "default" : `default-${count}`);
  }));
});

Deno.test("names that only begin alike are other runs", () => {
  const there = ["default-long", "default-2b", "defaults", "default-07"];
  expect(nextRunName("default", there)).toBe("default");
  expect(lastRunName("default", there)).toBeNull();
});

Deno.test("a benchmark's run is named by judge and settings", () => {
  const settings = { seed: 0, limit: null };
  const name = benchRunName("rm-bench", "runs/gsm8k/final/", settings);
  expect(name).toMatch(/^rm-bench-gsm8k-final-[0-9a-f]{8}$/);
  expect(benchRunName("rm-bench", "runs/gsm8k/final/", { ...settings })).toBe(name);
  expect(benchRunName("rm-bench", "runs/gsm8k/final/", { ...settings, seed: 1 })).not.toBe(name);
  expect(benchRunName("rm-bench", "baseline:random:7", settings)).toMatch(/^rm-bench-baseline-random-7-/);
});

Deno.test("a benchmark's run stays in its folder whatever the judge's name", () => {
  fc.assert(fc.property(fc.string(), (judge) => {
    expect(benchRunName("rm-bench", judge, {})).toMatch(/^rm-bench-[\w.-]+-[0-9a-f]{8}$/);
  }));
});
