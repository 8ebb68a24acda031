//! The CPU backend: own kernels over plain vectors, generic over the type of the arithmetic and that of activations.

pub mod attention;
mod attention_backward;
mod disjoint;
mod dropout;
pub mod gemm;
#[cfg(test)]
mod gradient_checks;
pub mod isa;
mod memory;
pub mod pool;
mod processor;
pub mod real;
mod rowwise;
mod sample;
pub mod stored;
mod vocab;
mod weight;

use super::{
    AdamWStep, Backend, Heads, InferencePrecision, Mask, Matrix, Piece, SampleRow, Sampled, Store, Updated,
    VocabHead, VocabRows, threads,
};
use crate::Result;
use crate::config::Rotary;
use crate::forest::Layout;
use crate::weights::{StoredTensor, Tensor};
use gemm::{Blocks, Output, Right, View, gemm_parallel, gemms_parallel};
use pool::Buffer;
pub use processor::Cpu;
use rayon::prelude::*;
use real::Real;
use std::borrow::Cow;
use std::convert::Infallible;
use stored::Element;
pub use weight::Weight;
use weight::transposed;

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
    type Indices = Vec<u32>;
    type KeyValues = ();
    type Cache = attention::Cache<F, A>;
    type Plan = attention::Plan;
    type Recording = Infallible;
    type Rotations = rowwise::Rotations<F>;
    type Paths = Layout;

    const PACKS: bool = true;

    fn describe(&self, precision: InferencePrecision) -> String {
        threads::describe(precision, self.note)
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        threads::install(work)
    }

    fn zeros(&self, n: usize) -> Result<Buffer<F>> {
        Ok(Buffer::zeros(n))
    }

    fn unspecified(&self, n: usize) -> Result<Buffer<F>> {
        Ok(Buffer::unspecified(n))
    }

    fn upload(&self, host: &[F]) -> Result<Buffer<F>> {
        Ok(host.to_vec().into())
    }

    fn upload_all(&self, host: Vec<Vec<F>>) -> Result<Vec<Buffer<F>>> {
        Ok(host.into_iter().map(Buffer::from).collect())
    }

    fn parameters(&self, host: Vec<Vec<F>>) -> Result<Vec<Buffer<F>>> {
        self.upload_all(host)
    }

    fn zeros_like(&self, tensors: &[&Buffer<F>]) -> Result<Vec<Buffer<F>>> {
        Ok(tensors.iter().map(|tensor| Buffer::zeros(tensor.len())).collect())
    }

    fn download<'a>(&self, buffer: &'a Buffer<F>) -> Result<Cow<'a, [F]>> {
        Ok(Cow::Borrowed(buffer))
    }

    fn indices(&self, host: &[u32]) -> Result<Vec<u32>> {
        Ok(host.to_vec())
    }

    fn set_indices(&self, host: &[u32], to: &mut Vec<u32>) -> Result<()> {
        to.copy_from_slice(host);
        Ok(())
    }

    fn activation(&self, n: usize) -> Result<Buffer<A>> {
        Ok(Buffer::unspecified(n))
    }

    fn duplicate_activation(&self, x: &Buffer<A>) -> Result<Buffer<A>> {
        Ok(x.clone())
    }

    fn round(&self, x: &Buffer<F>, factor: f64) -> Result<Buffer<A>> {
        let mut y = Buffer::unspecified(x.len());
        rowwise::scaled_copy::<F, F, A>(x, F::from_f64(factor), &mut y);
        Ok(y)
    }

    fn duplicate(&self, buffer: &Buffer<F>) -> Result<Buffer<F>> {
        Ok(buffer.clone())
    }

    fn copy(&self, from: &Buffer<F>, to: &mut Buffer<F>) -> Result<()> {
        to.copy_from_slice(from);
        Ok(())
    }

    fn embed(&self, table: Matrix<Self>, tokens: &Vec<u32>, width: usize, out: &mut Buffer<F>) -> Result<()> {
        match table {
            Matrix::Plain(table) => rowwise::gather(table, tokens, width, out),
            Matrix::Packed(table) => out
                .par_chunks_mut(width)
                .zip(tokens)
                .for_each(|(out, &token)| table.column(token as usize, out)),
        }
        Ok(())
    }

    fn gather(&self, table: &Buffer<F>, rows: &Vec<u32>, width: usize, out: &mut Buffer<F>) -> Result<()> {
        rowwise::gather(table, rows, width, out);
        Ok(())
    }

    fn scatter_add(
        &self,
        d_out: &Buffer<F>,
        rows: &[u32],
        width: usize,
        d_table: &mut Buffer<F>,
    ) -> Result<()> {
        rowwise::scatter_add(d_out, rows, width, d_table);
        Ok(())
    }

    fn rms_norm(
        &self,
        x: &Buffer<F>,
        weight: &Buffer<F>,
        epsilon: f64,
        y: &mut Buffer<A>,
        rstd: &mut Buffer<F>,
    ) -> Result<()> {
        rowwise::rms_norm::<F, F, A>(x, weight, epsilon, y, rstd);
        Ok(())
    }

    fn rms_norm_backward(
        &self,
        x: &Buffer<F>,
        weight: &Buffer<F>,
        rstd: &Buffer<F>,
        d_y: &Buffer<F>,
        d_x: &mut Buffer<F>,
        d_weight: Option<&mut Buffer<F>>,
    ) -> Result<()> {
        rowwise::rms_norm_backward(x, weight, rstd, d_y, d_x, d_weight.map(|d| &mut d[..]));
        Ok(())
    }

    fn linears<const N: usize>(
        &self,
        x: &Buffer<A>,
        weights: [Matrix<Self>; N],
        inputs: usize,
        ys: [&mut Buffer<A>; N],
        store: Store,
    ) -> Result<()> {
        let outputs = weights.into_iter().zip(ys).map(|(weight, y)| {
            let (right, n) = transposed(weight, inputs);
            Output { right, n, c: y, stride: n }
        });
        gemms_parallel((x.len() / inputs, inputs), View::rows(x, inputs), outputs.collect(), store);
        Ok(())
    }

    fn linear_into(
        &self,
        x: &Buffer<A>,
        weight: Matrix<Self>,
        inputs: usize,
        y: &mut Buffer<F>,
        store: Store,
    ) -> Result<()> {
        let (right, outputs) = transposed(weight, inputs);
        let shape = (x.len() / inputs, outputs, inputs);
        gemm_parallel::<A::Linear, F>(shape, View::rows(x, inputs), right, y, outputs, store);
        Ok(())
    }

    fn linear_dx(
        &self,
        d_y: &Buffer<A>,
        weight: &Buffer<F>,
        inputs: usize,
        d_x: &mut Buffer<F>,
        store: Store,
    ) -> Result<()> {
        let (rows, outputs) = (d_x.len() / inputs, weight.len() / inputs);
        let right = Right::Wide(View::rows(weight, inputs));
        let left = View::rows(d_y, outputs);
        gemm_parallel::<A::Linear, F>((rows, inputs, outputs), left, right, d_x, inputs, store);
        Ok(())
    }

    fn linear_dw(
        &self,
        x: &Buffer<A>,
        d_y: &Buffer<A>,
        inputs: usize,
        d_weight: &mut Buffer<F>,
    ) -> Result<()> {
        let (rows, outputs) = (x.len() / inputs, d_weight.len() / inputs);
        let (left, right) = (View::columns(d_y, outputs), Right::View(View::rows(x, inputs)));
        gemm_parallel::<A::Linear, F>((outputs, inputs, rows), left, right, d_weight, inputs, Store::Add);
        Ok(())
    }

    fn pack(&self, weight: &Buffer<F>, inputs: usize) -> Result<Self::Packed> {
        Ok(self.lay_out(weight, inputs))
    }

    fn pack_stored(&self, weight: &StoredTensor) -> Result<Self::Packed> {
        if let Some(blocks) = Blocks::transposed(weight)? {
            return Ok(if self.integers { Weight::Integers(blocks) } else { Weight::Blocks(blocks) });
        }
        let Tensor { shape, data } = weight.decode()?;
        let data: Vec<F> = data.into_iter().map(|x| F::from_f64(f64::from(x))).collect();
        Ok(self.lay_out(&data, shape[1]))
    }

    fn add_bias(&self, bias: &Buffer<F>, y: &mut Buffer<A>) -> Result<()> {
        rowwise::add_bias::<F, A>(bias, y);
        Ok(())
    }

    fn add_bias_into(&self, bias: &Buffer<F>, y: &mut Buffer<F>) -> Result<()> {
        rowwise::add_bias::<F, F>(bias, y);
        Ok(())
    }

    fn bias_backward(&self, d_y: &Buffer<A>, d_bias: &mut Buffer<F>) -> Result<()> {
        rowwise::bias_backward::<F, A>(d_y, d_bias);
        Ok(())
    }

    fn head_norm(
        &self,
        x: &Buffer<A>,
        weight: &Buffer<F>,
        epsilon: f64,
        y: &mut Buffer<A>,
        rstd: &mut Buffer<F>,
    ) -> Result<()> {
        rowwise::rms_norm::<F, A, A>(x, weight, epsilon, y, rstd);
        Ok(())
    }

    fn head_norm_backward(
        &self,
        x: &Buffer<A>,
        weight: &Buffer<F>,
        rstd: &Buffer<F>,
        d: &mut Buffer<A>,
        d_weight: Option<&mut Buffer<F>>,
    ) -> Result<()> {
        rowwise::head_norm_backward::<F, A>(x, weight, rstd, d, d_weight.map(|d| &mut d[..]));
        Ok(())
    }

    fn dropout(&self, x: &Buffer<A>, mask: &Mask) -> Result<Buffer<A>> {
        let mut y = Buffer::unspecified(x.len());
        dropout::forward::<F, A>(x, mask, &mut y);
        Ok(y)
    }

    fn dropout_backward(&self, d: &Buffer<F>, mask: &Mask, d_x: &mut Buffer<F>) -> Result<()> {
        dropout::backward(d, mask, d_x);
        Ok(())
    }

    fn rotations(&self, positions: &Vec<u32>, rotary: &Rotary) -> Result<Self::Rotations> {
        Ok(rowwise::rotations(positions, rotary))
    }

    fn rope(
        &self,
        x: &mut Buffer<A>,
        rotations: &Self::Rotations,
        heads: usize,
        transposed: bool,
    ) -> Result<()> {
        rowwise::rope::<F, A>(x, rotations, heads, transposed);
        Ok(())
    }

    fn swiglu(&self, gate: &Buffer<A>, up: &Buffer<A>, out: &mut Buffer<A>) -> Result<()> {
        rowwise::swiglu::<F, A>(gate, up, out);
        Ok(())
    }

    fn swiglu_backward(&self, gate: &mut Buffer<A>, up: &mut Buffer<A>, d_out: &Buffer<F>) -> Result<()> {
        rowwise::swiglu_backward(gate, up, d_out);
        Ok(())
    }

    fn paths(&self, layout: Layout, _: Heads) -> Result<Layout> {
        Ok(layout)
    }

    fn attention(
        &self,
        qkv: [&Buffer<A>; 3],
        layout: &Layout,
        heads: Heads,
        out: &mut Buffer<A>,
        log_sums: &mut Buffer<F>,
    ) -> Result<()> {
        attention::forward(qkv.map(|b| &b[..]), layout, heads, out, log_sums);
        Ok(())
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
    ) -> Result<()> {
        let d_qkv = d_qkv.map(|b| &mut b[..]);
        attention_backward::backward(qkv.map(|b| &b[..]), out, log_sums, d_out, layout, heads, d_qkv);
        Ok(())
    }

    fn free_memory(&self) -> Result<usize> {
        Ok(memory::unused())
    }

    fn activation_bytes(&self) -> usize {
        size_of::<A>()
    }

    fn vocab_bytes(&self, vocab: usize) -> usize {
        vocab::scratch_bytes::<F, A>(vocab)
    }

    fn key_values(&self, _layers: usize, _heads: Heads, _bytes: usize) -> Result<()> {
        Ok(())
    }

    fn empty_cache(&self, _memory: &(), layers: usize, heads: Heads, tokens: usize) -> Result<Self::Cache> {
        Ok(attention::Cache::new(layers, heads, tokens))
    }

    fn cache_bytes(&self, layers: usize, heads: Heads, tokens: usize) -> usize {
        layers * attention::cache_bytes::<A>(heads, tokens)
    }

    fn plan(
        &self,
        pieces: &[Piece],
        caches: &mut [&mut Self::Cache],
        plan: &mut attention::Plan,
    ) -> Result<()> {
        *plan = attention::Plan::new(pieces, caches);
        Ok(())
    }

    fn attention_extend(
        &self,
        qkv: [&Buffer<A>; 3],
        plan: &attention::Plan,
        layer: usize,
        heads: Heads,
        caches: &mut [&mut Self::Cache],
        out: &mut Buffer<A>,
    ) -> Result<()> {
        attention::extend::<F, A>(qkv.map(|b| &b[..]), plan, layer, heads, caches, out);
        Ok(())
    }

    fn bucket(&self, rows: usize) -> usize {
        rows
    }

    fn replay(
        &self,
        _recording: &mut Option<Infallible>,
        work: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        work()
    }

    fn vocab_forward(
        &self,
        hidden: &Buffer<A>,
        weight: Matrix<Self>,
        targets: &[u32],
        head: VocabHead,
    ) -> Result<VocabRows<F>> {
        Ok(vocab::forward::<F, A>(hidden, transposed(weight, head.width).0, targets, head))
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
        d_weight: Option<&mut Buffer<F>>,
    ) -> Result<()> {
        let d_weight = d_weight.map(|d| &mut d[..]);
        vocab::backward::<F, A>(hidden, weight, targets, head, forward, coefficients, d_hidden, d_weight);
        Ok(())
    }

    fn sample(&self, logits: &Buffer<F>, rows: &[SampleRow]) -> Result<Vec<Sampled>> {
        Ok(sample::sample(logits, rows))
    }

    fn sum_squares(&self, tensors: &[&Buffer<F>]) -> Result<f64> {
        Ok(tensors.iter().map(|tensor| rowwise::sum_squares(tensor)).sum())
    }

    fn adamw(&self, step: &AdamWStep, tensors: Vec<Updated<Self>>) -> Result<()> {
        for Updated { weight, gradient, first, second, decays } in tensors {
            let weight_decay = if decays { step.weight_decay } else { 0.0 };
            rowwise::adamw(&AdamWStep { weight_decay, ..*step }, weight, gradient, first, second);
        }
        Ok(())
    }
}
