//! Drawing tokens from logits.

use super::isa::simd_fn;
use super::real::{Real, lane_max};
use super::vocab::{log_sum, logprob};
use crate::backend::{SampleRow, Sampled};
use rayon::prelude::*;
use std::cmp::Ordering;

/// See [`crate::backend::Backend::sample`].
pub fn sample<F: Real>(logits: &[F], rows: &[SampleRow]) -> Vec<Sampled> {
    let vocab = logits.len() / rows.len().max(1);
    (logits.par_chunks(vocab.max(1)), rows.par_iter()).into_par_iter().map(|(l, row)| draw(l, row)).collect()
}

simd_fn! {
    /// Turns logits into probabilities relative to the largest.
    fn weigh<F>(logits: &mut [F], inverse_temperature: F) {
        let largest = lane_max(logits.len(), |i| logits[i]);
        for x in logits {
            *x = ((*x - largest) * inverse_temperature).exp::<FMA>();
        }
    }
}

fn draw<F: Real>(logits: &[F], row: &SampleRow) -> Sampled {
    let greedy = row.temperature == 0.0;
    let temperature = if greedy { 1.0 } else { row.temperature };
    let token = F::tile_memory().with_borrow_mut(|[scores, ..]| {
        scores.clear();
        scores.extend_from_slice(logits);
        for &(token, bias) in row.bias {
            scores[token as usize] += F::from_f64(f64::from(bias));
        }
        for &token in row.banned {
            if let Some(score) = scores.get_mut(token as usize) {
                *score = F::NEG_INFINITY;
            }
        }
        if greedy {
            return first_largest(scores);
        }
        weigh(scores, F::from_f64(1.0 / temperature));
        truncate(scores, row);
        pick(scores, row.draw)
    });
    let logprob = logprob(logits[token], log_sum(logits, temperature), temperature);
    Sampled { token: token as u32, logprob: logprob.to_f64() as f32 }
}

simd_fn! {
    fn largest<F>(scores: &[F]) -> F {
        let _ = FMA;
        lane_max(scores.len(), |i| scores[i])
    }
}

fn first_largest<F: Real>(scores: &[F]) -> usize {
    let largest = largest(scores);
    scores.iter().position(|&x| x == largest).unwrap_or(0)
}

/// Sets the weights of dropped tokens to zero: all but the `top_k` likeliest, then all but the smallest set of them
/// whose mass, relative to theirs, reaches `top_p`, then those below `min_p` of the largest. Of equally likely tokens
/// the lowest ids stay, but `min_p` keeps all of them. The order is that of transformers; vLLM applies min-p first,
/// so that its top-p reaches less far.
fn truncate<F: Real>(weights: &mut [F], row: &SampleRow) {
    if (1..weights.len()).contains(&row.top_k) || row.top_p < 1.0 {
        let kept: Vec<(u32, F)> =
            likeliest(weights, row.top_k, row.top_p).into_iter().map(|t| (t, weights[t as usize])).collect();
        weights.fill(F::ZERO);
        kept.into_iter().for_each(|(token, weight)| weights[token as usize] = weight);
    }
    if row.min_p > 0.0 {
        let least = row.min_p * lane_max(weights.len(), |i| weights[i]).to_f64();
        for weight in weights {
            if weight.to_f64() < least {
                *weight = F::ZERO;
            }
        }
    }
}

/// The tokens that `top_k` and `top_p` keep. No more is sorted than is kept, by and large: a vocabulary is long, and
/// what is kept of it short.
fn likeliest<F: Real>(weights: &[F], top_k: usize, top_p: f64) -> Vec<u32> {
    let weight = |token: u32| weights[token as usize].to_f64();
    let order = |a: &u32, b: &u32| -> Ordering { weight(*b).total_cmp(&weight(*a)).then(a.cmp(b)) };
    let mut tokens: Vec<u32> = (0..weights.len() as u32).collect();
    if (1..tokens.len()).contains(&top_k) {
        tokens.select_nth_unstable_by(top_k - 1, order);
        tokens.truncate(top_k);
        tokens.sort_unstable();
    }
    if top_p >= 1.0 {
        return tokens;
    }
    let enough = top_p * tokens.iter().map(|&t| weight(t)).sum::<f64>();
    let (mut sorted, mut step, mut mass) = (0, 64, 0.0);
    while sorted < tokens.len() {
        let rest = &mut tokens[sorted..];
        let next = step.min(rest.len());
        if next < rest.len() {
            rest.select_nth_unstable_by(next, order);
        }
        rest[..next].sort_unstable_by(order);
        for (i, &token) in rest[..next].iter().enumerate() {
            mass += weight(token);
            if mass >= enough {
                tokens.truncate(sorted + i + 1);
                return tokens;
            }
        }
        sorted += next;
        step *= 4;
    }
    tokens
}

