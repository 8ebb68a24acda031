//! Products of a few rows with quantised weights, which go from integers to sums without leaving the registers. The
//! order and the rounding of each sum are those of the kernels that read expanded panels.

use super::blocks::Factors;
use super::kernel::{Few, Former, PANEL};
use super::x86::{column_masks, store_tile};
use half::bf16;
use std::arch::x86_64::*;

/// Bytes of integers that are asked of memory ahead of their use.
pub(super) const AHEAD: usize = 8 << 10;

/// Most rows: with 32 columns they take 16 of the 32 registers.
pub const FEW: usize = 8;

/// The scales or minimums of a panel's columns, from element `at`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn factors(from: &Factors, at: usize) -> [__m512; 2] {
    // SAFETY: the slices have a panel's length, and AVX-512 F includes the conversion.
    unsafe {
        match from {
            Factors::Half(f) => {
                let p: *const __m256i = f[at..at + PANEL].as_ptr().cast();
                [0, 1].map(|h| _mm512_cvtph_ps(_mm256_loadu_si256(p.add(h))))
            }
            Factors::Full(f) => {
                let p = f[at..at + PANEL].as_ptr();
                [0, 16].map(|h| _mm512_loadu_ps(p.add(h)))
            }
            Factors::None => [_mm512_setzero_ps(); 2],
        }
    }
}

/// Calls `$use` with k and the weights of both halves of the panel for each k of the run in ascending order. The
/// words' pointers are those of the run's two halves.
macro_rules! each_weight {
    ($few:expr, $words:expr, $scales:expr, $minimums:expr, |$k:ident, $w:ident| $use:expr) => {{
        let digits = _mm512_setr_ps(
            0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0,
        );
        let (run, nibbles) = ($few.blocks.run, $few.blocks.nibbles);
        let mut v = 0;
        while v * if nibbles { 8 } else { 4 } < run {
            let words: [__m512i; 2] = $words.map(|p| _mm512_loadu_si512(p.add(v * 64).cast()));
            macro_rules! nibble {
                ($at:literal, $shift:literal) => {{
                    let $k = v * 8 + $at;
                    let $w: [__m512; 2] = std::array::from_fn(|h| {
                        // The permutation reads the low four bits of each lane.
                        let q = _mm512_permutexvar_ps(_mm512_srli_epi32::<$shift>(words[h]), digits);
                        _mm512_fmadd_ps(q, $scales[h], $minimums[h])
                    });
                    $use
                }};
            }
            macro_rules! byte {
                ($at:literal, $shift:literal) => {{
                    let $k = v * 4 + $at;
                    let $w: [__m512; 2] = std::array::from_fn(|h| {
                        let q = _mm512_srai_epi32::<24>(_mm512_slli_epi32::<$shift>(words[h]));
                        _mm512_fmadd_ps(_mm512_cvtepi32_ps(q), $scales[h], $minimums[h])
                    });
                    $use
                }};
            }
            if nibbles {
                nibble!(0, 0);
                nibble!(1, 8);
                nibble!(2, 16);
                nibble!(3, 24);
                nibble!(4, 4);
                nibble!(5, 12);
                nibble!(6, 20);
                nibble!(7, 28);
            } else {
                byte!(0, 24);
                byte!(1, 16);
                byte!(2, 8);
                byte!(3, 0);
            }
            v += 1;
        }
    }};
}

macro_rules! few {
    ($name:ident, $rows:ident, $left:ty, $block:literal, $features:literal, $state:expr, $take:expr) => {
        /// # Safety
        /// The features; the addresses are valid for the rows, the blocks' k and the columns.
        #[target_feature(enable = $features)]
        unsafe fn $rows<const M: usize>(t: &Few<$left>) {
            let blocks = t.blocks;
            let masks = column_masks(t.columns);
            let runs = blocks.k / blocks.run;
            let size = blocks.run_bytes();
            // SAFETY: masked-off lanes are not read or written; the rest is the caller's promise.
            unsafe {
                let mut run = 0;
                while run < runs {
                    let mut sum = [[_mm512_setzero_ps(); 2]; M];
                    let last = runs.min(run + $block / blocks.run);
                    let former = if run == 0 { t.former } else { Former::Add };
                    while run < last {
                        let at = t.panel * runs + run;
                        let scales = factors(&blocks.scales, at * PANEL);
                        let minimums = factors(&blocks.minimums, at * PANEL);
                        let first = blocks.integers[at * 2 * size..][..2 * size].as_ptr();
                        let words = [first, first.add(size)];
                        for line in (0..2 * size).step_by(64) {
                            _mm_prefetch::<_MM_HINT_T0>(first.wrapping_add(AHEAD + line).cast());
                        }
                        let a = t.a.add(run * blocks.run);
                        let mut state = $state;
                        each_weight!(t, words, scales, minimums, |k, w| {
                            $take(&mut sum, &mut state, a, t.a_row, k, w)
                        });
                        run += 1;
                    }
                    store_tile(sum, t.c, t.c_row, masks, former);
                }
            }
        }

        /// # Safety
        /// The features; the addresses are valid for the rows, at most [`FEW`], the blocks' k and the columns.
        #[target_feature(enable = $features)]
        pub unsafe fn $name(t: &Few<$left>) {
            // SAFETY: the caller's promise.
            unsafe {
                match t.rows {
                    1 => $rows::<1>(t),
                    2 => $rows::<2>(t),
                    3 => $rows::<3>(t),
                    4 => $rows::<4>(t),
                    5 => $rows::<5>(t),
                    6 => $rows::<6>(t),
                    7 => $rows::<7>(t),
                    _ => $rows::<8>(t),
                }
            }
        }
    };
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn take_full<const M: usize>(
    sum: &mut [[__m512; 2]; M],
    _: &mut (),
    a: *const f32,
    a_row: usize,
    k: usize,
    w: [__m512; 2],
) {
    for (i, row) in sum.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        let x = unsafe { _mm512_set1_ps(*a.add(i * a_row + k)) };
        row[0] = _mm512_fmadd_ps(x, w[0], row[0]);
        row[1] = _mm512_fmadd_ps(x, w[1], row[1]);
    }
}

/// Every second weight waits for its neighbour; then both are rounded and laid side by side.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn take_pair<const M: usize>(
    sum: &mut [[__m512; 2]; M],
    first: &mut [__m512; 2],
    a: *const bf16,
    a_row: usize,
    k: usize,
    w: [__m512; 2],
) {
    if k.is_multiple_of(2) {
        *first = w;
        return;
    }
    // SAFETY: vectors of 64 bytes have no invalid values; the addresses are the caller's promise.
    unsafe {
        let order = _mm512_set_epi16(
            31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3,
            18, 2, 17, 1, 16, 0,
        );
        let pairs: [__m512bh; 2] = std::array::from_fn(|h| {
            let both = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(w[h], first[h]));
            std::mem::transmute::<__m512i, __m512bh>(_mm512_permutexvar_epi16(order, both))
        });
        for (i, row) in sum.iter_mut().enumerate() {
            let x = _mm512_set1_epi32(a.add(i * a_row + k - 1).cast::<i32>().read_unaligned());
            let x = std::mem::transmute::<__m512i, __m512bh>(x);
            row[0] = _mm512_dpbf16_ps(row[0], x, pairs[0]);
            row[1] = _mm512_dpbf16_ps(row[1], x, pairs[1]);
        }
    }
}

few!(full, full_rows, f32, 128, "avx512f", (), take_full);
few!(pairs, pairs_rows, bf16, 256, "avx512f,avx512bw,avx512bf16", [_mm512_setzero_ps(); 2], take_pair);
