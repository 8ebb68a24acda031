//! What training takes of a device's memory, told before it begins.

use super::layer;
use super::lora::LoraShape;
use super::params::{Params, Spec};
use crate::config::ModelConfig;

/// Bytes that training takes beyond the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrainingMemory {
    /// Free on the device now.
    pub free: usize,
    /// Gradients and moments that are yet to be made.
    pub state: usize,
    /// A frozen copy of the weights.
    pub reference: usize,
    /// A forward and backward pass, whatever its tokens.
    pub pass: usize,
    /// Each token of a pass that keeps all that backward needs.
    pub token: usize,
    /// Each token of a pass that keeps the layers' inputs alone.
    pub recomputed_token: usize,
}

/// Bytes of an f32.
const F32: usize = size_of::<f32>();

/// Bytes of a token in a forward and backward pass, by the largest set of buffers that live at once: (keeping all,
/// keeping inputs). `element` is the bytes of an activation. Every token is taken to have a log-probability.
pub fn token_bytes(c: &ModelConfig, element: usize) -> (usize, usize) {
    let (width, inner) = (c.hidden_size, c.intermediate_size);
    let (queries, keys) = (c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim);
    let before_norms = if c.head_norms() { queries + keys } else { 0 };
    let input = F32 * width;
    // What a layer keeps: input, q, k, v, attended, log-sums, middle, gate, up.
    let kept = element * (2 * queries + 2 * keys + before_norms + 2 * inner) + F32 * c.num_heads + 2 * input;
    // Copies of the gates, their gradient, the norm's result, and the gradient of the stream, rounded.
    let mlp = element * (2 * inner + 2 * width) + F32 * inner;
    // The gradients of attention's result, of q, k and v, and of what the norm gave.
    let attention = element * (2 * queries + 2 * keys + width) + F32 * (queries + c.num_heads + width);
    // Hidden states of the head before and behind the last norm, and their gradients.
    let head = element * width + 3 * F32 * width;
    let stream = 2 * input + F32 * c.head_dim;
    let backward = stream + head.max(mlp).max(attention);
    (c.num_layers * kept + backward, c.num_layers * input + kept + backward)
}

/// Bytes that adapters add to a token in a forward and backward pass: of the matrix that takes the most, the gradient of
/// its dropped inputs, which are gone by then; and what lies between A and B, in full and rounded.
pub fn adapter_token_bytes(c: &ModelConfig, shape: &LoraShape, element: usize) -> usize {
    let inputs = layer::inputs(c);
    let widest = shape.targets.iter().map(|&target| inputs[target as usize]).max().unwrap_or(0);
    let dropped = if shape.dropout > 0.0 { F32 * widest } else { 0 };
    // Gradients between A and B of the three matrices that share their inputs wait for each other.
    dropped + shape.rank * (F32 + 4 * element)
}

/// Bytes of a frozen copy of the weights: matrices as products read them, the rest, and an embedding, as they are.
pub fn reference_bytes(c: &ModelConfig, specs: &Params<Spec>, element: usize) -> usize {
    let embedding = specs.embed.len();
    let matrices = |spec: &&Spec| spec.shape.len() == 2;
    let packed: usize = specs.iter().filter(matrices).map(Spec::len).sum::<usize>() - embedding;
    let plain: usize = specs.iter().filter(|s| !matrices(s)).map(Spec::len).sum::<usize>() + embedding;
    let tied = if c.tie_word_embeddings { embedding } else { 0 };
    element * (packed + tied) + F32 * plain
}
