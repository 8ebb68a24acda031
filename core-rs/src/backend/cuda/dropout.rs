//! Dropout by masks that are drawn where they are used.

use super::device::{Array, args, launch};
use super::driver::Grid;
use super::element::Element;
use super::kernels::{Kernel, Module};
use crate::Result;
use crate::backend::mask::{Mask, RUN};

fn kernel<A: Element>(name: &'static str) -> Kernel {
    Kernel { module: Module::new("dropout", A::ACTIVATION), name }
}

/// See [`crate::backend::Backend::dropout`].
pub fn forward<A: Element>(x: &Array<A>, mask: &Mask) -> Result<Array<A>> {
    let n = x.len();
    let y = Array::unspecified(x.device(), n)?;
    let [key, place] = mask.words();
    let (threshold, factor) = (mask.threshold(), mask.factor() as f32);
    let args = args![x, key[0], key[1], place[0], place[1], threshold, factor, &y, n];
    launch(x.device(), kernel::<A>("dropout"), Grid::cover(n.div_ceil(RUN)), args)?;
    Ok(y)
}

/// See [`crate::backend::Backend::dropout_backward`].
pub fn backward<A: Element>(d: &Array<f32>, mask: &Mask, d_x: &mut Array<f32>) -> Result<()> {
    let n = d.len();
    let [key, place] = mask.words();
    let (threshold, factor) = (mask.threshold(), mask.factor() as f32);
    let args = args![d, key[0], key[1], place[0], place[1], threshold, factor, d_x, n];
    launch(d.device(), kernel::<A>("dropout_backward"), Grid::cover(n.div_ceil(RUN)), args)
}
