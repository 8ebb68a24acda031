//! The operations that a device must offer. Everything above is written against [`Backend`] alone.
//!
//! Buffers are one-dimensional arrays on the device; matrices stand in them row by row. `rows` below counts
//! tokens. Every operation has a fixed summation order, and a row's result never depends on the other rows.

pub mod cpu;
#[cfg(not(target_family = "wasm"))]
pub mod cuda;
mod device;
#[cfg(any(test, target_family = "wasm"))]
pub mod lent_threads;
mod mask;
mod precision;
pub mod threads;

use crate::Result;
use crate::config::Rotary;
use crate::forest::Layout;
use crate::weights::StoredTensor;
use std::borrow::Cow;
use std::ops::Range;

pub(crate) use device::Found;
pub use device::{Arithmetic, Device, Place};
pub use mask::Mask;
pub use precision::{InferencePrecision, Precision, Scalar};
pub use threads::set_threads;

/// Heads of an attention layer. A row of queries holds `heads · head_dim` elements, a row of keys or values
/// `kv_heads · head_dim`; query head h reads key head h / (heads / kv_heads).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
}

impl Heads {
    /// Query heads that read one key head.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}

/// What an operation does with its result's former content.
pub use cpu::gemm::Store;

/// Width and options of the vocabulary head.
#[derive(Debug, Clone, Copy)]
pub struct VocabHead {
    /// Width of a hidden state.
    pub width: usize,
    /// Rows of the head's weight.
    pub vocab: usize,
    /// Divides the logits.
    pub temperature: f64,
}

/// What the vocabulary head gives for each row.
#[derive(Debug, Clone, Default)]
pub struct VocabRows<T> {
    /// Log-probability of the row's target.
    pub logprobs: Vec<T>,
    /// Entropy of the row's distribution, in nats.
    pub entropies: Vec<T>,
    /// log Σ exp of the row's scaled logits.
    pub log_sums: Vec<T>,
}

/// How one row of logits is sampled.
#[derive(Debug, Clone, Copy)]
pub struct SampleRow<'a> {
    /// Divides the logits; 0 takes the largest (ties: the lowest id).
    pub temperature: f64,
    /// Keep the k most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set whose mass reaches p; 1 keeps all.
    pub top_p: f64,
    /// Keep the tokens that are at least this times as likely as the likeliest; 0 keeps all.
    pub min_p: f64,
    /// Added to these tokens' logits before the temperature, for the draw alone; −∞ is never drawn.
    pub bias: &'a [(u32, f32)],
    /// Never drawn.
    pub banned: &'a [u32],
    /// Uniform in \[0, 1).
    pub draw: f64,
}

/// A drawn token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampled {
    /// Its id.
    pub token: u32,
    /// Its log-probability under the whole vocabulary at the row's temperature, at 1 for the largest.
    pub logprob: f32,
}

/// One step of AdamW with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2).
#[derive(Debug, Clone, Copy)]
pub struct AdamWStep {
    /// Step size.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// A tensor that decays loses `learning_rate · weight_decay` of itself.
    pub weight_decay: f64,
    /// Multiplies the gradient first: the clipping factor.
    pub gradient_scale: f64,
    /// Steps taken, this one included.
    pub step: u64,
}

/// A tensor that an optimizer step changes.
pub struct Updated<'a, B: Backend> {
    /// Its values.
    pub weight: &'a mut B::Buffer,
    /// Its accumulated gradient.
    pub gradient: &'a B::Buffer,
    /// First moment.
    pub first: &'a mut B::Buffer,
    /// Second moment.
    pub second: &'a mut B::Buffer,
    /// Whether [`AdamWStep::weight_decay`] is its.
    pub decays: bool,
}

/// A weight (out × inputs) as products read it.
pub enum Matrix<'a, B: Backend> {
    /// As it is stored.
    Plain(&'a B::Buffer),
    /// As [`Backend::pack`] gives it.
    Packed(&'a B::Packed),
}

impl<B: Backend> Clone for Matrix<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Matrix<'_, B> {}

/// Rows of a pass that go on from keys and values of earlier passes. A sequence that decodes is a piece of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its rows in the pass.
    pub rows: Range<usize>,
    /// Indexes of the caches before its own on its path, root first.
    pub ancestors: Vec<usize>,
    /// Index of the cache that its keys and values are appended to; no two pieces of a pass have the same.
    pub own: usize,
}

