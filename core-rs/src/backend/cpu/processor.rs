//! The processor as a device: what it computes with.

use std::marker::PhantomData;

/// The processor. Sums, norms and the residual stream are in `F`; activations, and the operands of products with
/// weights, are rounded to `A`. `Cpu<f32>` and `Cpu<f32, bf16>` do the work; `Cpu<f64>` runs the same code for gradient
/// checks.
#[derive(Debug)]
pub struct Cpu<F, A = F> {
    /// Weights are packed as integers, and products with them round activations to 8 bits.
    pub(super) integers: bool,
    /// Why it is the processor, where a GPU would have been taken.
    pub(super) note: Option<&'static str>,
    types: PhantomData<(F, A)>,
}

impl<F, A> Cpu<F, A> {
    /// The processor.
    pub fn new() -> Self {
        Self { integers: false, note: None, types: PhantomData }
    }

    /// The processor, for weights that are read as 8-bit integers; those of a quantised file have as few bits as it.
    pub fn with_integers() -> Self {
        Self { integers: true, ..Self::new() }
    }

    /// The same with a word on why it is the processor, which [`crate::backend::Backend::describe`] gives.
    pub fn noting(self, note: Option<&'static str>) -> Self {
        Self { note, ..self }
    }

    /// The word of [`Cpu::noting`].
    pub fn note(&self) -> Option<&'static str> {
        self.note
    }
}

impl<F, A> Default for Cpu<F, A> {
    fn default() -> Self {
        Self::new()
    }
}
