//! The CUDA backend: the kernels of `kernels/`, compiled when they are first used, and the device's library for
//! matrix products.

mod attention;
mod attention_backward;
pub mod device;
pub mod driver;
pub mod element;
#[cfg(test)]
mod emulator;
mod key_values;
pub mod kernels;
mod plan;
mod rowwise;
#[cfg(test)]
mod tests;
