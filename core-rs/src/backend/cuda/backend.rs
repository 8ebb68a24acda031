//! The operations of [`Backend`] on a CUDA device.

use super::attention::{self, ForestTiles};
use super::attention_backward::{KeyTiles, attention_backward};
use super::buffer::{self, Buffer};
use super::device::{Array, Device};
use super::element::Element;
use super::elementwise::{self, Rotations};
use super::key_values::{Cache, KeyValues, cache_bytes};
use super::plan::{Plan, bucket, extend};
use super::product::{linear, linear_dw, linear_dx};
use super::{dequantize, dropout, indexing, optimizer, rowwise, sample, vocab};
use crate::Result;
use crate::backend::{
    AdamWStep, Arithmetic, Backend, Heads, InferencePrecision, Mask, Matrix, Piece, SampleRow, Sampled,
    Store, Updated, VocabHead, VocabRows,
};
use crate::config::Rotary;
use crate::forest::Layout;
use crate::weights::StoredTensor;
use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

/// A CUDA device. Activations, and the operands of products with weights, are `A`; all else is f32.
pub struct Cuda<A> {
    shared: Arc<Shared>,
    activation: PhantomData<A>,
}

/// What all models on a device have in common.
struct Shared {
    device: Device,
    arithmetic: Arithmetic,
    /// Frequencies that positions were multiplied by, as they lie on the device: those of one model, mostly. All are
    /// kept, because recordings go on to read them.
    turns: Mutex<Vec<(Rotary, Arc<Array<f64>>)>>,
}

impl<A> Clone for Cuda<A> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), activation: PhantomData }
    }
}

/// A decoding step on its way to being replayed.
pub enum Recording {
    /// It has been done once, so that all kernels are loaded: the next time it can be recorded.
    Done,
    /// It is replayed by this number.
    Recorded(Device, u64),
}

impl Drop for Recording {
    fn drop(&mut self) {
        if let Recording::Recorded(device, recording) = self {
            device.forget(*recording);
        }
    }
}

/// Who attends to whom in a forest.
pub struct Paths {
    queries: ForestTiles,
    keys: KeyTiles,
}

impl<A: Element> Cuda<A> {
    /// A device that multiplies in this arithmetic.
    pub fn new(device: Device, arithmetic: Arithmetic) -> Self {
        let shared = Shared { device, arithmetic, turns: Mutex::default() };
        Self { shared: Arc::new(shared), activation: PhantomData }
    }

    /// The same device and arithmetic for other activations.
    pub fn at<B: Element>(&self) -> Cuda<B> {
        Cuda { shared: self.shared.clone(), activation: PhantomData }
    }

    pub(super) fn device(&self) -> &Device {
        &self.shared.device
    }

    /// A weight as products read it.
    fn operand(&self, weight: Matrix<Self>) -> Result<Array<A>> {
        match weight {
            Matrix::Packed(weight) => Ok(weight.whole()),
            Matrix::Plain(weight) => A::operand(weight).map_or_else(|| self.rounded(&weight.values, 1.0), Ok),
        }
    }

    fn rounded(&self, x: &Array<f32>, factor: f64) -> Result<Array<A>> {
        let mut y = Array::unspecified(self.device(), x.len())?;
        elementwise::round(x, factor, &mut y)?;
        Ok(y)
    }
}

impl<A: Element> Backend for Cuda<A> {
    type Scalar = f32;
    type Buffer = Buffer;
    type Activation = Array<A>;
    type Indices = Array<u32>;
    type Packed = Array<A>;
    type KeyValues = KeyValues<A>;
    type Cache = Cache<A>;
    type Plan = Plan<A>;
    type Recording = Recording;
    type Rotations = Rotations;
    type Paths = Paths;

    const PACKS: bool = false;

    fn describe(&self, precision: InferencePrecision) -> String {
        let arithmetic = self.shared.arithmetic.name();
        format!("{}, {} products, {arithmetic}", self.device().describe(), precision.name())
    }

    fn is_exact(&self) -> bool {
        self.shared.arithmetic == Arithmetic::Exact
    }

    fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        work()
    }

    fn zeros(&self, n: usize) -> Result<Buffer> {
        Ok(Array::zeros(self.device(), n)?.into())
    }

    fn unspecified(&self, n: usize) -> Result<Buffer> {
        Ok(Array::unspecified(self.device(), n)?.into())
    }

    fn upload(&self, host: &[f32]) -> Result<Buffer> {
        Ok(Array::upload(self.device(), host)?.into())
    }

    fn upload_all(&self, host: Vec<Vec<f32>>) -> Result<Vec<Buffer>> {
        buffer::upload(self.device(), &host)
    }

    fn parameters(&self, host: Vec<Vec<f32>>) -> Result<Vec<Buffer>> {
        buffer::parameters::<A>(self.device(), &host)
    }

    fn zeros_like(&self, tensors: &[&Buffer]) -> Result<Vec<Buffer>> {
        let lengths: Vec<usize> = tensors.iter().map(|t| t.values.len()).collect();
        buffer::zeros(self.device(), &lengths)
    }

    fn download<'a>(&self, buffer: &'a Buffer) -> Result<Cow<'a, [f32]>> {
        Ok(Cow::Owned(buffer.values.download()?))
    }

    fn indices(&self, host: &[u32]) -> Result<Array<u32>> {
        Array::upload(self.device(), host)
    }

    fn set_indices(&self, host: &[u32], to: &mut Array<u32>) -> Result<()> {
        to.set(host)
    }

    fn activation(&self, n: usize) -> Result<Array<A>> {
        Array::unspecified(self.device(), n)
    }

    fn duplicate_activation(&self, x: &Array<A>) -> Result<Array<A>> {
        x.duplicate()
    }

    fn round(&self, x: &Buffer, factor: f64) -> Result<Array<A>> {
        self.rounded(&x.values, factor)
    }

    fn duplicate(&self, buffer: &Buffer) -> Result<Buffer> {
        Ok(buffer.values.duplicate()?.into())
    }

    fn copy(&self, from: &Buffer, to: &mut Buffer) -> Result<()> {
        to.values.copy_from(&from.values)
    }

    fn embed(&self, table: Matrix<Self>, tokens: &Array<u32>, width: usize, out: &mut Buffer) -> Result<()> {
        match table {
            Matrix::Plain(table) => indexing::gather::<A>(&table.values, tokens, width, &mut out.values),
            Matrix::Packed(table) => indexing::gather_rounded(table, tokens, width, &mut out.values),
        }
    }

    fn gather(&self, table: &Buffer, rows: &Array<u32>, width: usize, out: &mut Buffer) -> Result<()> {
        indexing::gather::<A>(&table.values, rows, width, &mut out.values)
    }

    fn scatter_add(&self, d_out: &Buffer, rows: &[u32], width: usize, d_table: &mut Buffer) -> Result<()> {
        indexing::scatter_add::<A>(&d_out.values, rows, width, &mut d_table.values)
    }

    fn rms_norm(
        &self,
        x: &Buffer,
        weight: &Buffer,
        epsilon: f64,
        y: &mut Array<A>,
        rstd: &mut Buffer,
    ) -> Result<()> {
        rowwise::rms_norm(&x.values, &weight.values, epsilon, y, &mut rstd.values)
    }

    fn rms_norm_backward(
        &self,
        x: &Buffer,
        weight: &Buffer,
        rstd: &Buffer,
        d_y: &Buffer,
        d_x: &mut Buffer,
        d_weight: Option<&mut Buffer>,
    ) -> Result<()> {
        let [x, weight, rstd, d_y] = [x, weight, rstd, d_y].map(|b| &b.values);
        let d_weight = d_weight.map(|d| &mut d.values);
        rowwise::rms_norm_backward::<A>(x, weight, rstd, d_y, &mut d_x.values, d_weight)
    }

    fn linears<const N: usize>(
        &self,
        x: &Array<A>,
        weights: [Matrix<Self>; N],
        inputs: usize,
        ys: [&mut Array<A>; N],
        store: Store,
    ) -> Result<()> {
        weights.into_iter().zip(ys).try_for_each(|(weight, y)| {
            linear(self.shared.arithmetic, x, &self.operand(weight)?, inputs, y, store)
        })
    }

    fn linear_into(
        &self,
        x: &Array<A>,
        weight: Matrix<Self>,
        inputs: usize,
        y: &mut Buffer,
        store: Store,
    ) -> Result<()> {
        linear(self.shared.arithmetic, x, &self.operand(weight)?, inputs, &mut y.values, store)
    }

    fn linear_dx(
        &self,
        d_y: &Array<A>,
        weight: &Buffer,
        inputs: usize,
        d_x: &mut Buffer,
        store: Store,
    ) -> Result<()> {
        let weight = self.operand(Matrix::Plain(weight))?;
        linear_dx(self.shared.arithmetic, d_y, &weight, inputs, &mut d_x.values, store)
    }

    fn linear_dw(&self, x: &Array<A>, d_y: &Array<A>, inputs: usize, d_weight: &mut Buffer) -> Result<()> {
        linear_dw(self.shared.arithmetic, x, d_y, inputs, &mut d_weight.values)
    }

    fn pack(&self, weight: &Buffer, _inputs: usize) -> Result<Array<A>> {
        self.rounded(&weight.values, 1.0)
    }

    fn pack_stored(&self, weight: &StoredTensor) -> Result<Array<A>> {
        dequantize::dequantize(self.device(), weight)
    }

    fn add_bias(&self, bias: &Buffer, y: &mut Array<A>) -> Result<()> {
        elementwise::add_bias(&bias.values, y)
    }

    fn add_bias_into(&self, bias: &Buffer, y: &mut Buffer) -> Result<()> {
        elementwise::add_bias_into::<A>(&bias.values, &mut y.values)
    }

    fn bias_backward(&self, d_y: &Array<A>, d_bias: &mut Buffer) -> Result<()> {
        rowwise::bias_backward(d_y, &mut d_bias.values)
    }

    fn head_norm(
        &self,
        x: &Array<A>,
        weight: &Buffer,
        epsilon: f64,
        y: &mut Array<A>,
        rstd: &mut Buffer,
    ) -> Result<()> {
        rowwise::head_norm(x, &weight.values, epsilon, y, &mut rstd.values)
    }

    fn head_norm_backward(
        &self,
        x: &Array<A>,
        weight: &Buffer,
        rstd: &Buffer,
        d: &mut Array<A>,
        d_weight: Option<&mut Buffer>,
    ) -> Result<()> {
        rowwise::head_norm_backward(x, &weight.values, &rstd.values, d, d_weight.map(|d| &mut d.values))
    }

    fn dropout(&self, x: &Array<A>, mask: &Mask) -> Result<Array<A>> {
        dropout::forward(x, mask)
    }

    fn dropout_backward(&self, d: &Buffer, mask: &Mask, d_x: &mut Buffer) -> Result<()> {
        dropout::backward::<A>(&d.values, mask, &mut d_x.values)
    }

    fn rotations(&self, positions: &Array<u32>, rotary: &Rotary) -> Result<Rotations> {
        let known = || self.shared.turns.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let found = known().iter().find(|(of, _)| of == rotary).map(|(_, turns)| turns.clone());
        let turns = match found {
            Some(turns) => turns,
            None => {
                // With the lock held, an upload that waits for a recording would keep that from ending.
                let turns = Arc::new(elementwise::turns(self.device(), rotary)?);
                known().push((rotary.clone(), turns.clone()));
                turns
            }
        };
        elementwise::rotations::<A>(positions, &turns, rotary.scale)
    }

    fn rope(&self, x: &mut Array<A>, rotations: &Rotations, heads: usize, transposed: bool) -> Result<()> {
        elementwise::rope(x, rotations, heads, transposed)
    }

    fn swiglu(&self, gate: &Array<A>, up: &Array<A>, out: &mut Array<A>) -> Result<()> {
        elementwise::swiglu(gate, up, out)
    }

    fn swiglu_backward(&self, gate: &mut Array<A>, up: &mut Array<A>, d_out: &Buffer) -> Result<()> {
        elementwise::swiglu_backward(gate, up, &d_out.values)
    }

    fn paths(&self, layout: Layout, heads: Heads) -> Result<Paths> {
        Ok(Paths {
            queries: ForestTiles::new(self.device(), &layout, heads)?,
            keys: KeyTiles::new(self.device(), &layout)?,
        })
    }

    fn attention(
        &self,
        qkv: [&Array<A>; 3],
        paths: &Paths,
        heads: Heads,
        out: &mut Array<A>,
        log_sums: &mut Buffer,
    ) -> Result<()> {
        attention::attention(qkv, &paths.queries, heads, out, &mut log_sums.values)
    }

    fn attention_backward(
        &self,
        qkv: [&Array<A>; 3],
        out: &Array<A>,
        log_sums: &Buffer,
        d_out: &Buffer,
        paths: &Paths,
        heads: Heads,
        d_qkv: [&mut Array<A>; 3],
    ) -> Result<()> {
        attention_backward(
            qkv,
            out,
            &log_sums.values,
            &d_out.values,
            (&paths.queries, &paths.keys),
            heads,
            d_qkv,
        )
    }

    fn free_memory(&self) -> Result<usize> {
        Ok(self.device().memory()?.free)
    }

    fn activation_bytes(&self) -> usize {
        size_of::<A>()
    }

    fn vocab_bytes(&self, vocab: usize) -> usize {
        vocab::scratch_bytes::<A>(vocab)
    }

    fn key_values(&self, layers: usize, heads: Heads, bytes: usize) -> Result<KeyValues<A>> {
        KeyValues::new(self.device(), layers, heads, bytes)
    }

    fn empty_cache(
        &self,
        memory: &KeyValues<A>,
        _layers: usize,
        _heads: Heads,
        tokens: usize,
    ) -> Result<Cache<A>> {
        memory.cache(tokens)
    }

    fn cache_bytes(&self, layers: usize, heads: Heads, tokens: usize) -> usize {
        cache_bytes::<A>(layers, heads, tokens)
    }

    fn plan(&self, pieces: &[Piece], caches: &mut [&mut Cache<A>], plan: &mut Plan<A>) -> Result<()> {
        plan.make(pieces, caches)
    }

    fn attention_extend(
        &self,
        qkv: [&Array<A>; 3],
        plan: &Plan<A>,
        layer: usize,
        heads: Heads,
        _caches: &mut [&mut Cache<A>],
        out: &mut Array<A>,
    ) -> Result<()> {
        extend(qkv, plan, layer, heads, out)
    }

    fn bucket(&self, rows: usize) -> usize {
        bucket(rows)
    }

    fn replay(&self, recording: &mut Option<Recording>, work: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        match recording {
            None => {
                work()?;
                *recording = Some(Recording::Done);
                Ok(())
            }
            Some(Recording::Done) => {
                let number = self.device().record(work)?;
                *recording = Some(Recording::Recorded(self.device().clone(), number));
                self.device().replay(number)
            }
            Some(Recording::Recorded(device, number)) => device.replay(*number),
        }
    }

    fn vocab_forward(
        &self,
        hidden: &Array<A>,
        weight: Matrix<Self>,
        targets: &[u32],
        head: VocabHead,
    ) -> Result<VocabRows<f32>> {
        vocab::forward(self.shared.arithmetic, hidden, &self.operand(weight)?, targets, head)
    }

    fn vocab_backward(
        &self,
        hidden: &Array<A>,
        weight: &Buffer,
        targets: &[u32],
        head: VocabHead,
        forward: &VocabRows<f32>,
        coefficients: (&[f32], &[f32]),
        d_hidden: &mut Buffer,
        d_weight: Option<&mut Buffer>,
    ) -> Result<()> {
        vocab::backward(
            self.shared.arithmetic,
            hidden,
            &self.operand(Matrix::Plain(weight))?,
            targets,
            head,
            forward,
            coefficients,
            &mut d_hidden.values,
            d_weight.map(|d| &mut d.values),
        )
    }

    fn sample(&self, logits: &Buffer, rows: &[SampleRow]) -> Result<Vec<Sampled>> {
        sample::sample(&logits.values, rows)
    }

    fn sum_squares(&self, tensors: &[&Buffer]) -> Result<f64> {
        let arrays: Vec<&Array<f32>> = tensors.iter().map(|t| &t.values).collect();
        optimizer::sum_squares::<A>(self.device(), &arrays)
    }

    fn adamw(&self, step: &AdamWStep, tensors: Vec<Updated<Self>>) -> Result<()> {
        let tensors = tensors.into_iter().map(|t| optimizer::Tensor {
            weight: t.weight.values.whole(),
            copy: t.weight.rounded.as_ref().map(Array::whole),
            gradient: t.gradient.values.whole(),
            moments: [&t.first, &t.second].map(|moment| moment.values.whole()),
            decays: t.decays,
        });
        optimizer::adamw::<A>(step, tensors.collect())
    }
}
