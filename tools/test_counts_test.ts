import { expect } from "expect";
import fc from "fast-check";
import { countCargoTests, countDenoTests, countKernelChecks, sumCounts } from "./test_counts.ts";

const counts = fc.record({ passed: fc.nat(9999), failed: fc.nat(99), skipped: fc.nat(99) });

Deno.test("every summary of cargo is added", () => {
  fc.assert(fc.property(fc.array(counts, { minLength: 1, maxLength: 4 }), (programs) => {
    const output = programs.map(({ passed, failed, skipped }) =>
      `running ${passed} tests\ntest a ... ok\n\ntest result: ${
        failed > 0 ? "FAILED" : "ok"
      }. ${passed} passed; ` +
      `${failed} failed; ${skipped} ignored; 0 measured; 0 filtered out; finished in 0.01s\n`
    ).join("\n");
    expect(countCargoTests(output)).toEqual(sumCounts(programs));
  }));
});

Deno.test("the summary of deno is read with and without colours, steps and skipped tests", () => {
  expect(countDenoTests("\nok | 12 passed (3 steps) | 0 failed (1s)\n")).toEqual({
    passed: 12,
    failed: 0,
    skipped: 0,
  });
  expect(countDenoTests("\x1b[0m\x1b[31mFAILED\x1b[0m | 1 passed | 2 failed (4 steps) | 3 ignored (10ms)\n"))
    .toEqual({
      passed: 1,
      failed: 2,
      skipped: 3,
    });
});

Deno.test("the summary of the check of kernels is read", () => {
  fc.assert(fc.property(counts, (expected) => {
    const { passed, failed, skipped } = expected;
    const output = `a fault\nkernels: ${passed} passed, ${failed} failed, ${skipped} skipped\n`;
    expect(countKernelChecks(output)).toEqual(expected);
  }));
});

Deno.test("output without a summary is not zero tests", () => {
  expect(countCargoTests("error: could not compile")).toBeNull();
  expect(countDenoTests("error: Type checking failed.\n")).toBeNull();
  expect(countKernelChecks("error: could not compile")).toBeNull();
});
