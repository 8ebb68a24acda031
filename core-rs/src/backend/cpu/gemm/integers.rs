//! Products of 8-bit integers: quantised weights by activations that are rounded on the way, each run of them with a
//! scale of its own (as LLM.int8 does with vectors; Dettmers et al. 2022, arXiv:2208.07339, section 2.1).
//!
//! A run's sum is exact. Runs are added in ascending order of k, each step rounded by itself and never fused, so that
//! a result has the same bits on every processor, in any batch and with any number of threads.

use super::super::disjoint::Disjoint;
#[cfg(target_arch = "x86_64")]
use super::super::isa::Isa;
use super::super::isa::simd_fn;
use super::super::real::Real;
use super::super::stored::Stored;
#[cfg(any(test, not(target_family = "wasm")))]
use super::blocks::VECTOR;
use super::blocks::{Blocks, Factors, LANES, QUAD, put_words};
use super::kernel::{PANEL, Product};
use super::{PARALLEL_FROM, Right, Store, View};
use crate::backend::Scalar;
use rayon::prelude::*;

/// Rows that a kernel takes together.
pub(super) const ROWS: usize = 6;
/// Lengths of a run where a matrix is rounded here, the best first.
const RUNS: [usize; 4] = [32, 16, 8, 4];

/// Rows of activations in 8-bit integers.
pub(super) struct Rounded {
    pub k: usize,
    pub run: usize,
    /// `[rows][k]`
    pub integers: Vec<i8>,
    /// `[rows][k / run]`
    pub scales: Vec<f32>,
    /// Of each run's integers.
    pub sums: Vec<i32>,
    /// Each quad of integers twice in 16 bits, as simd128 multiplies them.
    #[cfg(target_family = "wasm")]
    pub quads: Vec<[i16; 8]>,
}

simd_fn! {
    /// Rounds a run to multiples of a 127th of its largest magnitude. Gives that scale, NaN where a number is not
    /// finite, and the sum of the integers.
    fn round_run<F, L>(x: &[L], q: &mut [i8]) -> (f32, i32) {
        let _ = FMA;
        let number = |x: L| x.load().to_f64() as f32;
        // Magnitudes are ordered as their bits are, and what is not finite comes last.
        let largest = x.iter().map(|&x| number(x).to_bits() & !(1 << 31)).fold(0, u32::max);
        let scale = f32::from_bits(largest) / 127.0;
        let inverse = if scale >= f32::MIN_POSITIVE { 1.0 / scale } else { 0.0 };
        for (q, &x) in q.iter_mut().zip(x) {
            // Behind 1.5 · 2²³ a unit is the last bit, so that adding rounds to integers, ties to even.
            *q = (number(x) * inverse + 12_582_912.0).to_bits() as i8;
        }
        let sum = q.iter().map(|&q| i32::from(q)).sum();
        (if largest < f32::INFINITY.to_bits() { scale } else { f32::NAN }, sum)
    }
}

impl Rounded {
    fn new<F: Real, L: Stored<F>>(a: View<L>, rows: usize, k: usize, run: usize) -> Self {
        assert!(a.column == 1, "only rows can be rounded");
        let runs = k / run;
        let mut rounded = Self {
            k,
            run,
            integers: vec![0; rows * k],
            scales: vec![0.0; rows * runs],
            sums: vec![0; rows * runs],
            #[cfg(target_family = "wasm")]
            quads: Vec::new(),
        };
        let parts = (
            rounded.integers.par_chunks_exact_mut(k),
            rounded.scales.par_chunks_exact_mut(runs),
            rounded.sums.par_chunks_exact_mut(runs),
        );
        let many = parts.into_par_iter().enumerate().with_min_len(PARALLEL_FROM.div_ceil(8 * k));
        many.for_each(|(i, (integers, scales, sums))| {
            let row = &a.data[i * a.row..][..k];
            for (r, q) in integers.chunks_exact_mut(run).enumerate() {
                (scales[r], sums[r]) = round_run::<F, L>(&row[r * run..][..run], q);
            }
        });
        #[cfg(target_family = "wasm")]
        {
            let quads = rounded.integers.as_chunks::<QUAD>().0.iter();
            rounded.quads = quads.map(|q| std::array::from_fn(|i| i16::from(q[i % QUAD]))).collect();
        }
        rounded
    }
}

