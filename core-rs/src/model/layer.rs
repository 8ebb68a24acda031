//! One decoder layer: x + attention(norm(x)), then x + mlp(norm(x)).

use super::frozen::Held;
use super::params::{LayerParams, Linear};
use super::reader::{Places, Reader};
use crate::Result;
use crate::backend::{Backend, Matrix, Store};
use crate::config::ModelConfig;

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
}

/// All values, or the first error.
fn all<T, const N: usize>(results: [Result<T>; N]) -> Result<[T; N]> {
    let values: Vec<T> = results.into_iter().collect::<Result<_>>()?;
    Ok(values.try_into().unwrap_or_else(|_| unreachable!("as many values as results")))
}

fn linears<T>(w: &LayerParams<T>) -> [&Linear<T>; 7] {
    [&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down]
}

impl<'a, B: Backend> LayerWeights<'a, B> {
    /// As they are stored.
    pub fn plain(w: &'a LayerParams<B::Buffer>) -> Self {
        Self::new(w, linears(w).map(|l| Matrix::Plain(&l.weight)), |x| x)
    }

    /// Of a frozen model.
    pub fn held(w: &'a LayerParams<Held<B>>) -> Self {
        Self::new(w, linears(w).map(|l| l.weight.matrix()), Held::plain)
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
            biases: linears(w).map(|l| l.bias.as_ref().map(&plain)),
        }
    }

    /// x · matrixᵀ for some of the matrices, and the bias after the whole product. `outputs` are their widths.
    fn linears<const N: usize>(
        &self,
        which: [usize; N],
        backend: &B,
        x: &B::Activation,
        (rows, inputs, outputs): (usize, usize, [usize; N]),
    ) -> Result<[B::Activation; N]> {
        let mut ys = all(outputs.map(|width| backend.activation(rows * width)))?;
        backend.linears(x, which.map(|i| self.matrices[i]), inputs, ys.each_mut())?;
        for (i, y) in which.into_iter().zip(&mut ys) {
            if let Some(bias) = self.biases[i] {
                backend.add_bias(bias, y)?;
            }
        }
        Ok(ys)
    }

    /// y += x · matrixᵀ, and the bias after the whole product.
    fn linear_add(
        &self,
        i: usize,
        backend: &B,
        x: &B::Activation,
        inputs: usize,
        y: &mut B::Buffer,
    ) -> Result<()> {
        backend.linear_into(x, self.matrices[i], inputs, y, Store::Add)?;
        match self.biases[i] {
            Some(bias) => backend.add_bias_into(bias, y),
            None => Ok(()),
        }
    }
}

/// Packs a layer's matrices for [`LayerWeights::packed`].
pub fn pack<B: Backend>(backend: &B, c: &ModelConfig, w: &LayerParams<B::Buffer>) -> Result<[B::Packed; 7]> {
    let (width, queries, inner) = (c.hidden_size, c.num_heads * c.head_dim, c.intermediate_size);
    let inputs = [width, width, width, queries, width, width, inner];
    all(std::array::from_fn(|i| backend.pack(&linears(w)[i].weight, inputs[i])))
}

