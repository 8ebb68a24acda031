//! The operations that a device must offer. Everything above is written against [`Backend`] alone.
//!
//! Buffers are one-dimensional arrays on the device; matrices stand in them row by row. `rows` below counts
//! tokens. Every operation has a fixed summation order, and a row's result never depends on the other rows.

pub mod cpu;
#[cfg(not(target_family = "wasm"))]
pub mod cuda;
pub mod threads;

use crate::Result;
use crate::config::Rotary;
use crate::forest::Layout;
use crate::weights::StoredTensor;
use std::ops::Range;

pub use threads::{describe, set_threads};

/// A scalar that weights and results are made of.
pub trait Scalar: Copy + Default + Send + Sync + std::fmt::Debug + 'static {
    /// Rounds to this type.
    fn from_f64(x: f64) -> Self;
    /// Exact.
    fn to_f64(self) -> f64;
}

impl Scalar for f32 {
    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Scalar for f64 {
    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
}

/// What matrix products read: activations and weights are rounded to it, and sums are f32 always. Weights, gradients
/// and the optimizer's state are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Nothing is rounded.
    #[default]
    F32,
    /// bfloat16. Norms, softmaxes and the residual stream stay f32.
    Bf16,
}

/// What matrix products read where there are forward passes alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InferencePrecision {
    /// As a trained model's.
    Trained(Precision),
    /// Integers of 8 bits, or as few as the model's file has, with scales for runs of them. Activations are rounded to
    /// 8 bits run by run. The embedding, norms, softmaxes and the residual stream stay f32.
    Int8,
}

impl From<Precision> for InferencePrecision {
    fn from(precision: Precision) -> Self {
        InferencePrecision::Trained(precision)
    }
}

impl InferencePrecision {
    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            InferencePrecision::Trained(Precision::F32) => "f32",
            InferencePrecision::Trained(Precision::Bf16) => "bf16",
            InferencePrecision::Int8 => "int8",
        }
    }
}

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
    /// The weight loses `learning_rate · weight_decay` of itself.
    pub weight_decay: f64,
    /// Multiplies the gradient first: the clipping factor.
    pub gradient_scale: f64,
    /// Steps taken, this one included.
    pub step: u64,
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

/// Sequences of a decode batch that share a chain of prompt segments.
#[derive(Debug)]
pub struct DecodeGroup<'a, B: Backend> {
    /// Keys and values of the shared segments, root first.
    pub shared: Vec<&'a B::Cache>,
    /// Each sequence's row in the batch and its own keys and values.
    pub own: Vec<(usize, &'a B::Cache)>,
}

/// Rows of a pass that go on from keys and values of earlier passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its rows in the pass.
    pub rows: Range<usize>,
    /// Indexes of the caches before its own on its path, root first.
    pub ancestors: Vec<usize>,
    /// Index of the cache that its keys and values are appended to; no two pieces of a pass have the same.
    pub own: usize,
}

