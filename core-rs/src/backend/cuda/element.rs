//! What activations are made of.

use super::buffer::Buffer;
use super::device::Array;
use super::driver::Format;
use super::kernels::Activation;
use bytemuck::Pod;
use half::bf16;

/// A type of activations.
pub trait Element: Pod + Send + Sync + 'static {
    /// By which kernels are compiled for it.
    const ACTIVATION: Activation;
    /// Whether an f32 is rounded to it.
    const ROUNDS: bool;
    /// By which the library multiplies it.
    const FORMAT: Format;
    /// What products read of a buffer without rounding it now, in the same memory.
    fn operand(buffer: &Buffer) -> Option<Array<Self>>;
    /// Rounds to it.
    fn of(x: f32) -> Self;
    /// Exact.
    fn widen(self) -> f32;
}

impl Element for f32 {
    const ACTIVATION: Activation = Activation::F32;
    const ROUNDS: bool = false;
    const FORMAT: Format = Format::F32;

    fn operand(buffer: &Buffer) -> Option<Array<f32>> {
        Some(buffer.values.whole())
    }

    fn of(x: f32) -> Self {
        x
    }

    fn widen(self) -> f32 {
        self
    }
}

impl Element for bf16 {
    const ACTIVATION: Activation = Activation::Bf16;
    const ROUNDS: bool = true;
    const FORMAT: Format = Format::Bf16;

    fn operand(buffer: &Buffer) -> Option<Array<bf16>> {
        buffer.rounded.as_ref().map(Array::whole)
    }

    fn of(x: f32) -> Self {
        bf16::from_f32(x)
    }

    fn widen(self) -> f32 {
        self.to_f32()
    }
}
