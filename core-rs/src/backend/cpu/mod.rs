//! The CPU backend: own kernels over plain vectors, generic over `f32` and `f64`.

pub mod attention;
mod attention_backward;
pub mod gemm;
#[cfg(test)]
mod gradient_checks;
pub mod isa;
pub mod real;
mod rowwise;
mod sample;
mod vocab;

use super::{AdamWStep, Backend, DecodeGroup, Heads, SampleRow, Sampled, Store, VocabHead, VocabRows};
use crate::forest::Layout;
use gemm::{Packed, Right, View, gemm_parallel};
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
    type Buffer = Vec<F>;
    type Packed = Packed<F>;
    type Cache = attention::Cache<F>;

    fn zeros(&self, n: usize) -> Vec<F> {
        vec![F::ZERO; n]
    }

    fn upload(&self, host: &[F]) -> Vec<F> {
        host.to_vec()
    }

    fn download(&self, buffer: &Vec<F>) -> Vec<F> {
        buffer.clone()
    }

    fn duplicate(&self, buffer: &Vec<F>) -> Vec<F> {
        buffer.clone()
    }

    fn clear(&self, buffer: &mut Vec<F>) {
        buffer.fill(F::ZERO);
    }

    fn add(&self, from: &Vec<F>, to: &mut Vec<F>) {
        rowwise::add_parallel(from, to);
    }

    fn gather(&self, table: &Vec<F>, rows: &[u32], width: usize, out: &mut Vec<F>) {
        rowwise::gather(table, rows, width, out);
    }

    fn scatter_add(&self, d_out: &Vec<F>, rows: &[u32], width: usize, d_table: &mut Vec<F>) {
        rowwise::scatter_add(d_out, rows, width, d_table);
    }

    fn rms_norm(&self, x: &Vec<F>, weight: &Vec<F>, epsilon: f64, y: &mut Vec<F>, rstd: &mut Vec<F>) {
        rowwise::rms_norm(x, weight, epsilon, y, rstd);
    }

    fn rms_norm_backward(
        &self,
        x: &Vec<F>,
        weight: &Vec<F>,
        rstd: &Vec<F>,
        d_y: &Vec<F>,
        d_x: &mut Vec<F>,
        d_weight: &mut Vec<F>,
    ) {
        rowwise::rms_norm_backward(x, weight, rstd, d_y, d_x, d_weight);
    }

    fn linear(&self, x: &Vec<F>, weight: &Vec<F>, inputs: usize, y: &mut Vec<F>, store: Store) {
        let (rows, outputs) = (x.len() / inputs, weight.len() / inputs);
        let right = Right::View(View::columns(weight, inputs));
        gemm_parallel((rows, outputs, inputs), View::rows(x, inputs), right, y, outputs, store);
    }

    fn linear_dx(&self, d_y: &Vec<F>, weight: &Vec<F>, inputs: usize, d_x: &mut Vec<F>, store: Store) {
        let (rows, outputs) = (d_x.len() / inputs, weight.len() / inputs);
        let right = Right::View(View::rows(weight, inputs));
        gemm_parallel((rows, inputs, outputs), View::rows(d_y, outputs), right, d_x, inputs, store);
    }

    fn linear_dw(&self, x: &Vec<F>, d_y: &Vec<F>, inputs: usize, d_weight: &mut Vec<F>) {
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

    fn pack(&self, weight: &Vec<F>, inputs: usize) -> Packed<F> {
        Packed::new_parallel(View::columns(weight, inputs), inputs, weight.len() / inputs)
    }

    fn linear_packed(&self, x: &Vec<F>, weight: &Packed<F>, inputs: usize, y: &mut Vec<F>, store: Store) {
        let shape = (x.len() / inputs, weight.n, inputs);
        gemm_parallel(shape, View::rows(x, inputs), Right::Packed(weight, 0), y, weight.n, store);
    }

    fn rope(
        &self,
        x: &mut Vec<F>,
        positions: &[u32],
        heads: usize,
        head_dim: usize,
        theta: f64,
        inverse: bool,
    ) {
        rowwise::rope(x, positions, heads * head_dim, head_dim, theta, inverse);
    }

    fn swiglu(&self, gate: &Vec<F>, up: &Vec<F>, out: &mut Vec<F>) {
        rowwise::swiglu(gate, up, out);
    }

    fn swiglu_backward(&self, gate: &mut Vec<F>, up: &mut Vec<F>, d_out: &Vec<F>) {
        rowwise::swiglu_backward(gate, up, d_out);
    }

    fn attention(
        &self,
        qkv: [&Vec<F>; 3],
        layout: &Layout,
        heads: Heads,
        out: &mut Vec<F>,
        log_sums: &mut Vec<F>,
    ) -> Vec<Self::Cache> {
        attention::forward(qkv.map(Vec::as_slice), layout, heads, out, log_sums)
    }

    fn attention_backward(
        &self,
        qkv: [&Vec<F>; 3],
        out: &Vec<F>,
        log_sums: &Vec<F>,
        d_out: &Vec<F>,
        layout: &Layout,
        heads: Heads,
        d_qkv: [&mut Vec<F>; 3],
    ) {
        let d_qkv = d_qkv.map(Vec::as_mut_slice);
        attention_backward::backward(qkv.map(Vec::as_slice), out, log_sums, d_out, layout, heads, d_qkv);
    }

    fn empty_cache(&self, heads: Heads) -> Self::Cache {
        attention::empty_cache(heads)
    }

    fn append(&self, k: &Vec<F>, v: &Vec<F>, row: usize, heads: Heads, cache: &mut Self::Cache) {
        attention::append(k, v, row, heads, cache);
    }

    fn attention_decode(&self, q: &Vec<F>, groups: &[DecodeGroup<Self>], heads: Heads, out: &mut Vec<F>) {
        attention::decode(q, groups, heads, out);
    }

    fn vocab_forward(
        &self,
        hidden: &Vec<F>,
        weight: &Vec<F>,
        targets: &[u32],
        head: VocabHead,
    ) -> VocabRows<F> {
        vocab::forward(hidden, weight, targets, head)
    }

    fn vocab_backward(
        &self,
        hidden: &Vec<F>,
        weight: &Vec<F>,
        targets: &[u32],
        head: VocabHead,
        forward: &VocabRows<F>,
        coefficients: (&[F], &[F]),
        d_hidden: &mut Vec<F>,
        d_weight: &mut Vec<F>,
    ) {
        vocab::backward(hidden, weight, targets, head, forward, coefficients, d_hidden, d_weight);
    }

    fn sample(&self, logits: &Vec<F>, rows: &[SampleRow]) -> Vec<Sampled> {
        sample::sample(logits, rows)
    }

    fn sum_squares(&self, x: &Vec<F>) -> f64 {
        rowwise::sum_squares(x)
    }

    fn adamw(
        &self,
        step: &AdamWStep,
        weight: &mut Vec<F>,
        gradient: &Vec<F>,
        first: &mut Vec<F>,
        second: &mut Vec<F>,
    ) {
        rowwise::adamw(step, weight, gradient, first, second);
    }
}
