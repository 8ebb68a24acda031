//! What activations are made of.

use super::driver::Format;
use super::kernels::Activation;
use bytemuck::Pod;
use half::bf16;

/// A type of activations.
pub trait Element: Pod + Send + Sync + 'static {
    /// By which kernels are compiled for it.
    const ACTIVATION: Activation;
    /// By which the library multiplies it.
    const FORMAT: Format;
    /// Rounds to it.
    fn of(x: f32) -> Self;
    /// Exact.
    fn widen(self) -> f32;
}

impl Element for f32 {
    const ACTIVATION: Activation = Activation::F32;
    const FORMAT: Format = Format::F32;

    fn of(x: f32) -> Self {
        x
    }

    fn widen(self) -> f32 {
        self
    }
}

impl Element for bf16 {
    const ACTIVATION: Activation = Activation::Bf16;
    const FORMAT: Format = Format::Bf16;

    fn of(x: f32) -> Self {
        bf16::from_f32(x)
    }

    fn widen(self) -> f32 {
        self.to_f32()
    }
}
