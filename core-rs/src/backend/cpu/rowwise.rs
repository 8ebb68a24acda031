//! Operations on rows and elements: norm, rotary embedding, gated activation, gather and scatter, AdamW.

use super::isa::simd_fn;
use super::real::{Real, lane_sum};
use super::stored::Stored;
use crate::backend::AdamWStep;
use crate::config::Rotary;
use rayon::prelude::*;

/// Elements of an elementwise task.
const CHUNK: usize = 1 << 14;
/// Columns of a task that adds up rows: each column adds them in ascending order.
const COLUMNS: usize = 64;

simd_fn! {
    fn norm_row<F, S, D>(x: &[S], weight: &[F], epsilon: F, y: &mut [D]) -> F {
        let n = x.len();
        let squares = lane_sum(n, |i| x[i].load() * x[i].load());
        let rstd = F::ONE / (squares / F::from_f64(n as f64) + epsilon).sqrt();
        for i in 0..n {
            y[i] = D::store(x[i].load() * rstd * weight[i]);
        }
        let _ = FMA;
        rstd
    }
}

/// See [`crate::backend::Backend::rms_norm`].
pub fn rms_norm<F: Real, S: Stored<F>, D: Stored<F>>(
    x: &[S],
    weight: &[F],
    epsilon: f64,
    y: &mut [D],
    rstd: &mut [F],
) {
    let width = weight.len();
    let rows = (x.par_chunks(width), y.par_chunks_mut(width), rstd.par_iter_mut());
    rows.into_par_iter().with_min_len(CHUNK / width + 1).for_each(|(x, y, r)| {
        *r = norm_row(x, weight, F::from_f64(epsilon), y);
    });
}

simd_fn! {
    fn norm_row_backward<F>(x: &[F], weight: &[F], rstd: F, d_y: &[F], d_x: &mut [F]) {
        let n = x.len();
        let dot = lane_sum(n, |i| d_y[i] * weight[i] * x[i]);
        let pull = dot * rstd * rstd / F::from_f64(n as f64);
        for i in 0..n {
            d_x[i] += rstd * (d_y[i] * weight[i] - x[i] * pull);
        }
        let _ = FMA;
    }
}

simd_fn! {
    fn norm_weight_backward<F, S, G>(x: &[S], rstd: &[F], d_y: &[G], width: usize, first: usize, d_weight: &mut [F]) {
        for (r, &rstd) in rstd.iter().enumerate() {
            let at = r * width + first;
            let (x, d_y) = (&x[at..at + d_weight.len()], &d_y[at..at + d_weight.len()]);
            for ((d, &x), &d_y) in d_weight.iter_mut().zip(x).zip(d_y) {
                *d = (d_y.load() * rstd).madd::<FMA>(x.load(), *d);
            }
        }
    }
}

/// See [`crate::backend::Backend::rms_norm_backward`].
pub fn rms_norm_backward<F: Real>(
    x: &[F],
    weight: &[F],
    rstd: &[F],
    d_y: &[F],
    d_x: &mut [F],
    d_weight: Option<&mut [F]>,
) {
    let width = weight.len();
    let rows = (x.par_chunks(width), rstd.par_iter(), d_y.par_chunks(width), d_x.par_chunks_mut(width));
    rows.into_par_iter()
        .with_min_len(CHUNK / width + 1)
        .for_each(|(x, &rstd, d_y, d_x)| norm_row_backward(x, weight, rstd, d_y, d_x));
    d_weight.unwrap_or_default().par_chunks_mut(COLUMNS).enumerate().for_each(|(c, d_weight)| {
        norm_weight_backward::<F, F, F>(x, rstd, d_y, width, c * COLUMNS, d_weight);
    });
}

/// See [`crate::backend::Backend::gather`].
pub fn gather<F: Real>(table: &[F], rows: &[u32], width: usize, out: &mut [F]) {
    (out.par_chunks_mut(width), rows.par_iter())
        .into_par_iter()
        .with_min_len(CHUNK / width + 1)
        .for_each(|(out, &r)| out.copy_from_slice(&table[r as usize * width..][..width]));
}

/// See [`crate::backend::Backend::scatter_add`].
pub fn scatter_add<F: Real>(d_out: &[F], rows: &[u32], width: usize, d_table: &mut [F]) {
    for (d_out, &r) in d_out.chunks(width).zip(rows) {
        add(d_out, &mut d_table[r as usize * width..][..width]);
    }
}

simd_fn! {
    /// to += from
    fn add<F>(from: &[F], to: &mut [F]) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to += from;
        }
        let _ = FMA;
    }
}

simd_fn! {
    fn add_bias_row<F, S>(bias: &[F], y: &mut [S]) {
        let _ = FMA;
        for (y, &b) in y.iter_mut().zip(bias) {
            *y = S::store(y.load() + b);
        }
    }
}

/// See [`crate::backend::Backend::add_bias`].
pub fn add_bias<F: Real, S: Stored<F>>(bias: &[F], y: &mut [S]) {
    let width = bias.len();
    y.par_chunks_mut(width).with_min_len(CHUNK / width + 1).for_each(|y| add_bias_row(bias, y));
}

