//! The CPU backend: own kernels over plain vectors, generic over the type of the arithmetic and that of activations.

pub mod attention;
mod attention_backward;
mod disjoint;
pub mod gemm;
#[cfg(test)]
mod gradient_checks;
pub mod isa;
pub mod pool;
pub mod real;
mod rowwise;
mod sample;
pub mod stored;
mod vocab;

use super::{
    AdamWStep, Backend, DecodeGroup, Heads, Matrix, Piece, SampleRow, Sampled, Store, VocabHead, VocabRows,
};
use crate::Result;
use crate::config::Rotary;
use crate::forest::Layout;
use crate::weights::{StoredTensor, Tensor};
use gemm::{Blocks, Output, Packed, Product, Right, View, gemm_parallel, gemms_parallel};
use pool::Buffer;
use rayon::prelude::*;
use real::Real;
use std::marker::PhantomData;
use stored::Element;

/// The processor. Sums, norms and the residual stream are in `F`; activations, and the operands of products with
/// weights, are rounded to `A`. `Cpu<f32>` and `Cpu<f32, bf16>` do the work; `Cpu<f64>` runs the same code for gradient
/// checks.
#[derive(Debug)]
pub struct Cpu<F, A = F> {
    /// Weights are packed as integers, and products with them round activations to 8 bits.
    integers: bool,
    types: PhantomData<(F, A)>,
}

impl<F, A> Cpu<F, A> {
    /// The processor.
    pub fn new() -> Self {
        Self { integers: false, types: PhantomData }
    }

    /// The processor, for weights that are read as 8-bit integers; those of a quantised file have as few bits as it.
    pub fn with_integers() -> Self {
        Self { integers: true, types: PhantomData }
    }
}

impl<F, A> Default for Cpu<F, A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F, A> Clone for Cpu<F, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F, A> Copy for Cpu<F, A> {}

impl<F: Real, A: Element<F>> Backend for Cpu<F, A> {
    type Scalar = F;
    type Buffer = Buffer<F>;
    type Activation = Buffer<A>;
    type Packed = Weight<A::Linear>;
    type Cache = attention::Cache<F, A>;
    type Rotations = rowwise::Rotations<F>;

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

