/**
 * Operations and bytes that work costs by its model's shape, and the roofs that they are held against.
 *
 * @module
 */
import type { Shape } from "../shapes.ts";

const BF16_BYTES = 2;

function widths(shape: Shape): { readonly attention: number; readonly keyValue: number } {
  const head = shape.hidden_size / shape.num_attention_heads;
  return { attention: shape.hidden_size, keyValue: shape.num_key_value_heads * head };
}

/** Parameters, the embedding, which is the head too, once. */
export function parameterCount(shape: Shape): number {
  const { hidden_size: hidden, intermediate_size: inner, num_hidden_layers: layers } = shape;
  const { attention, keyValue } = widths(shape);
  const biases = shape.model_type === "qwen2" ? attention + 2 * keyValue : 0;
  const layer = 2 * hidden * attention + 2 * hidden * keyValue + biases + 3 * hidden * inner + 2 * hidden;
  return shape.vocab_size * hidden + layers * layer + hidden;
}

/**
 * Floating-point operations of a token's forward and backward pass in a causal sequence of `length`: 6N + 6·L·d·T
 * (Chowdhery et al. 2022, arXiv:2204.02311, appendix B, with half of its attention, which causality leaves). What is
 * computed twice to save memory does not count.
 */
export function trainingFlops(shape: Shape, length: number): number {
  return 6 * parameterCount(shape) + 6 * shape.num_hidden_layers * widths(shape).attention * length;
}

/** Bytes that a decoding step in bf16 must read at least: the weights, and all keys and values before it. */
export function decodingBytes(shape: Shape, batch: number, meanContext: number): number {
  const token = 2 * shape.num_hidden_layers * widths(shape).keyValue * BF16_BYTES;
  return BF16_BYTES * parameterCount(shape) + batch * meanContext * token;
}

/** The greatest rate that a device's maker gives. */
export interface Peak {
  /** Floating-point operations a second, dense bf16 products adding in f32. */
  readonly flops: number;
  readonly source: string;
}

const PEAKS: readonly (readonly [name: RegExp, peak: Peak])[] = [
  [/\bH200\b(?! NVL)/, { flops: 989e12, source: "NVIDIA H200 datasheet, SXM, without sparsity" }],
  [/\bH100 80GB HBM3\b/, { flops: 989e12, source: "NVIDIA H100 datasheet, SXM, without sparsity" }],
  [/\bA100\b/, { flops: 312e12, source: "NVIDIA A100 datasheet, without sparsity" }],
];

/** The peak of a device by the name that its driver gives; null for one whose peak is not written down here. */
export function peakOf(device: string): Peak | null {
  return PEAKS.find(([name]) => name.test(device))?.[1] ?? null;
}
