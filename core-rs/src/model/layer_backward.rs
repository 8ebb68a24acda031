//! The backward pass of a decoder layer.

use super::layer::{self, DOWN, GATES, LayerWeights, O, QKV, Saved, all, head_norm, norm};
use super::lora::LayerAdapters;
use super::params::LayerParams;
use super::reader::{Places, Reader};
use crate::Result;
use crate::backend::{Backend, Store};

/// Where the gradients of a layer are added: those of its weights, or those of its adapters.
pub struct LayerGradients<'a, B: Backend> {
    /// None where the weights are frozen.
    pub weights: Option<&'a mut LayerParams<B::Buffer>>,
    /// None where there are no adapters.
    pub adapters: Option<&'a mut LayerAdapters<B::Buffer>>,
}

/// The linear layers of a layer on the way back.
struct Linears<'a, B: Backend> {
    backend: &'a B,
    weights: &'a LayerParams<B::Buffer>,
    forward: &'a LayerWeights<'a, B>,
    gradients: LayerGradients<'a, B>,
    inputs: [usize; 7],
    rows: usize,
    /// The key of the pass's masks.
    dropout: Option<[u32; 2]>,
}

impl<B: Backend> Linears<'_, B> {
    /// Adds the gradients of a matrix and its bias, or of its adapter. What it gives is for [`Linears::dx`]: x may be
    /// dropped before that.
    fn dw(&mut self, i: usize, x: &B::Activation, d_y: &B::Activation) -> Result<Option<B::Activation>> {
        let Self { backend, forward, gradients, rows, dropout, .. } = self;
        let inputs = self.inputs[i];
        if let Some(weights) = &mut gradients.weights {
            let [d, ..] = &mut weights.linears_mut()[i..] else { unreachable!("a layer has seven matrices") };
            backend.linear_dw(x, d_y, inputs, &mut d.weight)?;
            if let Some(bias) = &mut d.bias {
                backend.bias_backward(d_y, bias)?;
            }
        }
        let d = gradients.adapters.as_mut().and_then(|adapters| adapters[i].as_mut());
        match (&forward.adapters[i], d) {
            (Some(adapter), Some(d)) => {
                adapter.dw(*backend, (x, d_y), (*rows, inputs), *dropout, d).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// d_x = or += what d_y, and what [`Linears::dw`] gave, are before the matrix and its adapter.
    fn dx(
        &self,
        i: usize,
        d_y: &B::Activation,
        d_low: Option<B::Activation>,
        d_x: &mut B::Buffer,
        store: Store,
    ) -> Result<()> {
        let inputs = self.inputs[i];
        self.backend.linear_dx(d_y, &self.weights.linears()[i].weight, inputs, d_x, store)?;
        match (&self.forward.adapters[i], d_low) {
            (Some(adapter), Some(d_low)) => {
                adapter.dx(self.backend, &d_low, (self.rows, inputs), self.dropout, d_x)
            }
            _ => Ok(()),
        }
    }

    /// Where the gradient of a norm goes.
    fn norm(
        &mut self,
        choose: impl FnOnce(&mut LayerParams<B::Buffer>) -> &mut B::Buffer,
    ) -> Option<&mut B::Buffer> {
        self.gradients.weights.as_deref_mut().map(choose)
    }
}

/// Turns dL/doutput in `d_x` into dL/dinput and adds the gradients. The gates are those of `saved`; `i` is the layer's
/// number.
pub fn backward<B: Backend>(
    d: &Reader<B>,
    (i, w): (usize, &LayerParams<B::Buffer>),
    saved: &Saved<B>,
    [mut gate, mut up]: [B::Activation; 2],
    places: &Places<B>,
    d_x: &mut B::Buffer,
    gradients: LayerGradients<B>,
) -> Result<()> {
    let (b, c) = (d.backend, d.config);
    let rows = places.rows;
    let (width, inner, queries) = (c.hidden_size, c.intermediate_size, c.num_heads * c.head_dim);
    let (forward, inputs) = (&d.layers[i], layer::inputs(c));
    let mut linears =
        Linears { backend: b, weights: w, forward, gradients, inputs, rows, dropout: places.dropout };

    let (normed, rstd) = norm(d, &saved.middle, &w.post_norm, rows)?;
    let mut activation = b.activation(rows * inner)?;
    b.swiglu(&gate, &up, &mut activation)?;
    let d_output = b.round(d_x, 1.0)?;
    let low = linears.dw(DOWN, &activation, &d_output)?;
    // What has been read is given back at once: these buffers are the largest of a step.
    drop(activation);
    let mut d_activation = b.unspecified(rows * inner)?;
    linears.dx(DOWN, &d_output, low, &mut d_activation, Store::Replace)?;
    b.swiglu_backward(&mut gate, &mut up, &d_activation)?;
    drop((d_activation, d_output));
    let d_gates = [gate, up];
    let [low_gate, low_up] =
        [linears.dw(GATES[0], &normed, &d_gates[0])?, linears.dw(GATES[1], &normed, &d_gates[1])?];
    let mut d_normed = b.unspecified(rows * width)?;
    linears.dx(GATES[0], &d_gates[0], low_gate, &mut d_normed, Store::Replace)?;
    linears.dx(GATES[1], &d_gates[1], low_up, &mut d_normed, Store::Add)?;
    drop((normed, d_gates));
    let d_norm = linears.norm(|d| &mut d.post_norm);
    b.rms_norm_backward(&saved.middle, &w.post_norm, &rstd, &d_normed, d_x, d_norm)?;

    let d_middle = b.round(d_x, 1.0)?;
    let low = linears.dw(O, &saved.attended, &d_middle)?;
    let mut d_attended = b.unspecified(rows * queries)?;
    linears.dx(O, &d_middle, low, &mut d_attended, Store::Replace)?;
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
    if let (Some([q, k]), Some(q_norm), Some(k_norm)) = (&saved.before_norm, &w.q_norm, &w.k_norm) {
        let mut d_norms = linears.gradients.weights.as_deref_mut().map(|d| (&mut d.q_norm, &mut d.k_norm));
        let d_norm = d_norms.as_mut().and_then(|(q, _)| q.as_mut());
        head_norm_backward(d, q, c.num_heads * rows, q_norm, &mut d_q, d_norm)?;
        let d_norm = d_norms.and_then(|(_, k)| k.as_mut());
        head_norm_backward(d, k, c.num_kv_heads * rows, k_norm, &mut d_k, d_norm)?;
    }
    let (normed, rstd) = norm(d, &saved.input, &w.input_norm, rows)?;
    let d_outputs = [d_q, d_k, d_v];
    let mut lows = [const { None }; 3];
    for ((&i, d_y), low) in QKV.iter().zip(&d_outputs).zip(&mut lows) {
        *low = linears.dw(i, &normed, d_y)?;
    }
    let stores = [Store::Replace, Store::Add, Store::Add];
    for (((i, d_y), low), store) in QKV.into_iter().zip(&d_outputs).zip(lows).zip(stores) {
        linears.dx(i, d_y, low, &mut d_normed, store)?;
    }
    let d_norm = linears.norm(|d| &mut d.input_norm);
    b.rms_norm_backward(&saved.input, &w.input_norm, &rstd, &d_normed, d_x, d_norm)
}

/// Turns dL/dy of a norm over the heads of x into dL/dx and adds the weight's gradient.
fn head_norm_backward<B: Backend>(
    d: &Reader<B>,
    x: &B::Activation,
    rows: usize,
    weight: &B::Buffer,
    gradient: &mut B::Activation,
    d_weight: Option<&mut B::Buffer>,
) -> Result<()> {
    let (_, rstd) = head_norm(d, x, weight, rows)?;
    d.backend.head_norm_backward(x, weight, &rstd, gradient, d_weight)
}
