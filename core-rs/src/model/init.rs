//! Random weights.

use super::params::Params;
use crate::config::ModelConfig;
use crate::philox::philox;

/// Standard deviation of a matrix (Radford et al. 2019).
const DEVIATION: f64 = 0.02;

/// Element i of tensor t is a pure function of (seed, t, i).
pub fn random(config: &ModelConfig, seed: u64) -> Params<Vec<f32>> {
    let residual = DEVIATION / (2.0 * config.num_layers as f64).sqrt();
    let mut tensor = 0;
    Params::specs(config, true).map(|spec| {
        tensor += 1;
        if spec.shape.len() == 1 {
            let value = if spec.name.ends_with(".bias") { 0.0 } else { 1.0 };
            return vec![value; spec.len()];
        }
        let writes = spec.name.ends_with("o_proj.weight") || spec.name.ends_with("down_proj.weight");
        let deviation = if writes { residual } else { DEVIATION };
        (0..spec.len()).map(|i| (normal(seed, tensor, i as u64) * deviation) as f32).collect()
    })
}

/// Uniform in (−1, 1).
pub fn uniform(seed: u64, tensor: u32, i: u64) -> f64 {
    2.0 * unit(words(seed, tensor, i)[0]) - 1.0
}

/// A standard normal draw (Box & Muller 1958).
fn normal(seed: u64, tensor: u32, i: u64) -> f64 {
    let out = words(seed, tensor, i);
    (-2.0 * unit(out[0]).ln()).sqrt() * (std::f64::consts::TAU * unit(out[1])).cos()
}

fn words(seed: u64, tensor: u32, i: u64) -> [u32; 4] {
    philox([tensor, i as u32, (i >> 32) as u32, 0], [seed as u32, (seed >> 32) as u32])
}

/// A random word in (0, 1).
fn unit(word: u32) -> f64 {
    (f64::from(word) + 0.5) / (f64::from(u32::MAX) + 1.0)
}