simd_fn! {
    fn add_rows<F, S>(rows: &[S], width: usize, first: usize, sum: &mut [F]) {
        for row in rows.chunks_exact(width) {
            for (sum, &x) in sum.iter_mut().zip(&row[first..]) {
                *sum += x.load();
            }
        }
        let _ = FMA;
    }
}

/// See [`crate::backend::Backend::bias_backward`].
pub fn bias_backward<F: Real, S: Stored<F>>(d_y: &[S], d_bias: &mut [F]) {
    let width = d_bias.len();
    d_bias
        .par_chunks_mut(COLUMNS)
        .enumerate()
        .for_each(|(c, d_bias)| add_rows(d_y, width, c * COLUMNS, d_bias));
}

simd_fn! {
    fn head_norm_row_backward<F, S>(x: &[S], weight: &[F], rstd: F, d: &mut [S]) {
        let n = x.len();
        let dot = lane_sum(n, |i| d[i].load() * weight[i] * x[i].load());
        let pull = dot * rstd * rstd / F::from_f64(n as f64);
        for i in 0..n {
            d[i] = S::store(rstd * (d[i].load() * weight[i] - x[i].load() * pull));
        }
        let _ = FMA;
    }
}

/// See [`crate::backend::Backend::head_norm_backward`].
pub fn head_norm_backward<F: Real, S: Stored<F>>(
    x: &[S],
    weight: &[F],
    rstd: &[F],
    d: &mut [S],
    d_weight: Option<&mut [F]>,
) {
    let width = weight.len();
    d_weight.unwrap_or_default().par_chunks_mut(COLUMNS).enumerate().for_each(|(c, d_weight)| {
        norm_weight_backward::<F, S, S>(x, rstd, d, width, c * COLUMNS, d_weight);
    });
    let rows = (x.par_chunks(width), rstd.par_iter(), d.par_chunks_mut(width));
    rows.into_par_iter()
        .with_min_len(CHUNK / width + 1)
        .for_each(|(x, &rstd, d)| head_norm_row_backward(x, weight, rstd, d));
}

simd_fn! {
    /// `sign` is that of the angles.
    fn rotate<F, S>(row: &mut [S], head_dim: usize, cosine: &[F], sine: &[F], sign: F) {
        let half = head_dim / 2;
        for head in row.chunks_exact_mut(head_dim) {
            let (low, high) = head.split_at_mut(half);
            for i in 0..half {
                let (a, b) = (low[i].load(), high[i].load());
                let sine = sign * sine[i];
                low[i] = S::store(a * cosine[i] - b * sine);
                high[i] = S::store(b * cosine[i] + a * sine);
            }
        }
        let _ = FMA;
    }
}

/// Sines and cosines of rows' positions, each rows × head_dim/2.
pub struct Rotations<F> {
    cosines: Vec<F>,
    sines: Vec<F>,
    /// head_dim/2
    half: usize,
}

/// See [`crate::backend::Backend::rotations`]. Angles are computed in f64: at position 8,000 an f32 angle has lost
/// three digits.
pub fn rotations<F: Real>(positions: &[u32], rotary: &Rotary) -> Rotations<F> {
    let Rotary { frequencies, scale } = rotary;
    let half = frequencies.len();
    let (mut cosines, mut sines) =
        (vec![F::ZERO; positions.len() * half], vec![F::ZERO; positions.len() * half]);
    (cosines.par_chunks_mut(half), sines.par_chunks_mut(half), positions)
        .into_par_iter()
        .with_min_len(16)
        .for_each(|(cosines, sines, &position)| {
            for ((cosine, sine), frequency) in cosines.iter_mut().zip(sines).zip(frequencies) {
                let (s, c) = (f64::from(position) * frequency).sin_cos();
                (*cosine, *sine) = (F::from_f64(c * scale), F::from_f64(s * scale));
            }
        });
    Rotations { cosines, sines, half }
}

/// See [`crate::backend::Backend::rope`].
pub fn rope<F: Real, S: Stored<F>>(x: &mut [S], rotations: &Rotations<F>, heads: usize, transposed: bool) {
    let Rotations { cosines, sines, half } = rotations;
    let width = heads * 2 * half;
    let sign = if transposed { -F::ONE } else { F::ONE };
    (x.par_chunks_mut(width), cosines.par_chunks(*half), sines.par_chunks(*half))
        .into_par_iter()
        .with_min_len(CHUNK / width + 1)
        .for_each(|(row, cosine, sine)| rotate::<F, S>(row, 2 * half, cosine, sine, sign));
}

simd_fn! {
    fn swiglu_chunk<F, S>(gate: &[S], up: &[S], out: &mut [S]) {
        for ((out, &g), &u) in out.iter_mut().zip(gate).zip(up) {
            let (g, u) = (g.load(), u.load());
            *out = S::store(g / (F::ONE + (-g).exp::<FMA>()) * u);
        }
    }
}