impl Blocks {
    /// A matrix (k × n, by its transpose) rounded to 8-bit integers with a scale for each run of 32 of k, or the
    /// longest that k is a multiple of. `None` where it is not even one of four.
    pub fn rounded<F: Real>(weight: &[F], k: usize) -> Option<Self> {
        let run = RUNS.into_iter().find(|run| k.is_multiple_of(*run))?;
        let n = weight.len() / k;
        let runs = k / run;
        let size = run * LANES;
        let mut integers = vec![0; n.div_ceil(PANEL) * k * PANEL];
        let mut scales = vec![0.0; n.div_ceil(PANEL) * runs * PANEL];
        let panels = (integers.par_chunks_exact_mut(k * PANEL), scales.par_chunks_exact_mut(runs * PANEL));
        panels.into_par_iter().zip(weight.par_chunks(k * PANEL)).for_each(|((out, scales), rows)| {
            let mut q = vec![0; run];
            for (lane, row) in rows.chunks_exact(k).enumerate() {
                for (r, x) in row.chunks_exact(run).enumerate() {
                    (scales[r * PANEL + lane], _) = round_run::<F, F>(x, &mut q);
                    let half = r * (PANEL / LANES) + lane / LANES;
                    put_words(&q, false, &mut out[half * size + lane % LANES * QUAD..]);
                }
            }
        });
        let (scales, minimums) = (Factors::Full(scales), Factors::None);
        Some(Self { k, n, run, nibbles: false, integers, scales, minimums })
    }
}

/// The left-hand matrix rounded for each length of runs among the right-hand sides.
pub(super) fn lefts<'r, P: Product + 'r>(
    a: &View<P::Left>,
    (m, k): (usize, usize),
    rights: impl Iterator<Item = &'r Right<'r, P>>,
) -> Vec<Rounded> {
    let mut lefts: Vec<Rounded> = Vec::new();
    for right in rights {
        if let Right::Integers(blocks, _) = right
            && lefts.iter().all(|left| left.run != blocks.run)
        {
            lefts.push(Rounded::new::<P::Sum, P::Left>(*a, m, k, blocks.run));
        }
    }
    lefts
}

/// A rectangle of a product with integers, rows × columns, which starts at element (i, j) of the result and column
/// `first` of the blocks.
///
/// # Safety
/// The result's buffer is alive, and nobody else touches the rectangle.
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn rectangle<P: Product, O: Stored<P::Sum>>(
    blocks: &Blocks,
    first: usize,
    lefts: &[Rounded],
    (rows, columns): (usize, usize),
    c: Disjoint<O>,
    (i, j): (usize, usize),
    stride: usize,
    into: Store,
) {
    assert!(into != Store::Continue, "a chain cannot go on through integers");
    let left = lefts.iter().find(|left| left.run == blocks.run).expect("the left side has been rounded");
    for from in (0..columns).step_by(PANEL) {
        let width = PANEL.min(columns - from);
        for i0 in (i..i + rows).step_by(ROWS) {
            let mut sums = [[0.0; PANEL]; ROWS];
            let sums = &mut sums[..ROWS.min(i + rows - i0)];
            tile(blocks, (first + from) / PANEL, left, i0, sums);
            for (row, sums) in (i0..).zip(&*sums) {
                // SAFETY: the row's part lies in the rectangle.
                let out = unsafe { c.slice(row * stride + j + from, width) };
                for (out, &sum) in out.iter_mut().zip(sums) {
                    let sum = P::Sum::from_f64(f64::from(sum));
                    *out = O::store(if into == Store::Add { out.load() + sum } else { sum });
                }
            }
        }
    }
}

/// Sums of up to [`ROWS`] rows, from row i on, with one panel's columns.
fn tile(blocks: &Blocks, panel: usize, left: &Rounded, i: usize, sums: &mut [[f32; PANEL]]) {
    #[cfg(target_arch = "x86_64")]
    if Isa::multiplies_int8() {
        // SAFETY: the features have been seen.
        unsafe { super::integers_x86::tile(blocks, panel, left, i, sums) };
        return;
    }
    #[cfg(target_family = "wasm")]
    super::integers_wasm::tile(blocks, panel, left, i, sums);
    #[cfg(not(target_family = "wasm"))]
    for (row, sums) in (i..).zip(sums) {
        portable::<f32>(blocks, panel, left, row, sums);
    }
}

