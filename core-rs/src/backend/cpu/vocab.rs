//! LM head, log-softmax at a temperature, gather and entropy as one operation, chunked over the vocabulary.

use super::gemm::{Right, Store, View, gemm_parallel};
use super::isa::simd_fn;
use super::real::{Real, lane_max, lane_sums};
use super::stored::Element;
use crate::backend::{VocabHead, VocabRows, chunks};
use rayon::prelude::*;

/// Columns of a chunk. Fixed, because the running sum is rescaled at its borders.
const VOCAB_CHUNK: usize = 2048;
/// Rows of a pass: with a chunk of columns, 4 MiB of f32 logits. A multiple of the products' block of k, so that no
/// gradient depends on it.
const ROW_PASS: usize = 512;

/// See [`crate::backend::Backend::vocab_bytes`].
pub fn scratch_bytes<F, A>(vocab: usize) -> usize {
    ROW_PASS * vocab.min(VOCAB_CHUNK) * (size_of::<F>() + size_of::<A>())
}

/// A row's softmax so far.
#[derive(Clone, Copy)]
struct Running<F> {
    largest: F,
    /// Σ exp(z − largest)
    sum: F,
    /// Σ exp(z − largest) · z
    weighted: F,
}

impl<F: Real> Running<F> {
    const START: Self = Self { largest: F::NEG_INFINITY, sum: F::ZERO, weighted: F::ZERO };

    fn log_sum(&self) -> F {
        self.largest + self.sum.ln()
    }
}

simd_fn! {
    /// Takes in a chunk of raw logits.
    fn advance<F>(state: Running<F>, logits: &[F], inverse_temperature: F) -> Running<F> {
        let n = logits.len();
        let largest = state.largest.larger(lane_max(n, |i| logits[i] * inverse_temperature));
        let keep = (state.largest - largest).exp::<FMA>();
        let [sum, weighted] = lane_sums(n, |i| {
            let z = logits[i] * inverse_temperature;
            let p = (z - largest).exp::<FMA>();
            [p, p * z]
        });
        Running { largest, sum: state.sum * keep + sum, weighted: state.weighted * keep + weighted }
    }
}

simd_fn! {
    /// From a chunk of raw logits to dL/dlogit. `target` is the target's place if it lies in the chunk.
    fn chunk_gradients<F, A>(logits: &[F], gradients: &mut [A], target: Option<usize>, inverse_temperature: F, log_sum: F, entropy: F, d_logp: F, d_entropy: F) {
        let gradient = |x: F| {
            let log_p = x * inverse_temperature - log_sum;
            let p = log_p.exp::<FMA>();
            -p * (d_logp + d_entropy * (log_p + entropy)) * inverse_temperature
        };
        for (g, &x) in gradients.iter_mut().zip(logits) {
            *g = A::store(gradient(x));
        }
        if let Some(t) = target {
            gradients[t] = A::store(gradient(logits[t]) + d_logp * inverse_temperature);
        }
    }
}

fn inverse_temperature<F: Real>(temperature: f64) -> F {
    F::from_f64(1.0 / temperature)
}

/// See [`crate::backend::Backend::vocab_forward`].
pub fn forward<F: Real, A: Element<F>>(
    hidden: &[A],
    weight: Right<A::Linear>,
    targets: &[u32],
    head: VocabHead,
) -> VocabRows<F> {
    let VocabHead { width, vocab, temperature } = head;
    let factor = inverse_temperature::<F>(temperature);
    let mut rows = VocabRows::default();
    let mut logits = Vec::new();
    for pass in chunks(targets.len(), ROW_PASS) {
        let m = pass.len();
        let mut states = vec![(Running::<F>::START, F::ZERO); m];
        let x = View::rows(&hidden[pass.start * width..], width);
        for chunk in chunks(vocab, VOCAB_CHUNK) {
            let n = chunk.len();
            logits.resize(m * n, F::ZERO);
            let w = weight.from_column(chunk.start);
            gemm_parallel::<A::Linear, F>((m, n, width), x, w, &mut logits, n, Store::Replace);
            (states.par_iter_mut(), logits.par_chunks(n), &targets[pass.clone()]).into_par_iter().for_each(
                |((state, chosen), logits, &target)| {
                    *state = advance(*state, logits, factor);
                    if chunk.contains(&(target as usize)) {
                        *chosen = logits[target as usize - chunk.start] * factor;
                    }
                },
            );
        }
        for (state, chosen) in states {
            let log_sum = state.log_sum();
            rows.logprobs.push(chosen - log_sum);
            rows.entropies.push(log_sum - state.weighted / state.sum);
            rows.log_sums.push(log_sum);
        }
    }
    rows
}

/// See [`crate::backend::Backend::vocab_backward`].
#[allow(clippy::too_many_arguments)]
pub fn backward<F: Real, A: Element<F>>(
    hidden: &[A],
    weight: &[F],
    targets: &[u32],
    head: VocabHead,
    forward: &VocabRows<F>,
    (d_logprobs, d_entropies): (&[F], &[F]),
    d_hidden: &mut [F],
    mut d_weight: Option<&mut [F]>,
) {
    let VocabHead { width, vocab, temperature } = head;
    let factor = inverse_temperature::<F>(temperature);
    let (mut logits, mut gradients) = (Vec::new(), Vec::new());
    for pass in chunks(targets.len(), ROW_PASS) {
        let m = pass.len();
        let x = View::rows(&hidden[pass.start * width..], width);
        for chunk in chunks(vocab, VOCAB_CHUNK) {
            let n = chunk.len();
            logits.resize(m * n, F::ZERO);
            gradients.resize(m * n, A::default());
            let w = &weight[chunk.start * width..chunk.end * width];
            let right = Right::Wide(View::columns(w, width));
            gemm_parallel::<A::Linear, F>((m, n, width), x, right, &mut logits, n, Store::Replace);
            (logits.par_chunks(n), gradients.par_chunks_mut(n), pass.clone()).into_par_iter().for_each(
                |(logits, gradients, r)| {
                    let target = targets[r] as usize;
                    chunk_gradients::<F, A>(
                        logits,
                        gradients,
                        chunk.contains(&target).then(|| target - chunk.start),
                        factor,
                        forward.log_sums[r],
                        forward.entropies[r],
                        d_logprobs[r],
                        d_entropies[r],
                    );
                },
            );
            let d_x = &mut d_hidden[pass.start * width..pass.end * width];
            let right = Right::Wide(View::rows(w, width));
            gemm_parallel::<A::Linear, F>(
                (m, width, n),
                View::rows(&gradients, n),
                right,
                d_x,
                width,
                Store::Add,
            );
            let Some(d_weight) = &mut d_weight else { continue };
            let d_w = &mut d_weight[chunk.start * width..chunk.end * width];
            let left = View::columns(&gradients, n);
            gemm_parallel::<A::Linear, F>((n, width, m), left, Right::View(x), d_w, width, Store::Add);
        }
    }
}

/// log Σ exp of one row of raw logits divided by a temperature, with the bits of [`forward`].
pub fn log_sum<F: Real>(logits: &[F], temperature: f64) -> F {
    let factor = inverse_temperature::<F>(temperature);
    logits.chunks(VOCAB_CHUNK).fold(Running::START, |state, chunk| advance(state, chunk, factor)).log_sum()
}

/// Log-probability of one token, with the bits of [`forward`].
pub fn logprob<F: Real>(logit: F, log_sum: F, temperature: f64) -> F {
    logit * inverse_temperature::<F>(temperature) - log_sum
}
