//! One decoder layer: x + attention(norm(x)), then x + mlp(norm(x)). Its way back is in [`super::layer_backward`].

use super::adapter::{self, Adapted};
use super::frozen::Held;
use super::lora::{LayerAdapters, Lora, Target};
use super::params::LayerParams;
use super::reader::{Places, Reader};
use crate::Result;
use crate::backend::{Backend, Matrix, Store};
use crate::config::ModelConfig;

/// Places of the matrices in a layer.
pub(super) const QKV: [usize; 3] = [Target::Q as usize, Target::K as usize, Target::V as usize];
pub(super) const O: usize = Target::O as usize;
pub(super) const GATES: [usize; 2] = [Target::Gate as usize, Target::Up as usize];
pub(super) const DOWN: usize = Target::Down as usize;

/// A layer's weights as forward reads them.
pub struct LayerWeights<'a, B: Backend> {
    /// Norms.
    norms: [&'a B::Buffer; 2],
    /// Norms of the heads of queries and keys.
    head_norms: [Option<&'a B::Buffer>; 2],
    /// q, k, v, o, gate, up, down.
    matrices: [Matrix<'a, B>; 7],
    /// Theirs.
    biases: [Option<&'a B::Buffer>; 7],
    /// Theirs.
    pub(super) adapters: [Option<Adapted<'a, B>>; 7],
}

/// All values, or the first error.
pub(super) fn all<T, const N: usize>(results: [Result<T>; N]) -> Result<[T; N]> {
    let values: Vec<T> = results.into_iter().collect::<Result<_>>()?;
    Ok(values.try_into().unwrap_or_else(|_| unreachable!("as many values as results")))
}

impl<'a, B: Backend> LayerWeights<'a, B> {
    /// As they are stored.
    pub fn plain(w: &'a LayerParams<B::Buffer>) -> Self {
        Self::new(w, w.linears().map(|l| Matrix::Plain(&l.weight)), |x| x)
    }

    /// Of a frozen model.
    pub fn held(w: &'a LayerParams<Held<B>>) -> Self {
        Self::new(w, w.linears().map(|l| l.weight.matrix()), Held::plain)
    }

    /// With packed matrices.
    pub fn packed(w: &'a LayerParams<B::Buffer>, packed: &'a [B::Packed; 7]) -> Self {
        Self::new(w, packed.each_ref().map(Matrix::Packed), |x| x)
    }

    fn new<T>(
        w: &'a LayerParams<T>,
        matrices: [Matrix<'a, B>; 7],
        plain: impl Fn(&'a T) -> &'a B::Buffer,
    ) -> Self {
        Self {
            norms: [&w.input_norm, &w.post_norm].map(&plain),
            head_norms: [&w.q_norm, &w.k_norm].map(|norm| norm.as_ref().map(&plain)),
            matrices,
            biases: w.linears().map(|l| l.bias.as_ref().map(&plain)),
            adapters: [const { None }; 7],
        }
    }

    /// The same with the adapters of this layer, and those packed where the matrices are.
    pub fn with_adapters(
        self,
        lora: &'a Lora<B::Buffer>,
        layer: usize,
        packed: Option<&'a LayerAdapters<B::Packed>>,
    ) -> Self {
        Self { adapters: adapter::of_layer(lora, layer, packed), ..self }
    }

    /// x · matrixᵀ for some of the matrices, each with what its adapter adds and the bias after the whole product.
    /// `outputs` are their widths.
    fn linears<const N: usize>(
        &self,
        which: [usize; N],
        backend: &B,
        x: &B::Activation,
        (rows, inputs, outputs): (usize, usize, [usize; N]),
        dropout: Option<[u32; 2]>,
    ) -> Result<[B::Activation; N]> {
        let mut ys = all(outputs.map(|width| backend.activation(rows * width)))?;
        backend.linears(x, which.map(|i| self.matrices[i]), inputs, ys.each_mut(), Store::Replace)?;
        for (i, y) in which.into_iter().zip(&mut ys) {
            if let Some(adapter) = &self.adapters[i] {
                adapter.add(backend, x, (rows, inputs), dropout, y)?;
            }
            if let Some(bias) = self.biases[i] {
                backend.add_bias(bias, y)?;
            }
        }
        Ok(ys)
    }

    /// y += x · matrixᵀ, with what the adapter adds and the bias after the whole product.
    fn linear_add(
        &self,
        i: usize,
        backend: &B,
        x: &B::Activation,
        (rows, inputs): (usize, usize),
        dropout: Option<[u32; 2]>,
        y: &mut B::Buffer,
    ) -> Result<()> {
        backend.linear_into(x, self.matrices[i], inputs, y, Store::Add)?;
        if let Some(adapter) = &self.adapters[i] {
            adapter.add_into(backend, x, (rows, inputs), dropout, y)?;
        }
        match self.biases[i] {
            Some(bias) => backend.add_bias_into(bias, y),
            None => Ok(()),
        }
    }
}

/// Columns of the matrices.
pub fn inputs(c: &ModelConfig) -> [usize; 7] {
    let (width, queries, inner) = (c.hidden_size, c.num_heads * c.head_dim, c.intermediate_size);
    [width, width, width, queries, width, width, inner]
}

/// Packs a layer's matrices for [`LayerWeights::packed`].
pub fn pack<B: Backend>(backend: &B, c: &ModelConfig, w: &LayerParams<B::Buffer>) -> Result<[B::Packed; 7]> {
    all(std::array::from_fn(|i| backend.pack(&w.linears()[i].weight, inputs(c)[i])))
}

/// What backward needs of a layer. Norms and the activation are cheap to compute again.
pub struct Saved<B: Backend> {
    /// The residual stream before the layer.
    pub input: B::Buffer,
    pub(super) q: B::Activation,
    pub(super) k: B::Activation,
    pub(super) v: B::Activation,
    /// Queries and keys before the norms of their heads, where there are such.
    pub(super) before_norm: Option<[B::Activation; 2]>,
    pub(super) attended: B::Activation,
    pub(super) log_sums: B::Buffer,
    pub(super) middle: B::Buffer,
    gate: B::Activation,
    up: B::Activation,
}

impl<B: Backend> Saved<B> {
    /// Copies of gate and up, which backward turns into their gradients.
    pub fn copy_gates(&self, backend: &B) -> Result<[B::Activation; 2]> {
        all([&self.gate, &self.up].map(|x| backend.duplicate_activation(x)))
    }

    /// Gate and up themselves, where there will be no second backward.
    pub fn take_gates(&mut self, backend: &B) -> Result<[B::Activation; 2]> {
        all([&mut self.gate, &mut self.up].map(|x| take(backend, x)))
    }
}

/// Activations that are moved out of their place.
fn take<B: Backend>(backend: &B, x: &mut B::Activation) -> Result<B::Activation> {
    Ok(std::mem::replace(x, backend.activation(0)?))
}

/// What a forward pass through a layer gives.
pub struct Layered<B: Backend> {
    /// For backward.
    pub saved: Saved<B>,
    /// The residual stream behind the layer.
    pub output: B::Buffer,
}

/// (the norm of so many rows, rstd)
pub(super) fn norm<B: Backend>(
    d: &Reader<B>,
    x: &B::Buffer,
    weight: &B::Buffer,
    rows: usize,
) -> Result<(B::Activation, B::Buffer)> {
    let mut y = d.backend.activation(rows * d.config.hidden_size)?;
    let mut rstd = d.backend.unspecified(rows)?;
    d.backend.rms_norm(x, weight, d.config.rms_norm_eps, &mut y, &mut rstd)?;
    Ok((y, rstd))
}

/// As [`norm`], of heads.
pub(super) fn head_norm<B: Backend>(
    d: &Reader<B>,
    x: &B::Activation,
    weight: &B::Buffer,
    rows: usize,
) -> Result<(B::Activation, B::Buffer)> {
    let mut y = d.backend.activation(rows * d.config.head_dim)?;
    let mut rstd = d.backend.unspecified(rows)?;
    d.backend.head_norm(x, weight, d.config.rms_norm_eps, &mut y, &mut rstd)?;
    Ok((y, rstd))
}

/// What attention reads.
pub struct Projected<B: Backend> {
    /// Queries, rotated to their positions.
    pub q: B::Activation,
    /// Keys, likewise.
    pub k: B::Activation,
    /// Values.
    pub v: B::Activation,
    before_norm: Option<[B::Activation; 2]>,
}

/// Queries, keys and values of the rows of x.
pub fn project<B: Backend>(
    d: &Reader<B>,
    w: &LayerWeights<B>,
    x: &B::Buffer,
    rows: usize,
    (rotations, dropout): (&B::Rotations, Option<[u32; 2]>),
) -> Result<Projected<B>> {
    let (b, c) = (d.backend, d.config);
    let (normed, _) = norm(d, x, w.norms[0], rows)?;
    let outputs = [c.num_heads, c.num_kv_heads, c.num_kv_heads].map(|heads| heads * c.head_dim);
    let [mut q, mut k, v] = w.linears(QKV, b, &normed, (rows, c.hidden_size, outputs), dropout)?;
    let mut before_norm = None;
    if let [Some(q_norm), Some(k_norm)] = w.head_norms {
        let (before_q, before_k) = (take(b, &mut q)?, take(b, &mut k)?);
        q = head_norm(d, &before_q, q_norm, rows * c.num_heads)?.0;
        k = head_norm(d, &before_k, k_norm, rows * c.num_kv_heads)?.0;
        before_norm = Some([before_q, before_k]);
    }
    b.rope(&mut q, rotations, c.num_heads, false)?;
    b.rope(&mut k, rotations, c.num_kv_heads, false)?;
    Ok(Projected { q, k, v, before_norm })
}

/// What the part of a layer behind attention gives.
pub struct Finished<B: Backend> {
    /// The residual stream between attention and MLP.
    pub middle: B::Buffer,
    gate: B::Activation,
    up: B::Activation,
    /// The residual stream behind the layer.
    pub output: B::Buffer,
}

/// The rest of the layer behind attention.
pub fn finish<B: Backend>(
    d: &Reader<B>,
    w: &LayerWeights<B>,
    mut x: B::Buffer,
    attended: &B::Activation,
    (rows, dropout): (usize, Option<[u32; 2]>),
) -> Result<Finished<B>> {
    let (b, c) = (d.backend, d.config);
    w.linear_add(O, b, attended, (rows, c.num_heads * c.head_dim), dropout, &mut x)?;
    let (normed, _) = norm(d, &x, w.norms[1], rows)?;
    let [gate, up] =
        w.linears(GATES, b, &normed, (rows, c.hidden_size, [c.intermediate_size; 2]), dropout)?;
    let mut inner = b.activation(rows * c.intermediate_size)?;
    b.swiglu(&gate, &up, &mut inner)?;
    let mut output = b.duplicate(&x)?;
    w.linear_add(DOWN, b, &inner, (rows, c.intermediate_size), dropout, &mut output)?;
    Ok(Finished { middle: x, gate, up, output })
}

/// Runs the layer over a forest.
pub fn forward<B: Backend>(
    d: &Reader<B>,
    w: &LayerWeights<B>,
    input: B::Buffer,
    places: &Places<B>,
) -> Result<Layered<B>> {
    let (b, c) = (d.backend, d.config);
    let rows = places.rows;
    let Projected { q, k, v, before_norm } =
        project(d, w, &input, rows, (&places.rotations, places.dropout))?;
    let mut attended = b.activation(rows * c.num_heads * c.head_dim)?;
    let mut log_sums = b.unspecified(rows * c.num_heads)?;
    b.attention([&q, &k, &v], &places.paths, d.heads(), &mut attended, &mut log_sums)?;
    let Finished { middle, gate, up, output } =
        finish(d, w, b.duplicate(&input)?, &attended, (rows, places.dropout))?;
    let saved = Saved { input, q, k, v, before_norm, attended, log_sums, middle, gate, up };
    Ok(Layered { saved, output })
}
