//! Quantised right-hand matrices: kept as integers with scales, and expanded one block of a panel at a time, in the
//! cache. An expanded weight has the bits that reading the file to f32 gives.

use super::super::isa::simd_fn;
use super::super::real::Real;
use super::kernel::{PANEL, Product};
use crate::Result;
use crate::weights::StoredTensor;
use crate::weights::quantised::Runs;
use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

/// Columns whose integers stand together: as many 32-bit words as a vector has.
const LANES: usize = 16;
/// Neighbours in k in one word.
const QUAD: usize = 4;
/// Bytes of a vector of words.
const VECTOR: usize = LANES * QUAD;

/// Scales or minimums: `[n / PANEL][k / run][PANEL]`.
pub(super) enum Factors {
    /// What formats with one scale a block store.
    Half(Vec<f16>),
    /// Products of two scales.
    Full(Vec<f32>),
    /// Zeros.
    None,
}

impl Factors {
    fn from_panels(half: bool, panels: &[Vec<f32>]) -> Self {
        let all = panels.iter().flatten().copied();
        if half { Factors::Half(all.map(f16::from_f32).collect()) } else { Factors::Full(all.collect()) }
    }

    /// Those of a panel's columns, from element `at`.
    fn read(&self, at: usize, out: &mut [f32; PANEL]) {
        match self {
            Factors::Half(f) => f[at..at + PANEL].convert_to_f32_slice(out),
            Factors::Full(f) => out.copy_from_slice(&f[at..at + PANEL]),
            Factors::None => out.fill(0.0),
        }
    }
}

/// A quantised matrix (k × n): weight = scale · q + minimum, with one scale and minimum for each run of k.
///
/// Integers stand as `[n / PANEL][k / run][PANEL / LANES]` and, within, vectors of `LANES` words of `QUAD`
/// neighbours in k. Where they are nibbles, a word's low halves hold one quad and its high halves the next.
pub struct Blocks {
    /// Rows, a multiple of the run.
    pub k: usize,
    /// Columns.
    pub n: usize,
    pub(super) run: usize,
    pub(super) nibbles: bool,
    pub(super) integers: Vec<u8>,
    pub(super) scales: Factors,
    pub(super) minimums: Factors,
}

/// One panel on its way.
struct PanelParts {
    integers: Vec<u8>,
    scales: Vec<f32>,
    minimums: Vec<f32>,
}

impl Blocks {
    /// The transpose of a quantised matrix, or `None` for one that is not quantised.
    ///
    /// # Errors
    /// [`crate::Error::Format`] for a scale that is not finite.
    pub fn transposed(weight: &StoredTensor) -> Result<Option<Self>> {
        let Some(runs) = weight.encoding.runs() else { return Ok(None) };
        let [n, k] = weight.shape[..] else { return Ok(None) };
        let panels: Vec<PanelParts> = (0..n.div_ceil(PANEL))
            .into_par_iter()
            .map(|panel| take_panel(weight, &runs, k, panel * PANEL..((panel + 1) * PANEL).min(n)))
            .collect::<Result<_>>()?;
        let mut integers = Vec::with_capacity(panels.iter().map(|p| p.integers.len()).sum());
        let (mut scales, mut minimums) = (Vec::new(), Vec::new());
        for p in panels {
            integers.extend_from_slice(&p.integers);
            scales.push(p.scales);
            minimums.push(p.minimums);
        }
        Ok(Some(Self {
            k,
            n,
            run: runs.len,
            nibbles: runs.nibbles,
            integers,
            scales: Factors::from_panels(runs.half, &scales),
            minimums: match runs.minimums {
                true => Factors::from_panels(runs.half, &minimums),
                false => Factors::None,
            },
        }))
    }

    /// Bytes of a run of one half panel's integers.
    pub(super) fn run_bytes(&self) -> usize {
        run_bytes(self.run, self.nibbles)
    }

    /// Expands rows p0 … p0 + terms, both multiples of the run, of a panel to `[terms / GROUP][PANEL][GROUP]`.
    pub(super) fn expand<P: Product>(&self, panel: usize, p0: usize, terms: usize, out: &mut [P::Right]) {
        let size = self.run_bytes();
        let (mut scales, mut minimums) = ([0.0; PANEL], [0.0; PANEL]);
        for (run, out) in out.chunks_exact_mut(self.run * PANEL).take(terms / self.run).enumerate() {
            let at = panel * (self.k / self.run) + p0 / self.run + run;
            self.scales.read(at * PANEL, &mut scales);
            self.minimums.read(at * PANEL, &mut minimums);
            for half in 0..PANEL / LANES {
                let integers = &self.integers[(at * (PANEL / LANES) + half) * size..][..size];
                let columns = half * LANES..(half + 1) * LANES;
                let factors = (&scales[columns.clone()], &minimums[columns.clone()]);
                let out = &mut out[columns.start * P::GROUP..];
                expand_run::<P::Sum, P::Right>(integers, factors, self.nibbles, P::GROUP, out);
            }
        }
    }

