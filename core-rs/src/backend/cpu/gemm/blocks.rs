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
pub(super) const LANES: usize = 16;
/// Neighbours in k in one word.
pub(super) const QUAD: usize = 4;
/// Bytes of a vector of words.
pub(super) const VECTOR: usize = LANES * QUAD;

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
    fn from_f32(half: bool, factors: &[f32]) -> Self {
        match half {
            true => {
                let mut halves = vec![f16::ZERO; factors.len()];
                halves.convert_from_f32_slice(factors);
                Factors::Half(halves)
            }
            false => Factors::Full(factors.to_vec()),
        }
    }

    /// Those of all panels, in order.
    fn concat(panels: Vec<Self>) -> Self {
        let rest = panels.len().saturating_sub(1);
        let mut panels = panels.into_iter();
        let mut all = panels.next().unwrap_or(Factors::None);
        // All at once: an array that grows by doubling ends with room that nothing uses.
        match &mut all {
            Factors::Half(all) => all.reserve_exact(rest * all.len()),
            Factors::Full(all) => all.reserve_exact(rest * all.len()),
            Factors::None => {}
        }
        for panel in panels {
            match (&mut all, panel) {
                (Factors::Half(all), Factors::Half(panel)) => all.extend_from_slice(&panel),
                (Factors::Full(all), Factors::Full(panel)) => all.extend_from_slice(&panel),
                _ => {}
            }
        }
        all
    }

    /// Those of a panel's columns, from element `at`.
    pub(super) fn read(&self, at: usize, out: &mut [f32; PANEL]) {
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

impl Blocks {
    /// The transpose of a quantised matrix, or `None` for one that is not quantised.
    ///
    /// # Errors
    /// [`crate::Error::Format`] for a scale that is not finite.
    pub fn transposed(weight: &StoredTensor) -> Result<Option<Self>> {
        let Some(runs) = weight.encoding.runs() else { return Ok(None) };
        let [n, k] = weight.shape[..] else { return Ok(None) };
        let mut integers = vec![0; n.div_ceil(PANEL) * (k / runs.len) * (PANEL / LANES) * run_bytes(&runs)];
        let panel_bytes = integers.len() / n.div_ceil(PANEL);
        let factors: Vec<[Factors; 2]> = integers
            .par_chunks_exact_mut(panel_bytes)
            .enumerate()
            .map(|(panel, integers)| {
                let columns = panel * PANEL..((panel + 1) * PANEL).min(n);
                take_panel(weight, &runs, k, columns, integers)
            })
            .collect::<Result<_>>()?;
        let (scales, minimums) = factors.into_iter().map(|[scales, minimums]| (scales, minimums)).unzip();
        let (scales, minimums) = (Factors::concat(scales), Factors::concat(minimums));
        Ok(Some(Self { k, n, run: runs.len, nibbles: runs.nibbles, integers, scales, minimums }))
    }

    /// Bytes of a run of one half panel's integers.
    pub(super) fn run_bytes(&self) -> usize {
        self.run * LANES / if self.nibbles { 2 } else { 1 }
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

fn run_bytes(runs: &Runs) -> usize {
    runs.len * LANES / if runs.nibbles { 2 } else { 1 }
}

/// Byte and shift of weight i of a run in one lane.
fn place(i: usize, lane: usize, nibbles: bool) -> (usize, usize) {
    let (quad, byte) = (i / QUAD, i % QUAD);
    let (vector, shift) = if nibbles { (quad / 2, quad % 2 * 4) } else { (quad, 0) };
    (vector * VECTOR + lane * QUAD + byte, shift)
}

/// Takes the columns of one panel apart: integers to `out`, scales and minimums as the result.
fn take_panel(
    weight: &StoredTensor,
    runs: &Runs,
    k: usize,
    columns: std::ops::Range<usize>,
    out: &mut [u8],
) -> Result<[Factors; 2]> {
    let encoding = weight.encoding;
    let (block, block_bytes) = (encoding.block_len(), encoding.block_bytes());
    let runs_a_block = block / runs.len;
    let size = run_bytes(runs);
    let mut factors = [0, 1].map(|_| vec![0.0; k / runs.len * PANEL]);
    let mut q = vec![0; block];
    let (mut scales, mut minimums) = (vec![0.0; runs_a_block], vec![0.0; runs_a_block]);
    for (lane, column) in columns.enumerate() {
        for (b, bytes) in weight.row(column).chunks_exact(block_bytes).enumerate() {
            encoding.take_apart(bytes, &mut q, &mut scales, &mut minimums);
            for (r, q) in q.chunks_exact(runs.len).enumerate() {
                let run = b * runs_a_block + r;
                for (factors, factor) in factors.iter_mut().zip([scales[r], minimums[r]]) {
                    if !factor.is_finite() {
                        return Err(weight.not_finite(factor, column * k + b * block));
                    }
                    factors[run * PANEL + lane] = factor;
                }
                let half = run * (PANEL / LANES) + lane / LANES;
                let words = &mut out[half * size + lane % LANES * QUAD..];
                put_words(q, runs.nibbles, words);
            }
        }
    }
    let [scales, minimums] = factors.map(|factors| Factors::from_f32(runs.half, &factors));
    Ok([scales, if runs.minimums { minimums } else { Factors::None }])
}

/// Writes a run of one lane as words, [`VECTOR`] bytes apart.
pub(super) fn put_words(q: &[i8], nibbles: bool, out: &mut [u8]) {
    let word = |quad: &[i8]| u32::from_le_bytes(std::array::from_fn(|i| quad[i] as u8));
    if nibbles {
        for (v, quads) in q.chunks_exact(2 * QUAD).enumerate() {
            let both = word(quads) | word(&quads[QUAD..]) << 4;
            out[v * VECTOR..][..QUAD].copy_from_slice(&both.to_le_bytes());
        }
    } else {
        for (v, quad) in q.chunks_exact(QUAD).enumerate() {
            out[v * VECTOR..][..QUAD].copy_from_slice(&word(quad).to_le_bytes());
        }
    }
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
