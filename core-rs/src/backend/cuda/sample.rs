//! Drawing tokens from logits.

use super::device::{Array, args, launch};
use super::driver::Grid;
use super::kernels::{Activation, Kernel, Module};
use super::vocab::{VOCAB_CHUNK, VOCAB_THREADS};
use crate::Result;
use crate::backend::{SampleRow, Sampled};

/// Words of a row's parameters.
const ROW: usize = 12;

/// See [`crate::backend::Backend::sample`].
pub fn sample(logits: &Array<f32>, rows: &[SampleRow]) -> Result<Vec<Sampled>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let device = logits.device();
    let vocab = logits.len() / rows.len();
    let packed = Array::upload(device, &pack(rows, vocab))?;
    // Scores that a row's bias changes, then weights: neither where all of them are greedy and have no bias.
    let edited =
        rows.iter().any(|row| row.temperature != 0.0 || !row.bias.is_empty() || !row.banned.is_empty());
    let weights = Array::<f32>::unspecified(device, if edited { logits.len() } else { 0 })?;
    let drawn = Array::<u32>::unspecified(device, 2 * rows.len())?;
    let kernel = Kernel { module: Module::new("sample", Activation::F32), name: "sample" };
    let masses = vocab.div_ceil(VOCAB_CHUNK) * size_of::<f64>();
    let grid = Grid::new(rows.len(), VOCAB_THREADS).shared(masses);
    launch(device, kernel, grid, args![logits, vocab as u32, &packed, &weights, &drawn])?;
    let drawn = drawn.download()?;
    let (tokens, logprobs) = drawn.split_at(rows.len());
    let sampled = |(&token, &bits): (&u32, &u32)| Sampled { token, logprob: f32::from_bits(bits) };
    Ok(tokens.iter().zip(logprobs).map(sampled).collect())
}

/// Rows' parameters, then their edits, as the kernel reads them.
fn pack(rows: &[SampleRow], vocab: usize) -> Vec<u32> {
    let mut edits = Vec::new();
    let mut words = Vec::with_capacity(rows.len() * ROW);
    for row in rows {
        let greedy = row.temperature == 0.0;
        let inverse_temperature = if greedy { 1.0 } else { (1.0 / row.temperature) as f32 };
        let mut bias = row.bias.to_vec();
        // Stable: what is added to one token twice is added in the order given.
        bias.sort_by_key(|&(token, _)| token);
        assert!(bias.last().is_none_or(|&(token, _)| (token as usize) < vocab), "a bias of no token");
        let banned: Vec<u32> = row.banned.iter().copied().filter(|&token| (token as usize) < vocab).collect();
        let start = rows.len() * ROW + edits.len();
        edits.extend(bias.iter().flat_map(|&(token, bias)| [token, bias.to_bits()]));
        edits.extend(&banned);
        let wide = [row.top_p, row.min_p, row.draw];
        words.extend(wide.map(f64::to_bits).into_iter().flat_map(|bits| [bits as u32, (bits >> 32) as u32]));
        let top_k = if row.top_k < vocab { row.top_k } else { 0 };
        words.extend([
            inverse_temperature.to_bits(),
            u32::from(greedy),
            top_k as u32,
            start as u32,
            bias.len() as u32,
            banned.len() as u32,
        ]);
    }
    words.append(&mut edits);
    words
}
