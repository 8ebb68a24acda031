//! The scalar of the CPU backend: `f32` for work, `f64` for checking gradients against finite differences.

use super::gemm::{Full, Product};
use super::pool::Pooled;
use crate::backend::Scalar;
use std::cell::RefCell;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};
use std::thread::LocalKey;

/// Independent accumulators of a long sum: element `i` goes to lane `i % LANES`, and lanes are added pairwise in
/// a fixed order, so a sum depends on the positions of its terms alone.
pub const LANES: usize = 16;

/// A floating-point type that the kernels are generic over.
pub trait Real:
    Scalar
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + Sum
    + Pooled
{
    /// The product of matrices of this type.
    type Full: Product<Sum = Self, Left = Self, Right = Self>;
    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;
    /// −∞
    const NEG_INFINITY: Self;
    /// self · a + b, fused where `FMA`.
    fn madd<const FMA: bool>(self, a: Self, b: Self) -> Self;
    /// eˣ; 0 below the smallest normal result.
    fn exp<const FMA: bool>(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Memory that a thread keeps between the tiles of an attention kernel.
    fn tile_memory() -> &'static LocalKey<RefCell<[Vec<Self>; 3]>>;
    /// The larger of two numbers that are not NaN.
    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
}

impl Real for f32 {
    type Full = Full<f32>;
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const NEG_INFINITY: Self = f32::NEG_INFINITY;

    #[inline(always)]
    fn madd<const FMA: bool>(self, a: Self, b: Self) -> Self {
        if FMA { self.mul_add(a, b) } else { self * a + b }
    }

    /// Cody–Waite reduction by ln 2 in two parts and a degree-7 polynomial (the coefficients of Cephes' `expf`): within 2 ulp, and the same operations
    /// in the same order in every lane, which a C library's `expf` does not promise.
    #[inline(always)]
    fn exp<const FMA: bool>(self) -> Self {
        /// Adding and subtracting 1.5 · 2²³ rounds to an integer.
        const ROUND: f32 = 12_582_912.0;
        const LN2_HIGH: f32 = 0.693_359_4;
        const LN2_LOW: f32 = -2.121_944_4e-4;
        let x = if self > 88.0 { 88.0 } else { self };
        let x = if x < -87.0 { -87.0 } else { x };
        let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
        let r = (-n).madd::<FMA>(LN2_HIGH, x);
        let r = (-n).madd::<FMA>(LN2_LOW, r);
        let p = 1.987_569_1e-4_f32;
        let p = p.madd::<FMA>(r, 1.398_2e-3);
        let p = p.madd::<FMA>(r, 8.333_452e-3);
        let p = p.madd::<FMA>(r, 4.166_579_6e-2);
        let p = p.madd::<FMA>(r, 1.666_666_5e-1);
        let p = p.madd::<FMA>(r, 0.5);
        let p = p.madd::<FMA>(r, 1.0);
        let p = p.madd::<FMA>(r, 1.0);
        // SAFETY: after the clamp n lies in −126 … 127, which an i32 holds.
        let n = unsafe { n.to_int_unchecked::<i32>() };
        let y = p * f32::from_bits(((n + 127) << 23) as u32);
        if self < -87.0 { 0.0 } else { y }
    }

    #[inline(always)]
    fn ln(self) -> Self {
        f32::ln(self)
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }

    fn tile_memory() -> &'static LocalKey<RefCell<[Vec<Self>; 3]>> {
        thread_local!(static TILES: RefCell<[Vec<f32>; 3]> = const { RefCell::new([Vec::new(), Vec::new(), Vec::new()]) });
        &TILES
    }
}

impl Real for f64 {
    type Full = Full<f64>;
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const NEG_INFINITY: Self = f64::NEG_INFINITY;

    #[inline(always)]
    fn madd<const FMA: bool>(self, a: Self, b: Self) -> Self {
        if FMA { self.mul_add(a, b) } else { self * a + b }
    }

    #[inline(always)]
    fn exp<const FMA: bool>(self) -> Self {
        f64::exp(self)
    }

    #[inline(always)]
    fn ln(self) -> Self {
        f64::ln(self)
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }

    fn tile_memory() -> &'static LocalKey<RefCell<[Vec<Self>; 3]>> {
        thread_local!(static TILES: RefCell<[Vec<f64>; 3]> = const { RefCell::new([Vec::new(), Vec::new(), Vec::new()]) });
        &TILES
    }
}

/// Σ f(i) for i in 0..n by [`LANES`].
#[inline(always)]
pub fn lane_sum<F: Real>(n: usize, f: impl Fn(usize) -> F) -> F {
    lane_sums(n, |i| [f(i)])[0]
}

/// As [`lane_sum`], several sums at once.
#[inline(always)]
pub fn lane_sums<F: Real, const N: usize>(n: usize, f: impl Fn(usize) -> [F; N]) -> [F; N] {
    let mut lanes = [[F::ZERO; LANES]; N];
    let whole = n / LANES * LANES;
    let mut i = 0;
    while i < whole {
        for l in 0..LANES {
            let terms = f(i + l);
            for (lanes, term) in lanes.iter_mut().zip(terms) {
                lanes[l] += term;
            }
        }
        i += LANES;
    }
    for l in 0..n - whole {
        let terms = f(whole + l);
        for (lanes, term) in lanes.iter_mut().zip(terms) {
            lanes[l] += term;
        }
    }
    lanes.map(|mut lanes| {
        let mut width = LANES / 2;
        while width > 0 {
            for l in 0..width {
                lanes[l] += lanes[l + width];
            }
            width /= 2;
        }
        lanes[0]
    })
}

/// The largest of f(i) for i in 0..n; −∞ for none. Exact, so its order does not matter.
#[inline(always)]
pub fn lane_max<F: Real>(n: usize, f: impl Fn(usize) -> F) -> F {
    let mut lanes = [F::NEG_INFINITY; LANES];
    let whole = n / LANES * LANES;
    let mut i = 0;
    while i < whole {
        for (l, lane) in lanes.iter_mut().enumerate() {
            *lane = lane.larger(f(i + l));
        }
        i += LANES;
    }
    for (l, lane) in lanes[..n - whole].iter_mut().enumerate() {
        *lane = lane.larger(f(whole + l));
    }
    lanes.into_iter().fold(F::NEG_INFINITY, F::larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_ulp_and_vanishes_below_the_normal_range() {
        let mut worst = 0.0_f64;
        for i in -870_000..=880_000 {
            let x = i as f32 * 1e-4;
            let exact = f64::from(x).exp();
            let ours = Real::exp::<true>(x).to_f64();
            worst = worst.max(((ours - exact) / exact).abs());
            let plain = Real::exp::<false>(x).to_f64();
            worst = worst.max(((plain - exact) / exact).abs());
        }
        assert!(worst < 2.0 * f64::from(f32::EPSILON), "worst relative error {worst:e}");
        assert_eq!(Real::exp::<true>(f32::NEG_INFINITY), 0.0);
        assert_eq!(Real::exp::<true>(0.0_f32), 1.0);
    }

    #[test]
    fn a_lane_sum_ignores_trailing_zeros() {
        let x: Vec<f32> = (0..100).map(|i| (i as f32 * 0.37).sin()).collect();
        for n in 1..60 {
            let short = lane_sum(n, |i| x[i]);
            let padded = lane_sum(100, |i| if i < n { x[i] } else { 0.0 });
            assert_eq!(short.to_bits(), padded.to_bits());
        }
    }
}
