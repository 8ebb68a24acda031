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
mod key_values;
mod optimizer;
mod plan;
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

/// The device of a number.
pub fn open(ordinal: usize) -> Result<Device> {
    Err(Error::Device(format!("Cannot open \"cuda:{ordinal}\"")))
}

/// The first device, or why there is none.
pub fn first() -> std::result::Result<Device, &'static str> {
    Err("no CUDA driver found")
}