    /// Writes column j.
    pub fn column<F: Real>(&self, j: usize, out: &mut [F]) {
        let (panel, lane) = (j / PANEL, j % PANEL);
        let (half, lane_in_half) = (lane / LANES, lane % LANES);
        let size = self.run_bytes();
        let (mut scales, mut minimums) = ([0.0; PANEL], [0.0; PANEL]);
        for (run, out) in out.chunks_exact_mut(self.run).enumerate() {
            let at = panel * (self.k / self.run) + run;
            self.scales.read(at * PANEL, &mut scales);
            self.minimums.read(at * PANEL, &mut minimums);
            let integers = &self.integers[(at * (PANEL / LANES) + half) * size..][..size];
            for (i, out) in out.iter_mut().enumerate() {
                let (place, shift) = place(i, lane_in_half, self.nibbles);
                let byte = integers[place];
                let q = if self.nibbles { (byte >> shift & 0xf) as i8 } else { byte as i8 };
                *out = F::from_f64(f64::from(scales[lane] * f32::from(q) + minimums[lane]));
            }
        }
    }
}

fn run_bytes(run: usize, nibbles: bool) -> usize {
    run * LANES / if nibbles { 2 } else { 1 }
}

/// Byte and shift of weight i of a run in one lane.
fn place(i: usize, lane: usize, nibbles: bool) -> (usize, usize) {
    let (quad, byte) = (i / QUAD, i % QUAD);
    let (vector, shift) = if nibbles { (quad / 2, quad % 2 * 4) } else { (quad, 0) };
    (vector * VECTOR + lane * QUAD + byte, shift)
}

/// Takes the columns of one panel apart.
fn take_panel(
    weight: &StoredTensor,
    runs: &Runs,
    k: usize,
    columns: std::ops::Range<usize>,
) -> Result<PanelParts> {
    let encoding = weight.encoding;
    let (block, block_bytes) = (encoding.block_len(), encoding.block_bytes());
    let size = run_bytes(runs.len, runs.nibbles);
    let mut parts = PanelParts {
        integers: vec![0; k / runs.len * (PANEL / LANES) * size],
        scales: vec![0.0; k / runs.len * PANEL],
        minimums: vec![0.0; k / runs.len * PANEL],
    };
    let mut q = vec![0; block];
    let (mut scales, mut minimums) = (vec![0.0; block / runs.len], vec![0.0; block / runs.len]);
    for (lane, column) in columns.enumerate() {
        for (b, bytes) in weight.row(column).chunks_exact(block_bytes).enumerate() {
            encoding.take_apart(bytes, &mut q, &mut scales, &mut minimums);
            for (r, q) in q.chunks_exact(runs.len).enumerate() {
                let run = b * (block / runs.len) + r;
                for factor in [scales[r], minimums[r]] {
                    if !factor.is_finite() {
                        return Err(weight.not_finite(factor, column * k + b * block));
                    }
                }
                parts.scales[run * PANEL + lane] = scales[r];
                parts.minimums[run * PANEL + lane] = minimums[r];
                let half = run * (PANEL / LANES) + lane / LANES;
                let integers = &mut parts.integers[half * size..][..size];
                for (i, &q) in q.iter().enumerate() {
                    let (place, shift) = place(i, lane % LANES, runs.nibbles);
                    integers[place] |= (q as u8) << shift;
                }
            }
        }
    }
    Ok(parts)
}

simd_fn! {
    /// Expands a run of [`LANES`] columns to `[run / group][PANEL][group]`.
    fn expand_run<F, D>(integers: &[u8], factors: (&[f32], &[f32]), nibbles: bool, group: usize, out: &mut [D]) {
        let scales: &[f32; LANES] = factors.0.try_into().expect("one a lane");
        let minimums: &[f32; LANES] = factors.1.try_into().expect("one a lane");
        let mut k = 0;
        for vector in integers.as_chunks::<VECTOR>().0 {
            let mut words = [0_u32; LANES];
            for (word, bytes) in words.iter_mut().zip(vector.as_chunks::<QUAD>().0) {
                *word = u32::from_le_bytes(*bytes);
            }
            let (quads, mask) = if nibbles { (2, 0x0f0f_0f0f) } else { (1, !0) };
            for quad in 0..quads {
                let words = words.map(|w| w >> (4 * quad) & mask);
                let weights = |byte: u32| -> [D; LANES] {
                    std::array::from_fn(|c| {
                        let q = (words[c] << (24 - 8 * byte)) as i32 >> 24;
                        let w = (q as f32).madd::<FMA>(scales[c], minimums[c]);
                        D::store(F::from_f64(f64::from(w)))
                    })
                };
                if group == 1 {
                    for byte in 0..QUAD {
                        out[k * PANEL..][..LANES].copy_from_slice(&weights(byte as u32));
                        k += 1;
                    }
                } else {
                    for pair in 0..QUAD / 2 {
                        let (first, second) = (weights(2 * pair as u32), weights(2 * pair as u32 + 1));
                        let out = &mut out[k * PANEL..][..2 * LANES];
                        for (c, out) in out.chunks_exact_mut(2).enumerate() {
                            (out[0], out[1]) = (first[c], second[c]);
                        }
                        k += 2;
                    }
                }
            }
        }
    }
}
