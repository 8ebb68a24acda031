//! The CPU backend: own kernels over plain vectors, generic over `f32` and `f64`.

pub mod attention;
mod attention_backward;
pub mod gemm;
#[cfg(test)]
mod gradient_checks;
pub mod isa;
pub mod kernel;
pub mod pool;
pub mod real;
mod rowwise;
mod sample;
mod vocab;

use super::{AdamWStep, Backend, DecodeGroup, Heads, Piece, SampleRow, Sampled, Store, VocabHead, VocabRows};
use crate::forest::Layout;
use gemm::{Packed, Right, View, gemm_parallel};
use pool::Buffer;
use real::Real;
use std::marker::PhantomData;

/// The processor. `Cpu<f32>` does the work; `Cpu<f64>` runs the same code for gradient checks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu<F>(PhantomData<F>);

impl<F> Cpu<F> {
    /// The processor.
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<F: Real> Backend for Cpu<F> {
    type Scalar = F;
    type Buffer = Buffer<F>;
    type Packed = Packed<F>;
    type Cache = attention::Cache<F>;

    fn zeros(&self, n: usize) -> Buffer<F> {
        Buffer::zeros(n)
    }

    fn unspecified(&self, n: usize) -> Buffer<F> {
        Buffer::unspecified(n)
    }

    fn upload(&self, host: &[F]) -> Buffer<F> {
        host.to_vec().into()
    }

    fn download(&self, buffer: &Buffer<F>) -> Vec<F> {
        buffer.to_vec()
    }

    fn duplicate(&self, buffer: &Buffer<F>) -> Buffer<F> {
        buffer.clone()
    }

    fn clear(&self, buffer: &mut Buffer<F>) {
        buffer.fill(F::ZERO);
    }

    fn add(&self, from: &Buffer<F>, to: &mut Buffer<F>) {
        rowwise::add_parallel(from, to);
    }

    fn gather(&self, table: &Buffer<F>, rows: &[u32], width: usize, out: &mut Buffer<F>) {
        rowwise::gather(table, rows, width, out);
    }

    fn scatter_add(&self, d_out: &Buffer<F>, rows: &[u32], width: usize, d_table: &mut Buffer<F>) {
        rowwise::scatter_add(d_out, rows, width, d_table);
    }

    fn rms_norm(
        &self,
        x: &Buffer<F>,
        weight: &Buffer<F>,
        epsilon: f64,
        y: &mut Buffer<F>,
        rstd: &mut Buffer<F>,
    ) {
        rowwise::rms_norm(x, weight, epsilon, y, rstd);
    }

    fn rms_norm_backward(
        &self,
        x: &Buffer<F>,
        weight: &Buffer<F>,
        rstd: &Buffer<F>,
        d_y: &Buffer<F>,
        d_x: &mut Buffer<F>,
        d_weight: &mut Buffer<F>,
    ) {
        rowwise::rms_norm_backward(x, weight, rstd, d_y, d_x, d_weight);
    }

    fn linear(&self, x: &Buffer<F>, weight: &Buffer<F>, inputs: usize, y: &mut Buffer<F>, store: Store) {
        let (rows, outputs) = (x.len() / inputs, weight.len() / inputs);
        let right = Right::View(View::columns(weight, inputs));
        gemm_parallel((rows, outputs, inputs), View::rows(x, inputs), right, y, outputs, store);
    }

    fn linear_dx(
        &self,
        d_y: &Buffer<F>,
        weight: &Buffer<F>,
        inputs: usize,
        d_x: &mut Buffer<F>,
        store: Store,
    ) {
        let (rows, outputs) = (d_x.len() / inputs, weight.len() / inputs);
        let right = Right::View(View::rows(weight, inputs));
        gemm_parallel((rows, inputs, outputs), View::rows(d_y, outputs), right, d_x, inputs, store);
    }

    fn linear_dw(&self, x: &Buffer<F>, d_y: &Buffer<F>, inputs: usize, d_weight: &mut Buffer<F>) {
        let (rows, outputs) = (x.len() / inputs, d_weight.len() / inputs);
        let right = Right::View(View::rows(x, inputs));
        gemm_parallel(
            (outputs, inputs, rows),
            View::columns(d_y, outputs),
            right,
            d_weight,
            inputs,
            Store::Add,
        );
    }

    fn pack(&self, weight: &Buffer<F>, inputs: usize) -> Packed<F> {
        Packed::new_parallel(View::columns(weight, inputs), inputs, weight.len() / inputs)
    }

    fn linear_packed(
        &self,
        x: &Buffer<F>,
        weight: &Packed<F>,
        inputs: usize,
        y: &mut Buffer<F>,
        store: Store,
    ) {
        let shape = (x.len() / inputs, weight.n, inputs);
        gemm_parallel(shape, View::rows(x, inputs), Right::Packed(weight, 0), y, weight.n, store);
    }

    fn rope(
        &self,
        x: &mut Buffer<F>,
        positions: &[u32],
        heads: usize,
        head_dim: usize,
        theta: f64,
        inverse: bool,
    ) {
        rowwise::rope(x, positions, heads * head_dim, head_dim, theta, inverse);
    }

    fn swiglu(&self, gate: &Buffer<F>, up: &Buffer<F>, out: &mut Buffer<F>) {
        rowwise::swiglu(gate, up, out);
    }

    fn swiglu_backward(&self, gate: &mut Buffer<F>, up: &mut Buffer<F>, d_out: &Buffer<F>) {
        rowwise::swiglu_backward(gate, up, d_out);
    }

    fn attention(
        &self,
        qkv: [&Buffer<F>; 3],
        layout: &Layout,
        heads: Heads,
        out: &mut Buffer<F>,
        log_sums: &mut Buffer<F>,
    ) -> Vec<Self::Cache> {
        attention::forward(qkv.map(|b| &b[..]), layout, heads, out, log_sums)
    }

    fn attention_backward(
        &self,
        qkv: [&Buffer<F>; 3],
        out: &Buffer<F>,
        log_sums: &Buffer<F>,
        d_out: &Buffer<F>,
        layout: &Layout,
        heads: Heads,
        d_qkv: [&mut Buffer<F>; 3],
    ) {
        let d_qkv = d_qkv.map(|b| &mut b[..]);
        attention_backward::backward(qkv.map(|b| &b[..]), out, log_sums, d_out, layout, heads, d_qkv);
    }

    fn empty_cache(&self, heads: Heads, tokens: usize) -> Self::Cache {
        attention::empty_cache(heads, tokens)
    }

    fn cache_bytes(&self, heads: Heads, tokens: usize) -> usize {
        attention::cache_bytes::<F>(heads, tokens)
    }

    fn append(&self, k: &Buffer<F>, v: &Buffer<F>, row: usize, heads: Heads, cache: &mut Self::Cache) {
        attention::append(k, v, row, heads, cache);
    }

    fn attention_extend(
        &self,
        qkv: [&Buffer<F>; 3],
        pieces: &[Piece],
        heads: Heads,
        caches: &mut [&mut Self::Cache],
        out: &mut Buffer<F>,
    ) {
        attention::extend(qkv.map(|b| &b[..]), pieces, heads, caches, out);
    }

    fn attention_decode(
        &self,
        q: &Buffer<F>,
        groups: &[DecodeGroup<Self>],
        heads: Heads,
        out: &mut Buffer<F>,
    ) {
        attention::decode(q, groups, heads, out);
    }

    fn vocab_forward(
        &self,
        hidden: &Buffer<F>,
        weight: &Buffer<F>,
        targets: &[u32],
        head: VocabHead,
    ) -> VocabRows<F> {
        vocab::forward(hidden, weight, targets, head)
    }

    fn vocab_backward(
        &self,
        hidden: &Buffer<F>,
        weight: &Buffer<F>,
        targets: &[u32],
        head: VocabHead,
        forward: &VocabRows<F>,
        coefficients: (&[F], &[F]),
        d_hidden: &mut Buffer<F>,
        d_weight: &mut Buffer<F>,
    ) {
        vocab::backward(hidden, weight, targets, head, forward, coefficients, d_hidden, d_weight);
    }

    fn sample(&self, logits: &Buffer<F>, rows: &[SampleRow]) -> Vec<Sampled> {
        sample::sample(logits, rows)
    }

    fn sum_squares(&self, x: &Buffer<F>) -> f64 {
        rowwise::sum_squares(x)
    }

    fn adamw(
        &self,
        step: &AdamWStep,
        weight: &mut Buffer<F>,
        gradient: &Buffer<F>,
        first: &mut Buffer<F>,
        second: &mut Buffer<F>,
    ) {
        rowwise::adamw(step, weight, gradient, first, second);
    }
}
