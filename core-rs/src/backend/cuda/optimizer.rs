//! AdamW, and the norm that gradients are clipped to.

use super::buffer::ALIGNMENT;
use super::device::{Array, Device, args, launch};
use super::driver::Grid;
use super::element::Element;
use super::kernels::{Kernel, Module};
use crate::Result;
use crate::backend::AdamWStep;
use half::bf16;

/// Elements that a block adds up. Fixed, because a sum's bits depend on it.
const CHUNK: usize = 1 << 16;
/// Elements that a thread of AdamW takes.
const RUN: usize = 4;

fn kernel<A: Element>(name: &'static str) -> Kernel {
    Kernel { module: Module::new("optimizer", A::ACTIVATION), name }
}

/// Neighbours that can be joined as one each, in the order of their places in memory.
fn runs<T>(mut tensors: Vec<T>, place: impl Fn(&T) -> u64, joined: impl Fn(&T, &T) -> Option<T>) -> Vec<T> {
    tensors.sort_by_key(&place);
    let mut runs: Vec<T> = Vec::new();
    for tensor in tensors {
        let longer = runs.last().and_then(|run| joined(run, &tensor));
        match (runs.last_mut(), longer) {
            (Some(run), Some(longer)) => *run = longer,
            _ => runs.push(tensor),
        }
    }
    runs
}

/// Σ x² of all arrays in f64: chunks of a fixed size, added in order. What lies between arrays of one allocation is
/// zeros.
pub fn sum_squares<A: Element>(device: &Device, arrays: &[&Array<f32>]) -> Result<f64> {
    let arrays = arrays.iter().map(|x| x.whole()).collect();
    let runs = runs(arrays, Array::address, |a, b| a.joined(b, ALIGNMENT));
    let chunks: usize = runs.iter().map(|x| x.len().div_ceil(CHUNK)).sum();
    let partial = Array::<f64>::unspecified(device, chunks)?;
    let mut first = 0;
    for x in &runs {
        let blocks = x.len().div_ceil(CHUNK);
        let part = partial.part(first..first + blocks);
        let args = args![x, x.len(), CHUNK, &part];
        launch(device, kernel::<A>("chunk_squares"), Grid::new(blocks, 256), args)?;
        first += blocks;
    }
    Ok(partial.download()?.iter().sum())
}

/// A tensor that a step changes.
pub struct Tensor {
    /// Its values.
    pub weight: Array<f32>,
    /// What products read of it, where that is another array.
    pub copy: Option<Array<bf16>>,
    /// Its gradient.
    pub gradient: Array<f32>,
    /// First and second moment.
    pub moments: [Array<f32>; 2],
    /// Whether its weight decays.
    pub decays: bool,
}

impl Tensor {
    fn joined(&self, next: &Self) -> Option<Self> {
        let ([first, second], [next_first, next_second]) = (&self.moments, &next.moments);
        let copy = match (&self.copy, &next.copy) {
            (Some(copy), Some(next)) => Some(copy.joined(next, ALIGNMENT)?),
            (None, None) => None,
            _ => return None,
        };
        (self.decays == next.decays).then_some(())?;
        Some(Self {
            weight: self.weight.joined(&next.weight, ALIGNMENT)?,
            copy,
            gradient: self.gradient.joined(&next.gradient, ALIGNMENT)?,
            moments: [first.joined(next_first, ALIGNMENT)?, second.joined(next_second, ALIGNMENT)?],
            decays: self.decays,
        })
    }
}

/// Updates weights, their moments and what products read of them: those of one allocation at once.
pub fn adamw<A: Element>(s: &AdamWStep, tensors: Vec<Tensor>) -> Result<()> {
    let steps = i32::try_from(s.step).unwrap_or(i32::MAX);
    for tensor in runs(tensors, |t| t.weight.address(), Tensor::joined) {
        let Tensor { weight, copy, gradient, moments: [first, second], decays } = &tensor;
        let decay = if *decays { s.weight_decay } else { 0.0 };
        let [beta1, rest1, beta2, rest2, rate, root, epsilon, keep] = [
            s.beta1,
            (1.0 - s.beta1) * s.gradient_scale,
            s.beta2,
            (1.0 - s.beta2) * s.gradient_scale * s.gradient_scale,
            s.learning_rate / (1.0 - s.beta1.powi(steps)),
            1.0 / (1.0 - s.beta2.powi(steps)).sqrt(),
            s.epsilon,
            1.0 - s.learning_rate * decay,
        ]
        .map(|x| x as f32);
        let (n, copy) = (weight.len(), copy.as_ref().map_or(0, Array::address));
        let args = args![
            weight, gradient, first, second, copy, beta1, rest1, beta2, rest2, rate, root, epsilon, keep, n
        ];
        launch(weight.device(), kernel::<A>("adamw"), Grid::cover(n.div_ceil(RUN)), args)?;
    }
    Ok(())
}
