//! One decoder layer: x + attention(norm(x)), then x + mlp(norm(x)).

use super::frozen::Held;
use super::params::LayerParams;
use super::reader::Reader;
use crate::backend::{Backend, Matrix, Store};
use crate::config::ModelConfig;
use crate::forest::Layout;

/// A layer's weights as forward reads them.
pub struct LayerWeights<'a, B: Backend> {
    /// Norms.
    norms: [&'a B::Buffer; 2],
    /// q, k, v, o, gate, up, down.
    matrices: [Matrix<'a, B>; 7],
}

impl<'a, B: Backend> LayerWeights<'a, B> {
    /// As they are stored.
    pub fn plain(w: &'a LayerParams<B::Buffer>) -> Self {
        let matrices = [&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down].map(Matrix::Plain);
        Self { norms: [&w.input_norm, &w.post_norm], matrices }
    }

    /// Of a frozen model.
    pub fn held(w: &'a LayerParams<Held<B>>) -> Self {
        let matrices = [&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down].map(Held::matrix);
        Self { norms: [&w.input_norm, &w.post_norm].map(Held::plain), matrices }
    }

    /// With packed matrices.
    pub fn packed(w: &'a LayerParams<B::Buffer>, packed: &'a [B::Packed; 7]) -> Self {
        Self { norms: [&w.input_norm, &w.post_norm], matrices: packed.each_ref().map(Matrix::Packed) }
    }
}

/// Packs a layer's matrices for [`LayerWeights::packed`].
pub fn pack<B: Backend>(backend: &B, c: &ModelConfig, w: &LayerParams<B::Buffer>) -> [B::Packed; 7] {
    let (width, queries, inner) = (c.hidden_size, c.num_heads * c.head_dim, c.intermediate_size);
    [
        (&w.q, width),
        (&w.k, width),
        (&w.v, width),
        (&w.o, queries),
        (&w.gate, width),
        (&w.up, width),
        (&w.down, inner),
    ]
    .map(|(m, inputs)| backend.pack(m, inputs))
}

/// What backward needs of a layer. Norms and the activation are cheap to compute again.
pub struct Saved<B: Backend> {
    /// The residual stream before the layer.
    pub input: B::Buffer,
    q: B::Activation,
    k: B::Activation,
    v: B::Activation,
    attended: B::Activation,
    log_sums: B::Buffer,
    middle: B::Buffer,
    gate: B::Activation,
    up: B::Activation,
}

/// What a forward pass through a layer gives.
pub struct Layered<B: Backend> {
    /// For backward.
    pub saved: Saved<B>,
    /// The residual stream behind the layer.
    pub output: B::Buffer,
    /// Each segment's keys and values, for generation.
    pub caches: Vec<B::Cache>,
}

fn norm<B: Backend>(
    d: &Reader<B>,
    x: &B::Buffer,
    weight: &B::Buffer,
    rows: usize,
) -> (B::Activation, B::Buffer) {
    let mut y = d.backend.activation(rows * d.config.hidden_size);
    let mut rstd = d.backend.unspecified(rows);
    d.backend.rms_norm(x, weight, d.config.rms_norm_eps, &mut y, &mut rstd);
    (y, rstd)
}

/// Queries, keys and values of the rows of x, rotated to their positions.
pub fn project<B: Backend>(
    d: &Reader<B>,
    w: &LayerWeights<B>,
    x: &B::Buffer,
    positions: &[u32],
) -> [B::Activation; 3] {
    let (b, c) = (d.backend, d.config);
    let rows = positions.len();
    let (normed, _) = norm(d, x, w.norms[0], rows);
    let outputs = [c.num_heads, c.num_kv_heads, c.num_kv_heads];
    let [mut q, mut k, v] = [0, 1, 2].map(|i| {
        let mut y = b.activation(rows * outputs[i] * c.head_dim);
        b.linear(&normed, w.matrices[i], c.hidden_size, &mut y);
        y
    });
    b.rope(&mut q, positions, c.num_heads, c.head_dim, c.rope_theta, false);
    b.rope(&mut k, positions, c.num_kv_heads, c.head_dim, c.rope_theta, false);
    [q, k, v]
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
) -> Finished<B> {
    let (b, c) = (d.backend, d.config);
    b.linear_into(attended, w.matrices[3], c.num_heads * c.head_dim, &mut x, Store::Add);
    let (normed, _) = norm(d, &x, w.norms[1], rows);
    let [gate, up] = [4, 5].map(|i| {
        let mut y = b.activation(rows * c.intermediate_size);
        b.linear(&normed, w.matrices[i], c.hidden_size, &mut y);
        y
    });
    let mut inner = b.activation(rows * c.intermediate_size);
    b.swiglu(&gate, &up, &mut inner);
    let mut output = b.duplicate(&x);
    b.linear_into(&inner, w.matrices[6], c.intermediate_size, &mut output, Store::Add);
    Finished { middle: x, gate, up, output }
}

/// Runs the layer over a forest.
pub fn forward<B: Backend>(
    d: &Reader<B>,
    w: &LayerWeights<B>,
    input: B::Buffer,
    layout: &Layout,
) -> Layered<B> {
    let (b, c) = (d.backend, d.config);
    let rows = layout.positions.len();
    let [q, k, v] = project(d, w, &input, &layout.positions);
    let mut attended = b.activation(rows * c.num_heads * c.head_dim);
    let mut log_sums = b.unspecified(rows * c.num_heads);
    let caches = b.attention([&q, &k, &v], layout, d.heads(), &mut attended, &mut log_sums);
    let Finished { middle, gate, up, output } = finish(d, w, b.duplicate(&input), &attended, rows);
    Layered { saved: Saved { input, q, k, v, attended, log_sums, middle, gate, up }, output, caches }
}

/// Turns dL/doutput in `d_x` into dL/dinput and adds the weights' gradients.
pub fn backward<B: Backend>(
    d: &Reader<B>,
    w: &LayerParams<B::Buffer>,
    saved: &Saved<B>,
    layout: &Layout,
    d_x: &mut B::Buffer,
    d_w: &mut LayerParams<B::Buffer>,
) {
    let (b, c) = (d.backend, d.config);
    let rows = layout.positions.len();
    let (width, inner, queries) = (c.hidden_size, c.intermediate_size, c.num_heads * c.head_dim);

    let (normed, rstd) = norm(d, &saved.middle, &w.post_norm, rows);
    let mut activation = b.activation(rows * inner);
    b.swiglu(&saved.gate, &saved.up, &mut activation);
    let d_output = b.round(d_x);
    b.linear_dw(&activation, &d_output, inner, &mut d_w.down);
    let mut d_activation = b.unspecified(rows * inner);
    b.linear_dx(&d_output, &w.down, inner, &mut d_activation, Store::Replace);
    let mut d_gate = b.duplicate_activation(&saved.gate);
    let mut d_up = b.duplicate_activation(&saved.up);
    b.swiglu_backward(&mut d_gate, &mut d_up, &d_activation);
    b.linear_dw(&normed, &d_gate, width, &mut d_w.gate);
    b.linear_dw(&normed, &d_up, width, &mut d_w.up);
    let mut d_normed = b.unspecified(rows * width);
    b.linear_dx(&d_gate, &w.gate, width, &mut d_normed, Store::Replace);
    b.linear_dx(&d_up, &w.up, width, &mut d_normed, Store::Add);
    b.rms_norm_backward(&saved.middle, &w.post_norm, &rstd, &d_normed, d_x, &mut d_w.post_norm);

    let d_middle = b.round(d_x);
    b.linear_dw(&saved.attended, &d_middle, queries, &mut d_w.o);
    let mut d_attended = b.unspecified(rows * queries);
    b.linear_dx(&d_middle, &w.o, queries, &mut d_attended, Store::Replace);
    let [mut d_q, mut d_k, mut d_v] =
        [c.num_heads, c.num_kv_heads, c.num_kv_heads].map(|heads| b.activation(rows * heads * c.head_dim));
    b.attention_backward(
        [&saved.q, &saved.k, &saved.v],
        &saved.attended,
        &saved.log_sums,
        &d_attended,
        layout,
        d.heads(),
        [&mut d_q, &mut d_k, &mut d_v],
    );
    b.rope(&mut d_q, &layout.positions, c.num_heads, c.head_dim, c.rope_theta, true);
    b.rope(&mut d_k, &layout.positions, c.num_kv_heads, c.head_dim, c.rope_theta, true);
    let (normed, rstd) = norm(d, &saved.input, &w.input_norm, rows);
    b.linear_dw(&normed, &d_q, width, &mut d_w.q);
    b.linear_dw(&normed, &d_k, width, &mut d_w.k);
    b.linear_dw(&normed, &d_v, width, &mut d_w.v);
    b.linear_dx(&d_q, &w.q, width, &mut d_normed, Store::Replace);
    b.linear_dx(&d_k, &w.k, width, &mut d_normed, Store::Add);
    b.linear_dx(&d_v, &w.v, width, &mut d_normed, Store::Add);
    b.rms_norm_backward(&saved.input, &w.input_norm, &rstd, &d_normed, d_x, &mut d_w.input_norm);
}
