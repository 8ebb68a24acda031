//! The CUDA backend: the kernels of `kernels/`, compiled when they are first used, and the device's library for
//! matrix products.

mod attention;
mod attention_backward;
mod backend;
mod buffer;
mod dequantize;
mod device;
mod driver;
mod element;
mod elementwise;
#[cfg(test)]
mod emulator;
mod indexing;
pub mod kernels;
mod optimizer;
mod product;
mod rowwise;
mod sample;
#[cfg(test)]
mod tests;
mod vocab;

use crate::{Error, Result};
pub use backend::Cuda;
pub use device::Device;
pub use element::Element;
