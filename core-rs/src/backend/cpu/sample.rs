//! Drawing tokens from logits.

use super::real::Real;
use super::vocab::{log_sum, logprob};
use crate::backend::{SampleRow, Sampled};
use rayon::prelude::*;

/// See [`crate::backend::Backend::sample`].
pub fn sample<F: Real>(logits: &[F], rows: &[SampleRow]) -> Vec<Sampled> {
    let vocab = logits.len() / rows.len().max(1);
    (logits.par_chunks(vocab.max(1)), rows.par_iter()).into_par_iter().map(|(l, row)| draw(l, row)).collect()
}

fn draw<F: Real>(logits: &[F], row: &SampleRow) -> Sampled {
    let greedy = row.temperature == 0.0;
    let temperature = if greedy { 1.0 } else { row.temperature };
    let sum = log_sum(logits, temperature);
    let allowed = |token: usize| row.banned.is_empty() || !row.banned.contains(&(token as u32));
    let token = if greedy {
        let mut best = None;
        for (token, &x) in logits.iter().enumerate() {
            if best.is_none_or(|(_, y)| x > y) && allowed(token) {
                best = Some((token, x));
            }
        }
        best.map_or(0, |(token, _)| token)
    } else {
        let probability = |x: F| logprob(x, sum, temperature).to_f64().exp();
        let mut kept: Vec<(u32, f64)> = logits
            .iter()
            .enumerate()
            .filter(|(token, _)| allowed(*token))
            .map(|(token, &x)| (token as u32, probability(x)))
            .collect();
        truncate(&mut kept, row.top_k, row.top_p);
        pick(&kept, row.draw)
    };
    Sampled { token: token as u32, logprob: logprob(logits[token], sum, temperature).to_f64() as f32 }
}

/// Keeps the `top_k` most likely tokens, then the smallest set of them whose mass, relative to theirs, reaches
/// `top_p`. Of equally likely tokens the lowest ids stay. The order of ids is kept.
fn truncate(kept: &mut Vec<(u32, f64)>, top_k: usize, top_p: f64) {
    let limit = if top_k == 0 { kept.len() } else { top_k.min(kept.len()) };
    if limit == kept.len() && top_p >= 1.0 {
        return;
    }
    kept.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    kept.truncate(limit);
    let total: f64 = kept.iter().map(|k| k.1).sum();
    let mut mass = 0.0;
    let enough = kept.iter().position(|k| {
        mass += k.1;
        mass >= top_p * total
    });
    if let (Some(last), true) = (enough, top_p < 1.0) {
        kept.truncate(last + 1);
    }
    kept.sort_unstable_by_key(|k| k.0);
}

/// The token at which the running mass passes `draw` of the whole.
fn pick(kept: &[(u32, f64)], draw: f64) -> usize {
    let total: f64 = kept.iter().map(|k| k.1).sum();
    let mut mass = 0.0;
    for &(token, p) in kept {
        mass += p;
        if mass > draw * total {
            return token as usize;
        }
    }
    // Rounding can leave the running mass at draw · total: the last token with any mass is meant.
    kept.iter().rev().find(|k| k.1 > 0.0).map_or(0, |k| k.0 as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(temperature: f64, draw: f64) -> SampleRow<'static> {
        SampleRow { temperature, top_k: 0, top_p: 1.0, banned: &[], draw }
    }

    #[test]
    fn draws_follow_the_distribution() {
        let logits = [0.3_f32, -1.0, 2.0, 0.0, 0.9];
        let n = 20_000;
        let mut counts = [0_u32; 5];
        for i in 0..n {
            let s = draw(&logits, &row(0.7, (f64::from(i) + 0.5) / f64::from(n)));
            counts[s.token as usize] += 1;
        }
        let weights = logits.map(|x| (f64::from(x) / 0.7).exp());
        let total: f64 = weights.iter().sum();
        for (count, weight) in counts.iter().zip(weights) {
            assert!((f64::from(*count) / f64::from(n) - weight / total).abs() < 1e-4);
        }
    }

    #[test]
    fn greedy_takes_the_lowest_id_of_equals_and_respects_bans() {
        let logits = [1.0_f32, 3.0, 3.0, 2.0];
        assert_eq!(draw(&logits, &row(0.0, 0.9)).token, 1);
        assert_eq!(draw(&logits, &SampleRow { banned: &[1], ..row(0.0, 0.9) }).token, 2);
    }

    #[test]
    fn truncation_keeps_the_likeliest() {
        let logits = [0.0_f32, 3.0, 2.0, 3.0, -1.0];
        for i in 0..100 {
            let draw_at = f64::from(i) / 100.0;
            let top_k = draw(&logits, &SampleRow { top_k: 3, ..row(1.0, draw_at) }).token;
            assert!([1, 2, 3].contains(&top_k));
            let top_1 = draw(&logits, &SampleRow { top_k: 1, ..row(1.0, draw_at) }).token;
            assert_eq!(top_1, 1);
            let top_p = draw(&logits, &SampleRow { top_p: 0.5, ..row(1.0, draw_at) }).token;
            assert!([1, 3].contains(&top_p));
        }
    }

    #[test]
    fn a_draw_of_almost_one_stays_inside() {
        let logits = [0.0_f32, 0.0, -1000.0];
        assert_eq!(draw(&logits, &row(1.0, 1.0 - f64::EPSILON)).token, 1);
    }
}
