//! Dropout by masks that are drawn where they are used.

use super::real::Real;
use super::stored::Stored;
use crate::backend::mask::{Mask, RUN};
use rayon::prelude::*;

/// Elements of a task, a multiple of [`RUN`].
const CHUNK: usize = 1 << 14;

/// Calls `work` with the place of each run of [`RUN`] elements in its chunk, whose number is given, and whether the mask
/// keeps each of them.
fn for_runs(mask: &Mask, chunk: usize, elements: usize, mut work: impl FnMut(usize, bool)) {
    let threshold = mask.threshold();
    for start in (0..elements).step_by(RUN) {
        let words = mask.draw(((chunk * CHUNK + start) / RUN) as u64);
        for (i, word) in (start..elements).zip(words) {
            work(i, word >= threshold);
        }
    }
}

/// See [`crate::backend::Backend::dropout`].
pub fn forward<F: Real, S: Stored<F>>(x: &[S], mask: &Mask, y: &mut [S]) {
    let factor = F::from_f64(mask.factor());
    (x.par_chunks(CHUNK), y.par_chunks_mut(CHUNK)).into_par_iter().enumerate().for_each(|(c, (x, y))| {
        for_runs(mask, c, x.len(), |i, keeps| {
            y[i] = if keeps { S::store(x[i].load() * factor) } else { S::default() };
        });
    });
}

/// See [`crate::backend::Backend::dropout_backward`].
pub fn backward<F: Real>(d: &[F], mask: &Mask, d_x: &mut [F]) {
    let factor = F::from_f64(mask.factor());
    (d.par_chunks(CHUNK), d_x.par_chunks_mut(CHUNK)).into_par_iter().enumerate().for_each(|(c, (d, d_x))| {
        for_runs(mask, c, d.len(), |i, keeps| {
            if keeps {
                d_x[i] += d[i] * factor;
            }
        });
    });
}
