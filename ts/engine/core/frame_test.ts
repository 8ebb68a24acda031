import { expect } from "expect";
import fc from "fast-check";
import { EngineError } from "../error.ts";
import { arrayOf, decodeFrame, encodeFrame } from "./frame.ts";

const arrays = fc.record({
  bytes: fc.uint8Array({ maxLength: 9 }),
  tokens: fc.uint32Array({ maxLength: 9 }),
  parents: fc.int32Array({ maxLength: 9 }),
  weights: fc.float32Array({ maxLength: 9 }),
  norms: fc.float64Array({ maxLength: 9 }),
});

Deno.test("a frame reads back to itself, NaN and infinities too", () => {
  fc.assert(fc.property(fc.string({ unit: "grapheme" }), arrays, (text, arrays) => {
    const frame = { body: { text }, arrays };
    expect(decodeFrame(encodeFrame(frame))).toEqual(frame);
  }));
});

Deno.test("a part of a larger buffer is written as that part", () => {
  const part = Uint32Array.of(1, 2, 3, 4).subarray(1, 3);
  const { arrays } = decodeFrame(encodeFrame({ body: {}, arrays: { part } }));
  expect(arrays["part"]).toEqual(Uint32Array.of(2, 3));
});

Deno.test("an array of another type is refused by name", () => {
  const frame = { body: {}, arrays: { a: Uint8Array.of(1) } };
  expect(() => arrayOf(frame, "a", Float32Array)).toThrow('no Float32Array named "a"');
  expect(() => arrayOf(frame, "b", Uint8Array)).toThrow(EngineError);
  const words = { body: {}, arrays: { a: Int16Array.of(1) as unknown as Int32Array } };
  expect(() => encodeFrame(words)).toThrow('cannot carry a "Int16Array"');
});
