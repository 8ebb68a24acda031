//! How numbers lie in memory. Arithmetic is done in a [`Real`]; what is kept may be narrower.

use super::gemm::{Bf16, Full, Product, Widened};
use super::pool::Pooled;
use super::real::Real;
use half::bf16;
use std::fmt::Debug;

/// A number as buffers hold it.
pub trait Stored<F: Real>: Copy + Default + PartialEq + Debug + Send + Sync + 'static {
    /// The number itself; exact.
    fn load(self) -> F;
    /// Rounds to nearest, ties to even.
    fn store(x: F) -> Self;
}

impl<F: Real> Stored<F> for F {
    #[inline(always)]
    fn load(self) -> F {
        self
    }

    #[inline(always)]
    fn store(x: F) -> F {
        x
    }
}

impl Stored<f32> for bf16 {
    #[inline(always)]
    fn load(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    /// By integers and without branches, so that it runs in lanes. Subnormal numbers keep their value, which the
    /// processor's own conversion (`vcvtneps2bf16`) would set to zero.
    #[inline(always)]
    fn store(x: f32) -> bf16 {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        let quiet = bits >> 16 | 0x40;
        bf16::from_bits((if x.is_nan() { quiet } else { rounded }) as u16)
    }
}

/// What activations are stored as, with the products that take them.
pub trait Element<F: Real>: Stored<F> + Pooled {
    /// Activations by weights.
    type Linear: Product<Sum = F, Left = Self, Right = Self>;
    /// Numbers in full by activations.
    type Mixed: Product<Sum = F, Left = F, Right = Self>;
    /// For messages.
    const NAME: &'static str;
}

impl Element<f32> for f32 {
    type Linear = Full<f32>;
    type Mixed = Full<f32>;
    const NAME: &'static str = "f32";
}

impl Element<f64> for f64 {
    type Linear = Full<f64>;
    type Mixed = Full<f64>;
    const NAME: &'static str = "f64";
}

impl Element<f32> for bf16 {
    type Linear = Bf16;
    type Mixed = Widened;
    const NAME: &'static str = "bf16";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_that_of_the_half_crate() {
        let mut bits = 1_u32;
        for _ in 0..2_000_000 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let x = f32::from_bits(bits);
            assert_eq!(<bf16 as Stored<f32>>::store(x).to_bits(), bf16::from_f32(x).to_bits(), "{x:e}");
        }
        let half_a_unit = 1.0 / 256.0;
        for tie in
            [1.0 + half_a_unit, 1.0 + 3.0 * half_a_unit, -1.0 - half_a_unit, f32::MAX, f32::INFINITY, -0.0]
        {
            assert_eq!(<bf16 as Stored<f32>>::store(tie), bf16::from_f32(tie));
        }
    }
}