#[cfg(any(test, not(target_family = "wasm")))]
simd_fn! {
    /// Plain loops for one row.
    fn portable<F>(blocks: &Blocks, panel: usize, left: &Rounded, row: usize, sums: &mut [f32; PANEL]) {
        let _ = (FMA, F::ZERO);
        let (runs, size) = (left.k / left.run, blocks.run_bytes());
        let (mut scales, mut minimums) = ([0.0; PANEL], [0.0; PANEL]);
        for run in 0..runs {
            let at = panel * runs + run;
            blocks.scales.read(at * PANEL, &mut scales);
            blocks.minimums.read(at * PANEL, &mut minimums);
            let x = &left.integers[row * left.k + run * left.run..][..left.run];
            let scale = left.scales[row * runs + run];
            let offset = scale * left.sums[row * runs + run] as f32;
            for half in 0..PANEL / LANES {
                let vectors = &blocks.integers[(at * (PANEL / LANES) + half) * size..][..size];
                let dots = half_dots(vectors.as_chunks().0, blocks.nibbles, x);
                for (lane, &dot) in (half * LANES..).zip(&dots) {
                    sums[lane] += dot as f32 * (scales[lane] * scale);
                    sums[lane] += minimums[lane] * offset;
                }
            }
        }
    }
}

/// Exact sums of a run with the columns of half a panel.
#[cfg(any(test, not(target_family = "wasm")))]
#[inline(always)]
fn half_dots(vectors: &[[u8; VECTOR]], nibbles: bool, x: &[i8]) -> [i32; LANES] {
    let mut dots = [0; LANES];
    let mut quads = x.as_chunks::<QUAD>().0.iter();
    for vector in vectors {
        let shifts: &[u32] = if nibbles { &[0, 4] } else { &[0] };
        for (&shift, quad) in shifts.iter().zip(&mut quads) {
            for (dot, word) in dots.iter_mut().zip(vector.as_chunks::<QUAD>().0) {
                for (&byte, &x) in word.iter().zip(quad) {
                    let w = if nibbles { byte >> shift & 0xf } else { byte } as i8;
                    *dot += i32::from(w) * i32::from(x);
                }
            }
        }
    }
    dots
}

#[cfg(test)]
mod tests {
    use super::super::{Full, gemm, gemm_parallel};
    use super::*;
    use crate::weights::StoredTensor;
    use crate::weights::dequantize::Encoding;
    use half::bf16;

    fn filled(n: usize, seed: f32) -> Vec<f32> {
        (0..n).map(|i| ((i as f32 + 1.0) * seed).sin()).collect()
    }

    fn multiply(m: usize, a: &[f32], blocks: &Blocks, into: Store, c: &mut [f32]) {
        let right = Right::<Full<f32>>::Integers(blocks, 0);
        let shape = (m, blocks.n, blocks.k);
        gemm(shape, View::rows(a, blocks.k), right, c, blocks.n, into);
    }

    /// The definition in f64, of numbers rounded by it.
    fn slow(m: usize, a: &[f32], blocks: &Blocks) -> Vec<f64> {
        let (k, run) = (blocks.k, blocks.run);
        let rounded: Vec<f64> = a
            .chunks(run)
            .flat_map(|x| {
                let largest = x.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                let scale = largest / 127.0;
                x.iter().map(move |x| f64::from(scale) * f64::from((x * (1.0 / scale)).round_ties_even()))
            })
            .collect();
        let columns: Vec<Vec<f64>> = (0..blocks.n)
            .map(|j| {
                let mut column = vec![0.0; k];
                blocks.column::<f64>(j, &mut column);
                column
            })
            .collect();
        let dot = |i: usize, w: &[f64]| rounded[i * k..][..k].iter().zip(w).map(|(x, w)| x * w).sum();
        (0..m).flat_map(|i| columns.iter().map(move |w| dot(i, w))).collect()
    }

