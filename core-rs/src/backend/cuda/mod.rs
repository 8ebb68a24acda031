//! The CUDA backend: the kernels of `kernels/`, compiled when they are first used, and the device's library for
//! matrix products.

pub mod device;
pub mod driver;
pub mod element;
#[cfg(test)]
mod emulator;
pub mod kernels;
mod elementwise;
mod indexing;
mod optimizer;
mod rowwise;
#[cfg(test)]
mod tests;
