//! The CUDA backend: the kernels of `kernels/`, compiled when they are first used, and the device's library for
//! matrix products.

pub mod compile;
pub mod cubin_file;
pub mod cubins;
pub mod device;
pub mod driver;
pub mod element;
#[cfg(test)]
mod emulator;
pub mod kernels;
mod libraries;
pub mod nvidia;
mod rowwise;
#[cfg(test)]
mod tests;
