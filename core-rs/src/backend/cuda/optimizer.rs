//! AdamW, and the norm that gradients are clipped to.

use super::device::{Array, Device, args, launch};
use super::driver::Grid;
use super::element::Element;
use super::kernels::{Kernel, Module};
use crate::Result;
use crate::backend::AdamWStep;

/// Elements that a block adds up. Fixed, because a sum's bits depend on it.
const CHUNK: usize = 1 << 16;
/// Elements that a thread of AdamW takes.
const RUN: usize = 4;

fn kernel<A: Element>(name: &'static str) -> Kernel {
    Kernel { module: Module::new("optimizer", A::ACTIVATION), name }
}

/// Σ x² of all arrays in f64: chunks of a fixed size, added in order.
pub fn sum_squares<A: Element>(device: &Device, arrays: &[&Array<f32>]) -> Result<f64> {
    let chunks: usize = arrays.iter().map(|x| x.len().div_ceil(CHUNK)).sum();
    let partial = Array::<f64>::unspecified(device, chunks)?;
    let mut first = 0;
    for x in arrays {
        let blocks = x.len().div_ceil(CHUNK);
        let part = partial.part(first..first + blocks);
        let args = args![*x, x.len(), CHUNK, &part];
        launch(device, kernel::<A>("chunk_squares"), Grid::new(blocks, 256), args)?;
        first += blocks;
    }
    Ok(partial.download()?.iter().sum())
}

/// Updates a run of weights, their moments and, where there is one, the copy that products read.
pub fn adamw<A: Element>(
    s: &AdamWStep,
    decays: bool,
    [weight, first, second]: [&Array<f32>; 3],
    gradient: &Array<f32>,
    copy: Option<&Array<A>>,
) -> Result<()> {
    let steps = i32::try_from(s.step).unwrap_or(i32::MAX);
    let decay = if decays { s.weight_decay } else { 0.0 };
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
    let n = weight.len();
    let copy = copy.map_or(0, Array::address);
    let args = args![
        weight, gradient, first, second, copy, beta1, rest1, beta2, rest2, rate, root, epsilon, keep, n
    ];
    launch(weight.device(), kernel::<A>("adamw"), Grid::cover(n.div_ceil(RUN)), args)
}