/// What backward needs of a layer. Norms and the activation are cheap to compute again.
pub struct Saved<B: Backend> {
    /// The residual stream before the layer.
    pub input: B::Buffer,
    q: B::Activation,
    k: B::Activation,
    v: B::Activation,
    /// Queries and keys before the norms of their heads, where there are such.
    before_norm: Option<[B::Activation; 2]>,
    attended: B::Activation,
    log_sums: B::Buffer,
    middle: B::Buffer,
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

fn norm<B: Backend>(
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

fn head_norm<B: Backend>(
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
    rotations: &B::Rotations,
) -> Result<Projected<B>> {
    let (b, c) = (d.backend, d.config);
    let (normed, _) = norm(d, x, w.norms[0], rows)?;
    let outputs = [c.num_heads, c.num_kv_heads, c.num_kv_heads].map(|heads| heads * c.head_dim);
    let [mut q, mut k, v] = w.linears([0, 1, 2], b, &normed, (rows, c.hidden_size, outputs))?;
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
    rows: usize,
) -> Result<Finished<B>> {
    let (b, c) = (d.backend, d.config);
    w.linear_add(3, b, attended, c.num_heads * c.head_dim, &mut x)?;
    let (normed, _) = norm(d, &x, w.norms[1], rows)?;
    let [gate, up] = w.linears([4, 5], b, &normed, (rows, c.hidden_size, [c.intermediate_size; 2]))?;
    let mut inner = b.activation(rows * c.intermediate_size)?;
    b.swiglu(&gate, &up, &mut inner)?;
    let mut output = b.duplicate(&x)?;
    w.linear_add(6, b, &inner, c.intermediate_size, &mut output)?;
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
    let Projected { q, k, v, before_norm } = project(d, w, &input, rows, &places.rotations)?;
    let mut attended = b.activation(rows * c.num_heads * c.head_dim)?;
    let mut log_sums = b.unspecified(rows * c.num_heads)?;
    b.attention([&q, &k, &v], &places.paths, d.heads(), &mut attended, &mut log_sums)?;
    let Finished { middle, gate, up, output } = finish(d, w, b.duplicate(&input)?, &attended, rows)?;
    let saved = Saved { input, q, k, v, before_norm, attended, log_sums, middle, gate, up };
    Ok(Layered { saved, output })
}

/// Adds the gradients of a matrix and its bias.
fn linear_dw<B: Backend>(
    b: &B,
    x: &B::Activation,
    d_y: &B::Activation,
    inputs: usize,
    d: &mut Linear<B::Buffer>,
) -> Result<()> {
    b.linear_dw(x, d_y, inputs, &mut d.weight)?;
    match &mut d.bias {
        Some(bias) => b.bias_backward(d_y, bias),
        None => Ok(()),
    }
}

/// Turns dL/doutput in `d_x` into dL/dinput and adds the weights' gradients. The gates are those of `saved`.
pub fn backward<B: Backend>(
    d: &Reader<B>,
    w: &LayerParams<B::Buffer>,
    saved: &Saved<B>,
    [mut gate, mut up]: [B::Activation; 2],
    places: &Places<B>,
    d_x: &mut B::Buffer,
    d_w: &mut LayerParams<B::Buffer>,
) -> Result<()> {
    let (b, c) = (d.backend, d.config);
    let rows = places.rows;
    let (width, inner, queries) = (c.hidden_size, c.intermediate_size, c.num_heads * c.head_dim);

    let (normed, rstd) = norm(d, &saved.middle, &w.post_norm, rows)?;
    let mut activation = b.activation(rows * inner)?;
    b.swiglu(&gate, &up, &mut activation)?;
    let d_output = b.round(d_x)?;
    linear_dw(b, &activation, &d_output, inner, &mut d_w.down)?;
    // What has been read is given back at once: these buffers are the largest of a step.
    drop(activation);
    let mut d_activation = b.unspecified(rows * inner)?;
    b.linear_dx(&d_output, &w.down.weight, inner, &mut d_activation, Store::Replace)?;
    b.swiglu_backward(&mut gate, &mut up, &d_activation)?;
    drop((d_activation, d_output));
    let (d_gate, d_up) = (gate, up);
    linear_dw(b, &normed, &d_gate, width, &mut d_w.gate)?;
    linear_dw(b, &normed, &d_up, width, &mut d_w.up)?;
    let mut d_normed = b.unspecified(rows * width)?;
    b.linear_dx(&d_gate, &w.gate.weight, width, &mut d_normed, Store::Replace)?;
    b.linear_dx(&d_up, &w.up.weight, width, &mut d_normed, Store::Add)?;
    drop((normed, d_gate, d_up));
    b.rms_norm_backward(&saved.middle, &w.post_norm, &rstd, &d_normed, d_x, &mut d_w.post_norm)?;

    let d_middle = b.round(d_x)?;
    linear_dw(b, &saved.attended, &d_middle, queries, &mut d_w.o)?;
    let mut d_attended = b.unspecified(rows * queries)?;
    b.linear_dx(&d_middle, &w.o.weight, queries, &mut d_attended, Store::Replace)?;
    drop(d_middle);
    let outputs = [c.num_heads, c.num_kv_heads, c.num_kv_heads].map(|heads| rows * heads * c.head_dim);
    let [mut d_q, mut d_k, mut d_v] = all(outputs.map(|n| b.activation(n)))?;
    b.attention_backward(
        [&saved.q, &saved.k, &saved.v],
        &saved.attended,
        &saved.log_sums,
        &d_attended,
        &places.paths,
        d.heads(),
        [&mut d_q, &mut d_k, &mut d_v],
    )?;
    drop(d_attended);
    b.rope(&mut d_q, &places.rotations, c.num_heads, true)?;
    b.rope(&mut d_k, &places.rotations, c.num_kv_heads, true)?;
    if let Some([q, k]) = &saved.before_norm {
        head_norm_backward(d, q, c.num_heads * rows, &w.q_norm, &mut d_q, &mut d_w.q_norm)?;
        head_norm_backward(d, k, c.num_kv_heads * rows, &w.k_norm, &mut d_k, &mut d_w.k_norm)?;
    }
    let (normed, rstd) = norm(d, &saved.input, &w.input_norm, rows)?;
    linear_dw(b, &normed, &d_q, width, &mut d_w.q)?;
    linear_dw(b, &normed, &d_k, width, &mut d_w.k)?;
    linear_dw(b, &normed, &d_v, width, &mut d_w.v)?;
    b.linear_dx(&d_q, &w.q.weight, width, &mut d_normed, Store::Replace)?;
    b.linear_dx(&d_k, &w.k.weight, width, &mut d_normed, Store::Add)?;
    b.linear_dx(&d_v, &w.v.weight, width, &mut d_normed, Store::Add)?;
    b.rms_norm_backward(&saved.input, &w.input_norm, &rstd, &d_normed, d_x, &mut d_w.input_norm)
}

/// Turns dL/dy of a norm over the heads of x into dL/dx and adds the weight's gradient.
fn head_norm_backward<B: Backend>(
    d: &Reader<B>,
    x: &B::Activation,
    rows: usize,
    weight: &Option<B::Buffer>,
    gradient: &mut B::Activation,
    d_weight: &mut Option<B::Buffer>,
) -> Result<()> {
    if let (Some(weight), Some(d_weight)) = (weight, d_weight) {
        let (_, rstd) = head_norm(d, x, weight, rows)?;
        d.backend.head_norm_backward(x, weight, &rstd, gradient, d_weight)?;
    }
    Ok(())
}