/// The token at which the running mass passes `draw` of the whole.
fn pick<F: Real>(weights: &[F], draw: f64) -> usize {
    let total: f64 = weights.iter().map(|w| w.to_f64()).sum();
    let mut mass = 0.0;
    for (token, weight) in weights.iter().enumerate() {
        mass += weight.to_f64();
        if mass > draw * total {
            return token;
        }
    }
    // Rounding can leave the running mass at draw · total: the last token with any mass is meant.
    weights.iter().rposition(|&w| w > F::ZERO).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(temperature: f64, draw: f64) -> SampleRow<'static> {
        SampleRow { temperature, top_k: 0, top_p: 1.0, min_p: 0.0, bias: &[], banned: &[], draw }
    }

    /// How often each token is drawn when the draws go evenly through [0, 1).
    fn frequencies(logits: &[f32], row: SampleRow) -> Vec<f64> {
        let n = 20_000;
        let mut counts = vec![0.0; logits.len()];
        for i in 0..n {
            let s = draw(logits, &SampleRow { draw: (f64::from(i) + 0.5) / f64::from(n), ..row });
            counts[s.token as usize] += 1.0 / f64::from(n);
        }
        counts
    }

    /// The exact distribution, every filter applied to sorted probabilities in f64.
    fn exact(logits: &[f32], row: &SampleRow) -> Vec<f64> {
        let mut scores: Vec<f64> = logits.iter().map(|&x| f64::from(x)).collect();
        row.bias.iter().for_each(|&(t, b)| scores[t as usize] += f64::from(b));
        row.banned.iter().for_each(|&t| scores[t as usize] = f64::NEG_INFINITY);
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut p: Vec<f64> = scores.iter().map(|x| ((x - largest) / row.temperature).exp()).collect();
        let mut order: Vec<usize> = (0..p.len()).collect();
        order.sort_by(|&a, &b| p[b].total_cmp(&p[a]).then(a.cmp(&b)));
        let k = if row.top_k == 0 { p.len() } else { row.top_k.min(p.len()) };
        let total: f64 = order[..k].iter().map(|&t| p[t]).sum();
        let (mut mass, mut keep) = (0.0, vec![false; p.len()]);
        for &t in &order[..k] {
            keep[t] = mass < row.top_p * total && p[t] >= row.min_p * p[order[0]];
            mass += p[t];
        }
        (0..p.len()).filter(|&t| !keep[t]).for_each(|t| p[t] = 0.0);
        let total: f64 = p.iter().sum();
        p.iter().map(|x| x / total).collect()
    }

    #[test]
    fn draws_follow_the_exact_distribution() {
        let logits = [0.3_f32, -1.0, 2.0, 0.0, 0.9, 1.7, -3.0];
        let plain = row(0.7, 0.0);
        for row in [
            plain,
            SampleRow { top_k: 4, ..plain },
            SampleRow { top_p: 0.8, ..plain },
            SampleRow { min_p: 0.1, ..plain },
            SampleRow { top_k: 5, top_p: 0.9, min_p: 0.05, ..plain },
            SampleRow { bias: &[(1, 3.5), (2, -2.0), (5, f32::NEG_INFINITY)], ..plain },
            SampleRow { bias: &[(6, 100.0), (2, -100.0)], temperature: 0.01, ..plain },
            SampleRow { bias: &[(3, 1.5)], banned: &[2], top_p: 0.7, min_p: 0.2, ..plain },
        ] {
            for (found, wanted) in frequencies(&logits, row).into_iter().zip(exact(&logits, &row)) {
                assert!((found - wanted).abs() < 1.5e-4, "{row:?}: {found} against {wanted}");
            }
        }
    }

    #[test]
    fn a_bias_multiplies_the_odds_by_its_exponential() {
        let logits = [0.2_f32, 1.0, -0.5];
        let bias = 1.25_f32;
        let odds = |p: &[f64]| p[1] / (p[0] + p[2]);
        let plain = odds(&frequencies(&logits, row(1.0, 0.0)));
        let biased = odds(&frequencies(&logits, SampleRow { bias: &[(1, bias)], ..row(1.0, 0.0) }));
        assert!((biased / plain / f64::from(bias.exp()) - 1.0).abs() < 2e-3);
    }

    #[test]
    fn greedy_takes_the_lowest_id_of_equals_and_respects_bans_and_bias() {
        let logits = [1.0_f32, 3.0, 3.0, 2.0];
        assert_eq!(draw(&logits, &row(0.0, 0.9)).token, 1);
        assert_eq!(draw(&logits, &SampleRow { banned: &[1], ..row(0.0, 0.9) }).token, 2);
        assert_eq!(draw(&logits, &SampleRow { bias: &[(0, 2.5)], ..row(0.0, 0.9) }).token, 0);
    }

    #[test]
    fn equally_likely_tokens_stay_by_lowest_id() {
        let logits = [0.0_f32, 3.0, 2.0, 3.0, -1.0];
        for i in 0..100 {
            let at = row(1.0, f64::from(i) / 100.0);
            assert!([1, 2, 3].contains(&draw(&logits, &SampleRow { top_k: 3, ..at }).token));
            assert_eq!(draw(&logits, &SampleRow { top_k: 1, ..at }).token, 1);
            assert!([1, 3].contains(&draw(&logits, &SampleRow { top_p: 0.5, ..at }).token));
            assert!([1, 3].contains(&draw(&logits, &SampleRow { min_p: 1.0, ..at }).token));
        }
    }

    #[test]
    fn a_draw_of_almost_one_stays_inside() {
        let logits = [0.0_f32, 0.0, -1000.0];
        assert_eq!(draw(&logits, &row(1.0, 1.0 - f64::EPSILON)).token, 1);
    }

    proptest! {
        #[test]
        fn the_kept_set_is_that_of_a_whole_sort(
            logits in prop::collection::vec(-8_i32..8, 2..400),
            top_k in 0_usize..500, top_p in 0.01_f64..=1.0, min_p in 0.0_f64..=1.0, temperature in 0.2_f64..3.0,
        ) {
            let logits: Vec<f32> = logits.into_iter().map(|x| x as f32 * 0.5).collect();
            let row = SampleRow { top_k, top_p, min_p, ..row(temperature, 0.0) };
            let mut weights = logits.clone();
            weigh(&mut weights, 1.0 / temperature as f32);
            truncate(&mut weights, &row);
            let kept = |w: f64| usize::from(w > 0.0);
            let found: usize = weights.iter().map(|&w| kept(f64::from(w))).sum();
            let wanted: usize = exact(&logits, &row).into_iter().map(kept).sum();
            // Rounding may decide a border between classes of equal logits either way.
            let class = |n: usize| {
                let mut sorted = logits.clone();
                sorted.sort_by(|a, b| b.total_cmp(a));
                sorted[n - 1]
            };
            prop_assert!(found == wanted || (class(found) - class(wanted)).abs() <= 0.5, "{found} {wanted}");
        }

        #[test]
        fn what_keeps_all_changes_no_draw(
            logits in prop::collection::vec(-5.0_f32..5.0, 2..60), at in 0.0_f64..1.0, banned in 0_u32..2,
        ) {
            let plain = draw(&logits, &row(0.8, at));
            let all = SampleRow { top_k: logits.len(), top_p: 1.0, min_p: 0.0, bias: &[(0, 0.0)], ..row(0.8, at) };
            prop_assert_eq!(draw(&logits, &all), plain);
            let ban = [(banned, f32::NEG_INFINITY)];
            prop_assert_ne!(draw(&logits, &SampleRow { bias: &ban, ..row(0.8, at) }).token, banned);
            // The recorded log-probability is the model's, whatever was done to the draw.
            let certain = draw(&logits, &SampleRow { bias: &[(1, 1000.0)], ..row(0.8, at) });
            let sum = log_sum(&logits, 0.8);
            prop_assert_eq!(certain, Sampled { token: 1, logprob: logprob(logits[1], sum, 0.8) });
        }
    }
}
