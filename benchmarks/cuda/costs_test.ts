import { expect } from "expect";
import { shapeOf } from "../shapes.ts";
import { decodingBytes, parameterCount, peakOf, trainingFlops } from "./costs.ts";

Deno.test("shapes have their published numbers of parameters", () => {
  // Qwen2.5's and SmolLM2's safetensors, as their model cards count them.
  expect(parameterCount(shapeOf("0.5B"))).toBe(494_032_768);
  expect(parameterCount(shapeOf("1.5B"))).toBe(1_543_714_304);
  expect(parameterCount(shapeOf("135M"))).toBe(134_515_008);
});

Deno.test("attention adds to a token's cost with the sequence, keys and values with the context", () => {
  const shape = shapeOf("0.5B");
  expect(trainingFlops(shape, 4096)).toBe(6 * 494_032_768 + 6 * 24 * 896 * 4096);
  expect(decodingBytes(shape, 256, 0)).toBe(2 * 494_032_768);
  expect(decodingBytes(shape, 256, 1024) - decodingBytes(shape, 256, 0)).toBe(256 * 1024 * 24 * 2 * 128 * 2);
});

Deno.test("a device's peak is known by its name or not at all", () => {
  expect(peakOf("NVIDIA H200")?.flops).toBe(989e12);
  expect(peakOf("NVIDIA H200 NVL")).toBeNull();
  expect(peakOf("NVIDIA A100-SXM4-80GB")?.flops).toBe(312e12);
  expect(peakOf("cpu")).toBeNull();
});
