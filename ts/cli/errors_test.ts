import { expect } from "expect";
import { describeError, UsageError } from "./errors.ts";

Deno.test("an expected error is its message", () => {
  expect(describeError(new UsageError("Give --ids or --text, not both"))).toBe(
    "Give --ids or --text, not both",
  );
  expect(describeError("thrown text")).toBe("thrown text");
});

Deno.test("a fault of the program says how to see where it is", () => {
  expect(describeError(new TypeError("x is undefined"))).toContain("RMR1_DEBUG=1");
});

Deno.test("a refused permission names the task that has it, behind any error", () => {
  const refused = new Deno.errors.NotCapable("Requires write access");
  for (
    const error of [refused, new Error("Could not save", { cause: new Error("io", { cause: refused }) })]
  ) {
    expect(describeError(error)).toContain("deno task rmr1");
  }
});
