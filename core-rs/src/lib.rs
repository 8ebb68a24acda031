//! Pure compute for reasoning reward models: tokens, weights, log-probabilities and gradients.
//!
//! The crate knows nothing of judges, rewards or benchmarks. Losses reach it only as coefficients on
//! per-token log-probabilities, entropies and scores (see `docs/design.md`).

pub mod backend;
pub mod cancel;
pub mod config;
pub mod error;
#[cfg(not(target_family = "wasm"))]
pub mod ffi;
pub mod files;
pub mod forest;
pub mod generate;
pub mod model;
mod philox;
pub mod service;
pub mod tokenizer;
pub mod turns;
#[cfg(target_family = "wasm")]
pub mod wasm;
pub mod weights;

pub use error::{Error, Result};