/// A device.
pub trait Backend: Clone + Send + Sync + 'static {
    /// What buffers hold.
    type Scalar: Scalar;
    /// An array of scalars on the device: weights, gradients, the residual stream.
    type Buffer: Send + Sync;
    /// Activations, which may be narrower: what products with weights read, and most of what a tape keeps.
    type Activation: Send + Sync;
    /// A weight in the layout that products with few rows like best.
    type Packed: Send + Sync;
    /// Keys and values of a segment in one layer.
    type Cache: Send + Sync;
    /// Sines and cosines of rows' positions.
    type Rotations: Send + Sync;

    /// A buffer of zeros.
    fn zeros(&self, n: usize) -> Self::Buffer;
    /// A buffer that will be written before it is read.
    fn unspecified(&self, n: usize) -> Self::Buffer;
    /// Copies to the device.
    fn upload(&self, host: &[Self::Scalar]) -> Self::Buffer;
    /// Copies from the device.
    fn download(&self, buffer: &Self::Buffer) -> Vec<Self::Scalar>;
    /// Activations that will be written before they are read.
    fn activation(&self, n: usize) -> Self::Activation;
    /// Copies on the device.
    fn duplicate_activation(&self, x: &Self::Activation) -> Self::Activation;
    /// Rounds to activations; a copy where they are scalars.
    fn round(&self, x: &Self::Buffer) -> Self::Activation;
    /// Copies on the device.
    fn duplicate(&self, buffer: &Self::Buffer) -> Self::Buffer;
    /// Sets every element to zero.
    fn clear(&self, buffer: &mut Self::Buffer);
    /// to += from
    fn add(&self, from: &Self::Buffer, to: &mut Self::Buffer);

    /// out\[i\] = table\[tokens\[i\]\]: the embedding.
    fn embed(&self, table: Matrix<Self>, tokens: &[u32], width: usize, out: &mut Self::Buffer);
    /// out\[i\] = table\[rows\[i\]\]: the choice of hidden states.
    fn gather(&self, table: &Self::Buffer, rows: &[u32], width: usize, out: &mut Self::Buffer);
    /// d_table\[rows\[i\]\] += d_out\[i\], in ascending order of i.
    fn scatter_add(&self, d_out: &Self::Buffer, rows: &[u32], width: usize, d_table: &mut Self::Buffer);

    /// y = x · rstd · weight with rstd = 1/√(mean(x²) + epsilon) (Zhang & Sennrich 2019, equation 4).
    fn rms_norm(
        &self,
        x: &Self::Buffer,
        weight: &Self::Buffer,
        epsilon: f64,
        y: &mut Self::Activation,
        rstd: &mut Self::Buffer,
    );
    /// d_x +=, d_weight +=
    fn rms_norm_backward(
        &self,
        x: &Self::Buffer,
        weight: &Self::Buffer,
        rstd: &Self::Buffer,
        d_y: &Self::Buffer,
        d_x: &mut Self::Buffer,
        d_weight: &mut Self::Buffer,
    );

    /// y (rows × out) = x (rows × inputs) · weightᵀ for several weights, each out × inputs. Weights are rounded as
    /// activations are; sums are in full and rounded once. A packed weight gives the bits of a plain one.
    fn linears<const N: usize>(
        &self,
        x: &Self::Activation,
        weights: [Matrix<Self>; N],
        inputs: usize,
        ys: [&mut Self::Activation; N],
    );
    /// As [`Backend::linears`] of one weight, the sums kept or added in full.
    fn linear_into(
        &self,
        x: &Self::Activation,
        weight: Matrix<Self>,
        inputs: usize,
        y: &mut Self::Buffer,
        store: Store,
    );
    /// d_x = or += d_y · weight
    fn linear_dx(
        &self,
        d_y: &Self::Activation,
        weight: &Self::Buffer,
        inputs: usize,
        d_x: &mut Self::Buffer,
        store: Store,
    );
    /// d_weight += d_yᵀ · x
    fn linear_dw(
        &self,
        x: &Self::Activation,
        d_y: &Self::Activation,
        inputs: usize,
        d_weight: &mut Self::Buffer,
    );
    /// Lays a weight out for products with few rows.
    fn pack(&self, weight: &Self::Buffer, inputs: usize) -> Self::Packed;
    /// Lays a matrix of a file out for products; one that is quantised stays so.
    ///
    /// # Errors
    /// [`crate::Error::Format`] for a value that is not finite.
    fn pack_stored(&self, weight: &StoredTensor) -> Result<Self::Packed>;

    /// y += bias, in each row
    fn add_bias(&self, bias: &Self::Buffer, y: &mut Self::Activation);
    /// As [`Backend::add_bias`], on sums in full.
    fn add_bias_into(&self, bias: &Self::Buffer, y: &mut Self::Buffer);
    /// d_bias += Σ d_y over the rows, in ascending order
    fn bias_backward(&self, d_y: &Self::Activation, d_bias: &mut Self::Buffer);

    /// As [`Backend::rms_norm`], on activations: each head is a row.
    fn head_norm(
        &self,
        x: &Self::Activation,
        weight: &Self::Buffer,
        epsilon: f64,
        y: &mut Self::Activation,
        rstd: &mut Self::Buffer,
    );
    /// Turns dL/dy in `d` into dL/dx; d_weight +=
    fn head_norm_backward(
        &self,
        x: &Self::Activation,
        weight: &Self::Buffer,
        rstd: &Self::Buffer,
        d: &mut Self::Activation,
        d_weight: &mut Self::Buffer,
    );

    /// Of each row's position · frequency, scaled.
    fn rotations(&self, positions: &[u32], rotary: &Rotary) -> Self::Rotations;
    /// Rotates each head's halves in place by position · frequency and scales them (Su et al. 2021, equation 34;
    /// Hugging Face's pairing of element i with i + head_dim/2). `transposed` is the backward pass: it rotates back,
    /// and scales too.
    fn rope(&self, x: &mut Self::Activation, rotations: &Self::Rotations, heads: usize, transposed: bool);

    /// out = silu(gate) · up (Shazeer 2020, equation 6)
    fn swiglu(&self, gate: &Self::Activation, up: &Self::Activation, out: &mut Self::Activation);
    /// Replaces gate and up by their gradients.
    fn swiglu_backward(&self, gate: &mut Self::Activation, up: &mut Self::Activation, d_out: &Self::Buffer);

    /// Causal attention over a forest. `log_sums` gets log Σ exp of the scaled scores, rows × heads. Gives each
    /// segment's keys and values in the layout that [`Backend::attention_decode`] reads.
    fn attention(
        &self,
        qkv: [&Self::Activation; 3],
        layout: &Layout,
        heads: Heads,
        out: &mut Self::Activation,
        log_sums: &mut Self::Buffer,
    ) -> Vec<Self::Cache>;
    /// Fills d_q, d_k, d_v.
    #[allow(clippy::too_many_arguments)]
    fn attention_backward(
        &self,
        qkv: [&Self::Activation; 3],
        out: &Self::Activation,
        log_sums: &Self::Buffer,
        d_out: &Self::Buffer,
        layout: &Layout,
        heads: Heads,
        d_qkv: [&mut Self::Activation; 3],
    );
    /// Keys and values of a sequence that has none yet, with room for so many tokens.
    fn empty_cache(&self, heads: Heads, tokens: usize) -> Self::Cache;
    /// Bytes that a cache with room for so many tokens holds.
    fn cache_bytes(&self, heads: Heads, tokens: usize) -> usize;
    /// Appends a row of keys and a row of values of the batch to a cache.
    fn append(
        &self,
        k: &Self::Activation,
        v: &Self::Activation,
        row: usize,
        heads: Heads,
        cache: &mut Self::Cache,
    );
    /// Appends each piece's keys and values to its cache; then attention of its rows over its path, which is whole
    /// by then. The bits of [`Backend::attention`].
    fn attention_extend(
        &self,
        qkv: [&Self::Activation; 3],
        pieces: &[Piece],
        heads: Heads,
        caches: &mut [&mut Self::Cache],
        out: &mut Self::Activation,
    );
    /// Attention of one new token a sequence, whose own key and value have been appended; the bits of
    /// [`Backend::attention`].
    fn attention_decode(
        &self,
        q: &Self::Activation,
        groups: &[DecodeGroup<Self>],
        heads: Heads,
        out: &mut Self::Activation,
    );

    /// Log-probabilities, entropies and log-sums of the targets, chunked over the vocabulary: logits never exist
    /// whole.
    fn vocab_forward(
        &self,
        hidden: &Self::Activation,
        weight: Matrix<Self>,
        targets: &[u32],
        head: VocabHead,
    ) -> VocabRows<Self::Scalar>;
    /// d_hidden +=, d_weight += for the given dL/dlogprob and dL/dentropy of each row.
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
        d_weight: &mut Self::Buffer,
    );
    /// Draws one token from each row of raw logits (rows × vocab). The log-probabilities have the bits of
    /// [`Backend::vocab_forward`].
    fn sample(&self, logits: &Self::Buffer, rows: &[SampleRow]) -> Vec<Sampled>;

    /// Σ x² in f64.
    fn sum_squares(&self, x: &Self::Buffer) -> f64;
    /// Updates a weight and its moments.
    fn adamw(
        &self,
        step: &AdamWStep,
        weight: &mut Self::Buffer,
        gradient: &Self::Buffer,
        first: &mut Self::Buffer,
        second: &mut Self::Buffer,
    );
}

/// Splits `0..n` into chunks of `size`.
pub(crate) fn chunks(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(size).map(move |start| start..(start + size).min(n))
}