/// See [`crate::backend::Backend::swiglu`].
pub fn swiglu<F: Real, S: Stored<F>>(gate: &[S], up: &[S], out: &mut [S]) {
    (gate.par_chunks(CHUNK), up.par_chunks(CHUNK), out.par_chunks_mut(CHUNK))
        .into_par_iter()
        .for_each(|(gate, up, out)| swiglu_chunk::<F, S>(gate, up, out));
}

simd_fn! {
    fn swiglu_backward_chunk<F, S>(gate: &mut [S], up: &mut [S], d_out: &[F]) {
        for ((gate, up), &d) in gate.iter_mut().zip(up.iter_mut()).zip(d_out) {
            let (g, u) = (gate.load(), up.load());
            let sigmoid = F::ONE / (F::ONE + (-g).exp::<FMA>());
            *up = S::store(d * g * sigmoid);
            *gate = S::store(d * u * sigmoid * (F::ONE + g * (F::ONE - sigmoid)));
        }
    }
}

/// See [`crate::backend::Backend::swiglu_backward`].
pub fn swiglu_backward<F: Real, S: Stored<F>>(gate: &mut [S], up: &mut [S], d_out: &[F]) {
    (gate.par_chunks_mut(CHUNK), up.par_chunks_mut(CHUNK), d_out.par_chunks(CHUNK))
        .into_par_iter()
        .for_each(|(gate, up, d_out)| swiglu_backward_chunk(gate, up, d_out));
}

simd_fn! {
    fn squares<F>(x: &[F]) -> f64 {
        let _ = FMA;
        let mut lanes = [0.0_f64; 8];
        for x in x.chunks(8) {
            for (lane, &x) in lanes.iter_mut().zip(x) {
                *lane += x.to_f64() * x.to_f64();
            }
        }
        lanes.iter().sum()
    }
}

/// See [`crate::backend::Backend::sum_squares`]: chunks of a fixed size, added in order.
pub fn sum_squares<F: Real>(x: &[F]) -> f64 {
    x.par_chunks(CHUNK).map(squares).collect::<Vec<_>>().iter().sum()
}

simd_fn! {
    fn adamw_chunk<F>(c: &[F; 8], weight: &mut [F], gradient: &[F], first: &mut [F], second: &mut [F]) {
        let [beta1, rest1, beta2, rest2, rate, root, epsilon, keep] = *c;
        for (((w, &g), m), v) in weight.iter_mut().zip(gradient).zip(first.iter_mut()).zip(second.iter_mut()) {
            *m = beta1.madd::<FMA>(*m, rest1 * g);
            *v = beta2.madd::<FMA>(*v, rest2 * g * g);
            *w = *w * keep - rate * *m / (v.sqrt() * root + epsilon);
        }
    }
}

/// See [`crate::backend::Backend::adamw`].
pub fn adamw<F: Real>(s: &AdamWStep, weight: &mut [F], gradient: &[F], first: &mut [F], second: &mut [F]) {
    let steps = i32::try_from(s.step).unwrap_or(i32::MAX);
    let scale = s.gradient_scale;
    let constants = [
        s.beta1,
        (1.0 - s.beta1) * scale,
        s.beta2,
        (1.0 - s.beta2) * scale * scale,
        s.learning_rate / (1.0 - s.beta1.powi(steps)),
        1.0 / (1.0 - s.beta2.powi(steps)).sqrt(),
        s.epsilon,
        1.0 - s.learning_rate * s.weight_decay,
    ]
    .map(F::from_f64);
    let parts = (
        weight.par_chunks_mut(CHUNK),
        gradient.par_chunks(CHUNK),
        first.par_chunks_mut(CHUNK),
        second.par_chunks_mut(CHUNK),
    );
    parts.into_par_iter().for_each(|(w, g, m, v)| adamw_chunk(&constants, w, g, m, v));
}

/// Copies a rows × (groups · part) matrix to groups × rows × part, multiplied by `scale`: heads that share a key
/// head become rows of one matrix.
pub fn regroup<F: Real, S: Stored<F>>(x: &[S], rows: usize, groups: usize, part: usize, scale: F) -> Vec<F> {
    let mut out = vec![F::ZERO; x.len()];
    out.par_chunks_mut(rows * part).enumerate().for_each(|(g, out)| {
        for (row, out) in out.chunks_exact_mut(part).enumerate() {
            let from = &x[(row * groups + g) * part..][..part];
            for (o, &x) in out.iter_mut().zip(from) {
                *o = x.load() * scale;
            }
        }
    });
    out
}

simd_fn! {
    /// to = from · factor
    pub fn scaled_copy<F, S, D>(from: &[S], factor: F, to: &mut [D]) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = D::store(from.load() * factor);
        }
        let _ = FMA;
    }
}

simd_fn! {
    /// Copies between types.
    pub fn convert<F, S, D>(from: &[S], to: &mut [D]) {
        let _ = FMA;
        for (to, &from) in to.iter_mut().zip(from) {
            *to = D::store(from.load());
        }
    }
}
