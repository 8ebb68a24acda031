import { expect } from "expect";
import { overlongPenalty } from "./overlong.ts";

Deno.test("the penalty for length is 0 before the buffer, grows in a line, and ends at −1", () => {
  const options = { maxTokens: 100, buffer: 20 };
  expect([1, 80, 85, 90, 100, 120].map((tokens) => overlongPenalty(tokens, options))).toEqual([
    0,
    0,
    -0.25,
    -0.5,
    -1,
    -1,
  ]);
  expect(() => overlongPenalty(-1, options)).toThrow('to be a count, not "-1"');
  expect(() => overlongPenalty(1, { maxTokens: 10, buffer: 11 })).toThrow('"buffer" above 0 and at most 10');
});
