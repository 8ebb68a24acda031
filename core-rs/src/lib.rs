//! Pure compute for reasoning reward models: tokens, weights, log-probabilities and gradients.
//!
//! The crate knows nothing of judges, rewards or benchmarks. Losses reach it only as coefficients on
//! per-token log-probabilities, entropies and scores (see `docs/design.md`).

pub mod config;
pub mod error;

pub use error::{Error, Result};
