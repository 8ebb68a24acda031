//! Products of a few rows with quantised weights with simd128, which go from integers to sums without leaving the
//! registers. The order and the rounding of each sum are those of the kernels that read expanded panels.

use super::blocks::{Factors, LANES, VECTOR};
use super::kernel::{Few, Former, PANEL};
use std::arch::wasm32::*;

/// Columns of a vector.
pub(super) const WIDTH: usize = 4;
/// Vectors of a panel's columns.
pub(super) const GROUPS: usize = PANEL / WIDTH;
/// Vectors of half a panel.
const HALF: usize = LANES / WIDTH;
/// Terms of a chain, as [`super::kernel::Product::K_BLOCK`] of f32.
const BLOCK: usize = 128;

/// Most rows: their sums and the weights take the 16 registers that most processors give to WebAssembly.
pub const FEW: usize = 2;

/// The scales or minimums of a panel's columns, from element `at`.
#[inline(always)]
pub(super) fn factors(from: &Factors, at: usize) -> [v128; GROUPS] {
    // SAFETY: the slices have a panel's length.
    unsafe {
        match from {
            Factors::Half(f) => {
                let p: *const u16 = f[at..at + PANEL].as_ptr().cast();
                std::array::from_fn(|g| widened(u32x4_load_extend_u16x4(p.add(g * WIDTH))))
            }
            Factors::Full(f) => {
                let p = f[at..at + PANEL].as_ptr();
                std::array::from_fn(|g| v128_load(p.add(g * WIDTH).cast()))
            }
            Factors::None => [f32x4_splat(0.0); GROUPS],
        }
    }
}

/// Finite half-precision numbers as f32, exactly: exponent and mantissa are moved into place, and the exponents' bias,
/// 127 − 15, is made up for by a product that holds for subnormal numbers too.
#[inline(always)]
fn widened(halves: v128) -> v128 {
    let magnitude = u32x4_shl(v128_and(halves, u32x4_splat(0x7fff)), 13);
    let sign = u32x4_shl(v128_and(halves, u32x4_splat(0x8000)), 16);
    v128_or(f32x4_mul(magnitude, f32x4_splat(f32::from_bits((127 + 112) << 23))), sign)
}

/// Picks the kernel of this height.
///
/// # Safety
/// The addresses are valid for the rows, at most [`FEW`], the blocks' k and the columns.
pub unsafe fn full(t: &Few<f32>) {
    // SAFETY: the caller's promise.
    unsafe {
        match t.rows {
            1 => rows::<1>(t),
            _ => rows::<2>(t),
        }
    }
}

unsafe fn rows<const M: usize>(t: &Few<f32>) {
    let blocks = t.blocks;
    let (runs, size) = (blocks.k / blocks.run, blocks.run_bytes());
    let mut run = 0;
    while run < runs {
        let last = runs.min(run + BLOCK / blocks.run);
        let former = if run == 0 { t.former } else { Former::Add };
        let mut sums = [[f32x4_splat(0.0); GROUPS]; M];
        for r in run..last {
            let at = t.panel * runs + r;
            let scales = factors(&blocks.scales, at * PANEL);
            let minimums = factors(&blocks.minimums, at * PANEL);
            let words = &blocks.integers[at * 2 * size..][..2 * size];
            for (half, words) in words.chunks_exact(size).enumerate() {
                let from = half * HALF;
                let half_scales: [v128; HALF] = std::array::from_fn(|g| scales[from + g]);
                let half_minimums: [v128; HALF] = std::array::from_fn(|g| minimums[from + g]);
                let mut sum: [[v128; HALF]; M] =
                    std::array::from_fn(|i| std::array::from_fn(|g| sums[i][from + g]));
                // SAFETY: the caller's promise.
                let a = unsafe { t.a.add(r * blocks.run) };
                // SAFETY: as above; a run's words fill whole vectors.
                unsafe {
                    if blocks.nibbles {
                        nibbles(words, (half_scales, half_minimums), (a, t.a_row), &mut sum);
                    } else {
                        bytes(words, (half_scales, half_minimums), (a, t.a_row), &mut sum);
                    }
                }
                for (sums, sum) in sums.iter_mut().zip(sum) {
                    sums[from..from + HALF].copy_from_slice(&sum);
                }
            }
        }
        run = last;
        for (i, sums) in sums.iter().enumerate() {
            let mut row = [0.0; PANEL];
            for (&sum, out) in sums.iter().zip(row.chunks_exact_mut(WIDTH)) {
                // SAFETY: a group has four columns.
                unsafe { v128_store(out.as_mut_ptr().cast(), sum) };
            }
            // SAFETY: the caller's promise.
            let c = unsafe { std::slice::from_raw_parts_mut(t.c.add(i * t.c_row), t.columns) };
            for (c, sum) in c.iter_mut().zip(row) {
                *c = if former == Former::Add { sum + *c } else { sum };
            }
        }
    }
}

/// Adds term k of half a panel: the integers are in the low bits.
#[inline(always)]
unsafe fn take<const M: usize>(
    integers: [v128; HALF],
    (scales, minimums): ([v128; HALF], [v128; HALF]),
    (a, a_row): (*const f32, usize),
    sum: &mut [[v128; HALF]; M],
) {
    let weights: [v128; HALF] = std::array::from_fn(|g| {
        f32x4_add(f32x4_mul(f32x4_convert_i32x4(integers[g]), scales[g]), minimums[g])
    });
    for (i, sum) in sum.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        let x = unsafe { v128_load32_splat(a.add(i * a_row).cast()) };
        for (sum, weight) in sum.iter_mut().zip(weights) {
            *sum = f32x4_add(f32x4_mul(x, weight), *sum);
        }
    }
}

#[inline(always)]
unsafe fn load(vector: &[u8]) -> [v128; HALF] {
    // SAFETY: a vector has 64 bytes.
    std::array::from_fn(|g| unsafe { v128_load(vector[g * 16..][..16].as_ptr().cast()) })
}

#[inline(always)]
unsafe fn nibbles<const M: usize>(
    words: &[u8],
    factors: ([v128; HALF], [v128; HALF]),
    (a, a_row): (*const f32, usize),
    sum: &mut [[v128; HALF]; M],
) {
    let mask = u32x4_splat(0xf);
    for (v, vector) in words.chunks_exact(VECTOR).enumerate() {
        // SAFETY: the caller's promise.
        unsafe {
            let words = load(vector);
            let mut k = 8 * v;
            // A word's low halves hold one quad, its high halves the next.
            for shift in [0, 8, 16, 24, 4, 12, 20, 28] {
                let integers = words.map(|w| v128_and(u32x4_shr(w, shift), mask));
                take(integers, factors, (a.add(k), a_row), sum);
                k += 1;
            }
        }
    }
}

#[inline(always)]
unsafe fn bytes<const M: usize>(
    words: &[u8],
    factors: ([v128; HALF], [v128; HALF]),
    (a, a_row): (*const f32, usize),
    sum: &mut [[v128; HALF]; M],
) {
    for (v, vector) in words.chunks_exact(VECTOR).enumerate() {
        // SAFETY: the caller's promise.
        unsafe {
            let words = load(vector);
            let mut k = 4 * v;
            for shift in [24, 16, 8, 0] {
                let integers = words.map(|w| i32x4_shr(i32x4_shl(w, shift), 24));
                take(integers, factors, (a.add(k), a_row), sum);
                k += 1;
            }
        }
    }
}