/// A device. What an operation returns as an error is the device's own failure, such as memory that it does not have;
/// shapes that do not fit are faults of the caller and panic.
pub trait Backend: Clone + Send + Sync + 'static {
    /// What buffers hold.
    type Scalar: Scalar;
    /// An array of scalars on the device: weights, gradients, the residual stream.
    type Buffer: Send + Sync;
    /// Activations, which may be narrower: what products with weights read, and most of what a tape keeps.
    type Activation: Send + Sync;
    /// An array of u32 on the device: tokens, rows, positions.
    type Indices: Send + Sync;
    /// A weight in the layout that products with few rows like best.
    type Packed: Send + Sync;
    /// The memory that the caches of one generation come from.
    type KeyValues: Send + Sync;
    /// Keys and values of a segment in all layers.
    type Cache: Send + Sync;
    /// What a pass over caches tells the device once for all its layers.
    type Plan: Send + Sync + Default;
    /// Work that the device can do again by itself.
    type Recording: Send + Sync;
    /// Sines and cosines of rows' positions.
    type Rotations: Send + Sync;
    /// Who attends to whom in a forest, for all layers of a pass.
    type Paths: Send + Sync;

    /// Whether products with few rows gain from [`Backend::pack`].
    const PACKS: bool;

    /// The device in words, and what it multiplies.
    fn describe(&self, precision: InferencePrecision) -> String;
    /// Whether a row's results have the same bits whatever the other rows are, so that the sampler's log-probabilities
    /// are those of a forward pass.
    fn is_exact(&self) -> bool;
    /// Runs work on the threads that operations of this device are called from.
    fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R;

    /// A buffer of zeros.
    fn zeros(&self, n: usize) -> Result<Self::Buffer>;
    /// A buffer that will be written before it is read.
    fn unspecified(&self, n: usize) -> Result<Self::Buffer>;
    /// Copies to the device.
    fn upload(&self, host: &[Self::Scalar]) -> Result<Self::Buffer>;
    /// Takes tensors to the device together, in order; they are laid out as [`Backend::zeros_like`] of them.
    fn upload_all(&self, host: Vec<Vec<Self::Scalar>>) -> Result<Vec<Self::Buffer>>;
    /// As [`Backend::upload_all`], of all weights of a model that is trained: products read them, and
    /// [`Backend::adamw`] changes them.
    fn parameters(&self, host: Vec<Vec<Self::Scalar>>) -> Result<Vec<Self::Buffer>>;
    /// Zeros as many as each of the tensors has: gradients and moments of a model's parameters.
    fn zeros_like(&self, tensors: &[&Self::Buffer]) -> Result<Vec<Self::Buffer>>;
    /// The values on the host, copied from the device where they are not.
    fn download<'a>(&self, buffer: &'a Self::Buffer) -> Result<Cow<'a, [Self::Scalar]>>;
    /// Copies to the device.
    fn indices(&self, host: &[u32]) -> Result<Self::Indices>;
    /// Copies to the device over as many that are there.
    fn set_indices(&self, host: &[u32], to: &mut Self::Indices) -> Result<()>;
    /// Activations that will be written before they are read.
    fn activation(&self, n: usize) -> Result<Self::Activation>;
    /// Copies on the device.
    fn duplicate_activation(&self, x: &Self::Activation) -> Result<Self::Activation>;
    /// x · factor, rounded to activations.
    fn round(&self, x: &Self::Buffer, factor: f64) -> Result<Self::Activation>;
    /// Copies on the device.
    fn duplicate(&self, buffer: &Self::Buffer) -> Result<Self::Buffer>;
    /// to = from
    fn copy(&self, from: &Self::Buffer, to: &mut Self::Buffer) -> Result<()>;

    /// out\[i\] = table\[tokens\[i\]\]: the embedding.
    fn embed(
        &self,
        table: Matrix<Self>,
        tokens: &Self::Indices,
        width: usize,
        out: &mut Self::Buffer,
    ) -> Result<()>;
    /// out\[i\] = table\[rows\[i\]\]: the choice of hidden states.
    fn gather(
        &self,
        table: &Self::Buffer,
        rows: &Self::Indices,
        width: usize,
        out: &mut Self::Buffer,
    ) -> Result<()>;
    /// d_table\[rows\[i\]\] += d_out\[i\], in ascending order of i.
    fn scatter_add(
        &self,
        d_out: &Self::Buffer,
        rows: &[u32],
        width: usize,
        d_table: &mut Self::Buffer,
    ) -> Result<()>;

    /// y = x · rstd · weight with rstd = 1/√(mean(x²) + epsilon) (Zhang & Sennrich 2019, equation 4).
    fn rms_norm(
        &self,
        x: &Self::Buffer,
        weight: &Self::Buffer,
        epsilon: f64,
        y: &mut Self::Activation,
        rstd: &mut Self::Buffer,
    ) -> Result<()>;
    /// d_x +=, d_weight += unless the weight is frozen
    fn rms_norm_backward(
        &self,
        x: &Self::Buffer,
        weight: &Self::Buffer,
        rstd: &Self::Buffer,
        d_y: &Self::Buffer,
        d_x: &mut Self::Buffer,
        d_weight: Option<&mut Self::Buffer>,
    ) -> Result<()>;

    /// y (rows × out) = or += x (rows × inputs) · weightᵀ for several weights, each out × inputs. Weights are rounded as
    /// activations are; sums are in full and rounded once. A packed weight gives the bits of a plain one.
    fn linears<const N: usize>(
        &self,
        x: &Self::Activation,
        weights: [Matrix<Self>; N],
        inputs: usize,
        ys: [&mut Self::Activation; N],
        store: Store,
    ) -> Result<()>;
    /// As [`Backend::linears`] of one weight, the sums kept or added in full.
    fn linear_into(
        &self,
        x: &Self::Activation,
        weight: Matrix<Self>,
        inputs: usize,
        y: &mut Self::Buffer,
        store: Store,
    ) -> Result<()>;
    /// d_x = or += d_y · weight
    fn linear_dx(
        &self,
        d_y: &Self::Activation,
        weight: &Self::Buffer,
        inputs: usize,
        d_x: &mut Self::Buffer,
        store: Store,
    ) -> Result<()>;
    /// d_weight += d_yᵀ · x
    fn linear_dw(
        &self,
        x: &Self::Activation,
        d_y: &Self::Activation,
        inputs: usize,
        d_weight: &mut Self::Buffer,
    ) -> Result<()>;
    /// Lays a weight out for products with few rows.
    fn pack(&self, weight: &Self::Buffer, inputs: usize) -> Result<Self::Packed>;
    /// Lays a matrix of a file out for products; one that is quantised stays so.
    ///
    /// # Errors
    /// [`crate::Error::Format`] for a value that is not finite.
    fn pack_stored(&self, weight: &StoredTensor) -> Result<Self::Packed>;

    /// y += bias, in each row
    fn add_bias(&self, bias: &Self::Buffer, y: &mut Self::Activation) -> Result<()>;
    /// As [`Backend::add_bias`], on sums in full.
    fn add_bias_into(&self, bias: &Self::Buffer, y: &mut Self::Buffer) -> Result<()>;
    /// d_bias += Σ d_y over the rows, in ascending order
    fn bias_backward(&self, d_y: &Self::Activation, d_bias: &mut Self::Buffer) -> Result<()>;

    /// As [`Backend::rms_norm`], on activations: each head is a row.
    fn head_norm(
        &self,
        x: &Self::Activation,
        weight: &Self::Buffer,
        epsilon: f64,
        y: &mut Self::Activation,
        rstd: &mut Self::Buffer,
    ) -> Result<()>;
    /// Turns dL/dy in `d` into dL/dx; d_weight += unless the weight is frozen
    fn head_norm_backward(
        &self,
        x: &Self::Activation,
        weight: &Self::Buffer,
        rstd: &Self::Buffer,
        d: &mut Self::Activation,
        d_weight: Option<&mut Self::Buffer>,
    ) -> Result<()>;

    /// x / (1 − rate) where the mask keeps, and zeros elsewhere (Srivastava et al. 2014, section 10).
    fn dropout(&self, x: &Self::Activation, mask: &Mask) -> Result<Self::Activation>;
    /// d_x += d / (1 − rate) where the mask keeps
    fn dropout_backward(&self, d: &Self::Buffer, mask: &Mask, d_x: &mut Self::Buffer) -> Result<()>;

    /// Of each row's position · frequency, scaled.
    fn rotations(&self, positions: &Self::Indices, rotary: &Rotary) -> Result<Self::Rotations>;
    /// Rotates each head's halves in place by position · frequency and scales them (Su et al. 2021, equation 34;
    /// Hugging Face's pairing of element i with i + head_dim/2). `transposed` is the backward pass: it rotates back,
    /// and scales too.
    fn rope(
        &self,
        x: &mut Self::Activation,
        rotations: &Self::Rotations,
        heads: usize,
        transposed: bool,
    ) -> Result<()>;

    /// out = silu(gate) · up (Shazeer 2020, equation 6)
    fn swiglu(
        &self,
        gate: &Self::Activation,
        up: &Self::Activation,
        out: &mut Self::Activation,
    ) -> Result<()>;
    /// Replaces gate and up by their gradients.
    fn swiglu_backward(
        &self,
        gate: &mut Self::Activation,
        up: &mut Self::Activation,
        d_out: &Self::Buffer,
    ) -> Result<()>;

    /// Tells the device of a forest.
    fn paths(&self, layout: Layout, heads: Heads) -> Result<Self::Paths>;
    /// Causal attention over a forest. `log_sums` gets log Σ exp of the scaled scores, rows × heads.
    fn attention(
        &self,
        qkv: [&Self::Activation; 3],
        paths: &Self::Paths,
        heads: Heads,
        out: &mut Self::Activation,
        log_sums: &mut Self::Buffer,
    ) -> Result<()>;
    /// Fills d_q, d_k, d_v.
    #[allow(clippy::too_many_arguments)]
    fn attention_backward(
        &self,
        qkv: [&Self::Activation; 3],
        out: &Self::Activation,
        log_sums: &Self::Buffer,
        d_out: &Self::Buffer,
        paths: &Self::Paths,
        heads: Heads,
        d_qkv: [&mut Self::Activation; 3],
    ) -> Result<()>;
    /// Bytes of the device's memory that nothing uses.
    fn free_memory(&self) -> Result<usize>;
    /// Bytes of an activation.
    fn activation_bytes(&self) -> usize;
    /// Bytes that a pass over the vocabulary takes, however many its rows are.
    fn vocab_bytes(&self, vocab: usize) -> usize;
    /// Memory for at most so many bytes of caches.
    fn key_values(&self, layers: usize, heads: Heads, bytes: usize) -> Result<Self::KeyValues>;
    /// Keys and values of a segment that has none yet, with room for so many tokens.
    fn empty_cache(
        &self,
        memory: &Self::KeyValues,
        layers: usize,
        heads: Heads,
        tokens: usize,
    ) -> Result<Self::Cache>;
    /// Bytes that a cache with room for so many tokens takes of its memory.
    fn cache_bytes(&self, layers: usize, heads: Heads, tokens: usize) -> usize;
    /// Plans a pass and reserves the places in the pieces' caches that its rows will be appended to. The plan is made
    /// anew; whatever it was before may be of use to the device.
    fn plan(&self, pieces: &[Piece], caches: &mut [&mut Self::Cache], plan: &mut Self::Plan) -> Result<()>;
    /// Appends each planned piece's keys and values in this layer; then attention of its rows over its path, which is
    /// whole by then. The bits of [`Backend::attention`]. Results of rows of no piece mean nothing.
    fn attention_extend(
        &self,
        qkv: [&Self::Activation; 3],
        plan: &Self::Plan,
        layer: usize,
        heads: Heads,
        caches: &mut [&mut Self::Cache],
        out: &mut Self::Activation,
    ) -> Result<()>;
    /// Rows of the recorded passes that a pass with so many is padded to.
    fn bucket(&self, rows: usize) -> usize;
    /// Does the work, or what a recording of it did: the work reads and writes the same buffers each time.
    fn replay(
        &self,
        recording: &mut Option<Self::Recording>,
        work: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()>;

    /// Log-probabilities, entropies and log-sums of the targets, chunked over the vocabulary: logits never exist
    /// whole.
    fn vocab_forward(
        &self,
        hidden: &Self::Activation,
        weight: Matrix<Self>,
        targets: &[u32],
        head: VocabHead,
    ) -> Result<VocabRows<Self::Scalar>>;
    /// d_hidden +=, d_weight += unless the weight is frozen, for the given dL/dlogprob and dL/dentropy of each row.
    #[allow(clippy::too_many_arguments)]
    fn vocab_backward(
        &self,
        hidden: &Self::Activation,
        weight: &Self::Buffer,
        targets: &[u32],
        head: VocabHead,
        forward: &VocabRows<Self::Scalar>,
        coefficients: (&[Self::Scalar], &[Self::Scalar]),
        d_hidden: &mut Self::Buffer,
        d_weight: Option<&mut Self::Buffer>,
    ) -> Result<()>;
    /// Draws one token from each row of raw logits (rows × vocab). The log-probabilities have the bits of
    /// [`Backend::vocab_forward`].
    fn sample(&self, logits: &Self::Buffer, rows: &[SampleRow]) -> Result<Vec<Sampled>>;

    /// Σ x² of all tensors in f64, added in order.
    fn sum_squares(&self, tensors: &[&Self::Buffer]) -> Result<f64>;
    /// Updates a model's parameters and their moments.
    fn adamw(&self, step: &AdamWStep, tensors: Vec<Updated<Self>>) -> Result<()>;
}

/// Splits `0..n` into chunks of `size`.
pub(crate) fn chunks(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(size).map(move |start| start..(start + size).min(n))
}
