//! Counter-based random draws.
//!
//! A draw is a pure function of its key and counter, so it does not depend on what else is in the batch, on the
//! order of requests, or on what was drawn before.

use crate::philox::philox;

/// Names a stream of draws; the position in the answer is added to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DrawKey {
    /// Of the run.
    pub seed: u64,
    /// Of the optimiser step, or of the evaluation.
    pub step: u32,
    /// Of the prompt in the step.
    pub prompt: u32,
    /// Of the rollout in the prompt's group.
    pub rollout: u32,
}

impl DrawKey {
    /// Uniform in [0, 1), with 53 random bits.
    pub fn uniform(&self, position: u32) -> f64 {
        let key = [self.seed as u32, (self.seed >> 32) as u32];
        let out = philox([self.step, self.prompt, self.rollout, position], key);
        let bits = (u64::from(out[0]) << 32 | u64::from(out[1])) >> 11;
        bits as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_uniform() {
        let key = DrawKey { seed: 7, step: 1, prompt: 2, rollout: 3 };
        let n = 10_000;
        let mean = (0..n).map(|i| key.uniform(i)).sum::<f64>() / f64::from(n);
        assert!((mean - 0.5).abs() < 0.01);
        assert!((0..n).all(|i| (0.0..1.0).contains(&key.uniform(i))));
    }
}