    /// Every block format, and matrices that are rounded here, with runs of 32, 16, 8 and 4.
    fn matrices() -> Vec<(String, Blocks)> {
        let mut all = Vec::new();
        for number in [2, 3, 6, 7, 8, 12, 13, 14] {
            let encoding = Encoding::from_ggml(number).unwrap();
            let (n, k) = (70, 2 * encoding.block_len().max(128));
            let mut state = number;
            let bytes: Vec<u8> = (0..n * k / encoding.block_len() * encoding.block_bytes())
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // Small finite f16 wherever scales stand.
                    (state >> 24) as u8 % 0x30
                })
                .collect();
            let stored = StoredTensor::of_blocks(encoding, [n, k], &bytes);
            all.push((format!("{encoding:?}"), Blocks::transposed(&stored).unwrap().unwrap()));
        }
        for k in [96, 48, 24, 12] {
            all.push((format!("rounded, k = {k}"), Blocks::rounded(&filled(70 * k, 0.9), k).unwrap()));
        }
        all
    }

    #[test]
    fn every_format_agrees_with_the_definition() {
        for (name, blocks) in matrices() {
            let m = 15;
            let a = filled(m * blocks.k, 0.37);
            let expected = slow(m, &a, &blocks);
            let size = expected.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
            let mut c = vec![0.0; expected.len()];
            multiply(m, &a, &blocks, Store::Replace, &mut c);
            let mut twice = c.clone();
            multiply(m, &a, &blocks, Store::Add, &mut twice);
            for ((&c, &twice), &e) in c.iter().zip(&twice).zip(&expected) {
                assert!((f64::from(c) - e).abs() < 1e-5 * size, "{name}: {c} against {e}");
                assert_eq!(twice, 2.0 * c, "{name}");
            }
        }
    }

    #[test]
    fn bits_depend_on_neither_batch_nor_threads_nor_processor() {
        for (name, blocks) in matrices() {
            let (m, k, n) = (39, blocks.k, blocks.n);
            let a = filled(m * k, 0.53);
            let mut all = vec![0.0; m * n];
            let right = Right::<Full<f32>>::Integers(&blocks, 0);
            gemm_parallel((m, n, k), View::rows(&a, k), right, &mut all, n, Store::Replace);
            for rows in [1, 5, 6, 7, 16] {
                let mut some = vec![0.0; rows * n];
                multiply(rows, &a, &blocks, Store::Replace, &mut some);
                assert_eq!(some, all[..rows * n], "{name}, {rows} rows");
            }
            let left = Rounded::new::<f32, f32>(View::rows(&a, k), m, k, blocks.run);
            for row in 0..m {
                for panel in 0..n.div_ceil(PANEL) {
                    let mut sums = [0.0; PANEL];
                    portable::<f32>(&blocks, panel, &left, row, &mut sums);
                    let width = PANEL.min(n - panel * PANEL);
                    assert_eq!(sums[..width], all[row * n + panel * PANEL..][..width], "{name}, row {row}");
                }
            }
        }
    }

    #[test]
    fn columns_may_start_at_any_panel_and_results_may_be_narrow() {
        let blocks = Blocks::rounded(&filled(100 * 64, 0.9), 64).unwrap();
        let a = filled(3 * 64, 0.2);
        let mut all = vec![0.0; 300];
        multiply(3, &a, &blocks, Store::Replace, &mut all);
        let mut part = vec![bf16::ZERO; 3 * 36];
        let right = Right::<Full<f32>>::Integers(&blocks, 0).from_column(64);
        gemm_parallel((3, 36, 64), View::rows(&a, 64), right, &mut part, 36, Store::Replace);
        for (i, x) in part.iter().enumerate() {
            assert_eq!(*x, bf16::from_f32(all[i / 36 * 100 + 64 + i % 36]));
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        let blocks = Blocks::rounded(&filled(32 * 64, 0.9), 64).unwrap();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut a = filled(64, 0.2);
            a[40] = bad;
            let mut c = vec![0.0; 32];
            multiply(1, &a, &blocks, Store::Replace, &mut c);
            assert!(c.iter().all(|c| c.is_nan()), "{bad}: {c:?}");
        }
        let mut c = vec![1.0; 32];
        multiply(1, &[f32::MIN_POSITIVE / 4.0; 64], &blocks, Store::Replace, &mut c);
        assert_eq!(c, [0.0; 32]);
    }

    #[test]
    fn a_matrix_that_no_run_divides_is_not_rounded() {
        assert!(Blocks::rounded(&filled(30, 0.9), 30).is_none());
    }
}
