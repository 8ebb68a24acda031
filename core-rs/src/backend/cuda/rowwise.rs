//! Launches of the operations on rows.

use super::device::{Array, args, launch};
use super::driver::Grid;
use super::element::Element;
use super::kernels::{Kernel, Module};
use crate::Result;

/// Threads of a block that takes a row.
const ROW_THREADS: u32 = 256;

fn kernel<A: Element>(name: &'static str) -> Kernel {
    Kernel { module: Module::new("rowwise", A::ACTIVATION), name }
}

/// See [`crate::backend::Backend::rms_norm`].
pub fn rms_norm<A: Element>(
    x: &Array<f32>,
    weight: &Array<f32>,
    epsilon: f64,
    y: &mut Array<A>,
    rstd: &mut Array<f32>,
) -> Result<()> {
    let width = weight.len() as u32;
    let grid = Grid::new(rstd.len(), ROW_THREADS);
    launch(x.device(), kernel::<A>("rms_norm"), grid, args![x, weight, epsilon as f32, width, y, rstd])
}
