/**
 * Shapes of published models, for random weights.
 *
 * @module
 */

/** Classes by `model_type`. */
const CLASSES = { llama: "LlamaForCausalLM", qwen2: "Qwen2ForCausalLM" };

/** What counts of operations and bytes are made of. */
export interface Shape {
  readonly model_type: keyof typeof CLASSES;
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly rope_theta: number;
}

/** SmolLM2-135M (Allal et al. 2025, arXiv:2502.02737); Qwen2.5-0.5B and -1.5B (Qwen Team 2024, arXiv:2412.15115). */
const SHAPES: ReadonlyMap<string, Shape> = new Map([
  ["135M", {
    model_type: "llama",
    vocab_size: 49152,
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    rope_theta: 100_000,
  }],
  ["0.5B", {
    model_type: "qwen2",
    vocab_size: 151_936,
    hidden_size: 896,
    intermediate_size: 4864,
    num_hidden_layers: 24,
    num_attention_heads: 14,
    num_key_value_heads: 2,
    rope_theta: 1_000_000,
  }],
  ["1.5B", {
    model_type: "qwen2",
    vocab_size: 151_936,
    hidden_size: 1536,
    intermediate_size: 8960,
    num_hidden_layers: 28,
    num_attention_heads: 12,
    num_key_value_heads: 2,
    rope_theta: 1_000_000,
  }],
  // No model's: for trials of what measures the others.
  ["tiny", {
    model_type: "qwen2",
    vocab_size: 1024,
    hidden_size: 64,
    intermediate_size: 128,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    rope_theta: 1_000_000,
  }],
]);

/**
 * A shape by its name.
 *
 * @throws {RangeError} There is no such shape.
 */
export function shapeOf(name: string): Shape {
  const shape = SHAPES.get(name);
  if (shape !== undefined) return shape;
  const known = [...SHAPES.keys()].map((each) => `"${each}"`).join(", ");
  throw new RangeError(`No shape "${name}", expected ${known}`);
}

/**
 * The `config.json` of a shape.
 *
 * @throws {RangeError} There is no such shape.
 */
export function shapeConfig(name: string): Record<string, unknown> {
  const shape = shapeOf(name);
  return {
    architectures: [CLASSES[shape.model_type]],
    ...shape,
    head_dim: shape.hidden_size / shape.num_attention_heads,
    hidden_act: "silu",
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: true,
    bos_token_id: null,
    eos_token_id: 0,
    pad_token_id: 0,
  };
}