    fn embed(&self, table: Matrix<Self>, tokens: &[u32], width: usize, out: &mut Buffer<F>) {
        match table {
            Matrix::Plain(table) => rowwise::gather(table, tokens, width, out),
            Matrix::Packed(table) => out
                .par_chunks_mut(width)
                .zip(tokens)
                .for_each(|(out, &token)| table.column(token as usize, out)),
        }
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
        y: &mut Buffer<A>,
        rstd: &mut Buffer<F>,
    ) {
        rowwise::rms_norm::<F, F, A>(x, weight, epsilon, y, rstd);
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

    fn activation(&self, n: usize) -> Buffer<A> {
        Buffer::unspecified(n)
    }

    fn duplicate_activation(&self, x: &Buffer<A>) -> Buffer<A> {
        x.clone()
    }

    fn round(&self, x: &Buffer<F>) -> Buffer<A> {
        let mut y = Buffer::unspecified(x.len());
        rowwise::convert::<F, F, A>(x, &mut y);
        y
    }

    fn linears<const N: usize>(
        &self,
        x: &Buffer<A>,
        weights: [Matrix<Self>; N],
        inputs: usize,
        ys: [&mut Buffer<A>; N],
    ) {
        let outputs = weights.into_iter().zip(ys).map(|(weight, y)| {
            let (right, n) = transposed(weight, inputs);
            Output { right, n, c: y, stride: n }
        });
        gemms_parallel((x.len() / inputs, inputs), View::rows(x, inputs), outputs.collect(), Store::Replace);
    }

    fn linear_into(
        &self,
        x: &Buffer<A>,
        weight: Matrix<Self>,
        inputs: usize,
        y: &mut Buffer<F>,
        store: Store,
    ) {
        let (right, outputs) = transposed(weight, inputs);
        let shape = (x.len() / inputs, outputs, inputs);
        gemm_parallel::<A::Linear, F>(shape, View::rows(x, inputs), right, y, outputs, store);
    }

    fn linear_dx(
        &self,
        d_y: &Buffer<A>,
        weight: &Buffer<F>,
        inputs: usize,
        d_x: &mut Buffer<F>,
        store: Store,
    ) {
        let (rows, outputs) = (d_x.len() / inputs, weight.len() / inputs);
        let right = Right::Wide(View::rows(weight, inputs));
        let left = View::rows(d_y, outputs);
        gemm_parallel::<A::Linear, F>((rows, inputs, outputs), left, right, d_x, inputs, store);
    }

    fn linear_dw(&self, x: &Buffer<A>, d_y: &Buffer<A>, inputs: usize, d_weight: &mut Buffer<F>) {
        let (rows, outputs) = (x.len() / inputs, d_weight.len() / inputs);
        let (left, right) = (View::columns(d_y, outputs), Right::View(View::rows(x, inputs)));
        gemm_parallel::<A::Linear, F>((outputs, inputs, rows), left, right, d_weight, inputs, Store::Add);
    }

    fn pack(&self, weight: &Buffer<F>, inputs: usize) -> Self::Packed {
        self.lay_out(weight, inputs)
    }

    fn pack_stored(&self, weight: &StoredTensor) -> Result<Self::Packed> {
        if let Some(blocks) = Blocks::transposed(weight)? {
            return Ok(if self.integers { Weight::Integers(blocks) } else { Weight::Blocks(blocks) });
        }
        let Tensor { shape, data } = weight.decode()?;
        let data: Vec<F> = data.into_iter().map(|x| F::from_f64(f64::from(x))).collect();
        Ok(self.lay_out(&data, shape[1]))
    }

    fn add_bias(&self, bias: &Buffer<F>, y: &mut Buffer<A>) {
        rowwise::add_bias::<F, A>(bias, y);
    }

    fn add_bias_into(&self, bias: &Buffer<F>, y: &mut Buffer<F>) {
        rowwise::add_bias::<F, F>(bias, y);
    }

    fn bias_backward(&self, d_y: &Buffer<A>, d_bias: &mut Buffer<F>) {
        rowwise::bias_backward::<F, A>(d_y, d_bias);
    }

    fn head_norm(
        &self,
        x: &Buffer<A>,
        weight: &Buffer<F>,
        epsilon: f64,
        y: &mut Buffer<A>,
        rstd: &mut Buffer<F>,
    ) {
        rowwise::rms_norm::<F, A, A>(x, weight, epsilon, y, rstd);
    }

    fn head_norm_backward(
        &self,
        x: &Buffer<A>,
        weight: &Buffer<F>,
        rstd: &Buffer<F>,
        d: &mut Buffer<A>,
        d_weight: &mut Buffer<F>,
    ) {
        rowwise::head_norm_backward::<F, A>(x, weight, rstd, d, d_weight);
    }

    fn rotations(&self, positions: &[u32], rotary: &Rotary) -> Self::Rotations {
        rowwise::rotations(positions, rotary)
    }

    fn rope(&self, x: &mut Buffer<A>, rotations: &Self::Rotations, heads: usize, transposed: bool) {
        rowwise::rope::<F, A>(x, rotations, heads, transposed);
    }

    fn swiglu(&self, gate: &Buffer<A>, up: &Buffer<A>, out: &mut Buffer<A>) {
        rowwise::swiglu::<F, A>(gate, up, out);
    }

    fn swiglu_backward(&self, gate: &mut Buffer<A>, up: &mut Buffer<A>, d_out: &Buffer<F>) {
        rowwise::swiglu_backward(gate, up, d_out);
    }

    fn attention(
        &self,
        qkv: [&Buffer<A>; 3],
        layout: &Layout,
        heads: Heads,
        out: &mut Buffer<A>,
        log_sums: &mut Buffer<F>,
    ) -> Vec<Self::Cache> {
        attention::forward(qkv.map(|b| &b[..]), layout, heads, out, log_sums)
    }

    fn attention_backward(
        &self,
        qkv: [&Buffer<A>; 3],
        out: &Buffer<A>,
        log_sums: &Buffer<F>,
        d_out: &Buffer<F>,
        layout: &Layout,
        heads: Heads,
        d_qkv: [&mut Buffer<A>; 3],
    ) {
        let d_qkv = d_qkv.map(|b| &mut b[..]);
        attention_backward::backward(qkv.map(|b| &b[..]), out, log_sums, d_out, layout, heads, d_qkv);
    }

    fn empty_cache(&self, heads: Heads, tokens: usize) -> Self::Cache {
        attention::empty_cache(heads, tokens)
    }

    fn cache_bytes(&self, heads: Heads, tokens: usize) -> usize {
        attention::cache_bytes::<A>(heads, tokens)
    }

    fn append(&self, k: &Buffer<A>, v: &Buffer<A>, row: usize, heads: Heads, cache: &mut Self::Cache) {
        attention::append(k, v, row, heads, cache);
    }

    fn attention_extend(
        &self,
        qkv: [&Buffer<A>; 3],
        pieces: &[Piece],
        heads: Heads,
        caches: &mut [&mut Self::Cache],
        out: &mut Buffer<A>,
    ) {
        attention::extend::<F, A>(qkv.map(|b| &b[..]), pieces, heads, caches, out);
    }

    fn attention_decode(
        &self,
        q: &Buffer<A>,
        groups: &[DecodeGroup<Self>],
        heads: Heads,
        out: &mut Buffer<A>,
    ) {
        attention::decode::<F, A, _>(q, groups, heads, out);
    }

    fn vocab_forward(
        &self,
        hidden: &Buffer<A>,
        weight: Matrix<Self>,
        targets: &[u32],
        head: VocabHead,
    ) -> VocabRows<F> {
        vocab::forward::<F, A>(hidden, transposed(weight, head.width).0, targets, head)
    }

    fn vocab_backward(
        &self,
        hidden: &Buffer<A>,
        weight: &Buffer<F>,
        targets: &[u32],
        head: VocabHead,
        forward: &VocabRows<F>,
        coefficients: (&[F], &[F]),
        d_hidden: &mut Buffer<F>,
        d_weight: &mut Buffer<F>,
    ) {
        vocab::backward::<F, A>(hidden, weight, targets, head, forward, coefficients, d_hidden, d_weight);
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

impl<F: Real, A: Element<F>> Cpu<F, A> {
    fn lay_out(&self, weight: &[F], inputs: usize) -> Weight<A::Linear> {
        if self.integers
            && let Some(blocks) = Blocks::rounded(weight, inputs)
        {
            return Weight::Integers(blocks);
        }
        let columns = View::columns(weight, inputs);
        Weight::Panels(Packed::new_parallel(columns, inputs, weight.len() / inputs))
    }
}

/// The transpose of a weight, laid out for products.
pub enum Weight<P: Product> {
    /// Rounded to the operand's type.
    Panels(Packed<P>),
    /// As quantised as its file.
    Blocks(Blocks),
    /// As integers, multiplied as such.
    Integers(Blocks),
}

impl<P: Product> Weight<P> {
    /// Writes row j of the weight.
    fn column(&self, j: usize, out: &mut [P::Sum]) {
        match self {
            Weight::Panels(w) => w.column(j, out),
            Weight::Blocks(w) | Weight::Integers(w) => w.column(j, out),
        }
    }
}

/// The right-hand side of a product with a weight's transpose, and its columns.
fn transposed<'a, F: Real, A: Element<F>>(
    weight: Matrix<'a, Cpu<F, A>>,
    inputs: usize,
) -> (Right<'a, A::Linear>, usize) {
    match weight {
        Matrix::Plain(w) => (Right::Wide(View::columns(w, inputs)), w.len() / inputs),
        Matrix::Packed(Weight::Panels(w)) => (Right::Packed(w, 0), w.n),
        Matrix::Packed(Weight::Blocks(w)) => (Right::Blocks(w, 0), w.n),
        Matrix::Packed(Weight::Integers(w)) => (Right::Integers(w, 0), w.n),
    }
}
