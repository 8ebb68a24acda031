//! The innermost loops for AVX-512 (12 × 32 elements in registers) and AVX2 (6 × 16).

use super::kernel::{Bf16, Former, Full, PANEL, Tile, Widened};
use half::bf16;
use std::arch::x86_64::*;

/// Which columns of a panel's halves there are.
#[inline]
pub(super) fn column_masks(columns: usize) -> [__mmask16; 2] {
    [0, 16].map(|from| ((1_u32 << columns.saturating_sub(from).min(16)) - 1) as __mmask16)
}

/// Stores the sums of a tile, added to the former content for [`Former::Add`].
///
/// # Safety
/// AVX-512 F; rows of c, `c_row` apart, are valid in the columns of the masks.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn store_tile<const M: usize>(
    sum: [[__m512; 2]; M],
    c: *mut f32,
    c_row: usize,
    masks: [__mmask16; 2],
    former: Former,
) {
    for (i, row) in sum.into_iter().enumerate() {
        for (h, s) in row.into_iter().enumerate() {
            let c = c.wrapping_add(i * c_row + h * 16);
            // SAFETY: masked-off lanes are not read or written; the rest is the caller's promise.
            unsafe {
                let s = match former {
                    Former::Add => _mm512_add_ps(s, _mm512_maskz_loadu_ps(masks[h], c)),
                    _ => s,
                };
                _mm512_mask_storeu_ps(c, masks[h], s);
            }
        }
    }
}

/// A kernel for tiles of up to 12 rows. `$panel` loads 16 columns of a group, `$pair` one row's group in all lanes,
/// `$multiply` adds their products to the sums.
macro_rules! kernel_512 {
    ($name:ident, $rows:ident, $product:ty, $features:literal, $panel:expr, $pair:expr, $multiply:expr) => {
        /// # Safety
        /// The features, and as [`super::kernel::Product::kernel`].
        #[target_feature(enable = $features)]
        unsafe fn $rows<const M: usize>(t: &Tile<$product>) {
            let masks = column_masks(t.columns);
            let mut sum = [[_mm512_setzero_ps(); 2]; M];
            // SAFETY: masked-off lanes are not read or written; the rest is the caller's promise.
            unsafe {
                if t.former == Former::Start {
                    for (i, row) in sum.iter_mut().enumerate() {
                        for (h, s) in row.iter_mut().enumerate() {
                            *s = _mm512_maskz_loadu_ps(masks[h], t.c.wrapping_add(i * t.c_row + h * 16));
                        }
                    }
                }
                let (mut a, mut b, mut ahead) = (t.a, t.b, t.ahead);
                const GROUP: usize = <$product as super::kernel::Product>::GROUP;
                for _ in 0..t.depth {
                    let (b0, b1) = ($panel(b), $panel(b.add(16 * GROUP)));
                    _mm_prefetch::<_MM_HINT_T0>(ahead);
                    _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(64));
                    ahead = ahead.wrapping_add(t.ahead_step);
                    for (i, row) in sum.iter_mut().enumerate() {
                        let x = $pair(a.add(i * t.a_row));
                        row[0] = $multiply(x, b0, row[0]);
                        row[1] = $multiply(x, b1, row[1]);
                    }
                    a = a.wrapping_add(t.a_group);
                    b = b.wrapping_add(PANEL * GROUP);
                }
                store_tile(sum, t.c, t.c_row, masks, t.former);
            }
        }

        /// Picks the kernel of this height.
        ///
        /// # Safety
        /// The features, and as [`super::kernel::Product::kernel`].
        #[target_feature(enable = $features)]
        pub unsafe fn $name(t: &Tile<$product>) {
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
                    8 => $rows::<8>(t),
                    9 => $rows::<9>(t),
                    10 => $rows::<10>(t),
                    11 => $rows::<11>(t),
                    _ => $rows::<12>(t),
                }
            }
        }
    };
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn widen_512(b: *const bf16) -> __m512 {
    // SAFETY: the caller's promise.
    unsafe {
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(b.cast()))))
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn pairs_512(b: *const bf16) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_loadu_si512(b.cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn pair_512(a: *const bf16) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_set1_epi32(a.cast::<i32>().read_unaligned()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn dot_512(x: __m512i, b: __m512i, sum: __m512) -> __m512 {
    // SAFETY: both types are 64 bytes without invalid values; the feature is the caller's promise.
    unsafe {
        _mm512_dpbf16_ps(
            sum,
            std::mem::transmute::<__m512i, __m512bh>(x),
            std::mem::transmute::<__m512i, __m512bh>(b),
        )
    }
}

kernel_512!(
    full_512,
    full_rows_512,
    Full<f32>,
    "avx512f",
    |b: *const f32| _mm512_loadu_ps(b),
    |a: *const f32| _mm512_set1_ps(*a),
    |x, b, s| _mm512_fmadd_ps(x, b, s)
);
kernel_512!(
    widened_512,
    widened_rows_512,
    Widened,
    "avx512f",
    |b: *const bf16| widen_512(b),
    |a: *const f32| _mm512_set1_ps(*a),
    |x, b, s| _mm512_fmadd_ps(x, b, s)
);
kernel_512!(
    bf16_512,
    bf16_rows_512,
    Bf16,
    "avx512f,avx512bf16",
    |b: *const bf16| pairs_512(b),
    |a: *const bf16| pair_512(a),
    |x, b, s| dot_512(x, b, s)
);

/// Rows of one AVX2 tile: 6 × 16 elements fill the 16 registers.
const ROWS_256: usize = 6;

/// As `kernel_512`, for 8 columns at a time.
macro_rules! kernel_256 {
    ($name:ident, $rows:ident, $product:ty, $panel:expr, $pair:expr, $multiply:expr) => {
        /// # Safety
        /// AVX2 and FMA, and as [`super::kernel::Product::kernel`].
        #[target_feature(enable = "avx2,fma")]
        unsafe fn $rows<const M: usize>(t: &Tile<$product>, i0: usize, half: usize) {
            const GROUP: usize = <$product as super::kernel::Product>::GROUP;
            let columns = (t.columns - half).min(16);
            let mut sum = [[_mm256_setzero_ps(); 2]; M];
            // SAFETY: partial rows go through a whole buffer; the rest is the caller's promise.
            unsafe {
                let mut row = [0.0_f32; 16];
                if t.former == Former::Start {
                    for (i, s) in sum.iter_mut().enumerate() {
                        let c = t.c.add((i0 + i) * t.c_row + half);
                        std::ptr::copy_nonoverlapping(c, row.as_mut_ptr(), columns);
                        *s = [_mm256_loadu_ps(row.as_ptr()), _mm256_loadu_ps(row.as_ptr().add(8))];
                    }
                }
                for g in 0..t.depth {
                    let b = t.b.add((g * PANEL + half) * GROUP);
                    let (b0, b1) = ($panel(b), $panel(b.add(8 * GROUP)));
                    for (i, s) in sum.iter_mut().enumerate() {
                        let x = $pair(t.a.add((i0 + i) * t.a_row + g * t.a_group));
                        s[0] = $multiply(x, b0, s[0]);
                        s[1] = $multiply(x, b1, s[1]);
                    }
                }
                for (i, s) in sum.iter().enumerate() {
                    let c = t.c.add((i0 + i) * t.c_row + half);
                    let mut s = *s;
                    if t.former == Former::Add {
                        std::ptr::copy_nonoverlapping(c, row.as_mut_ptr(), columns);
                        s[0] = _mm256_add_ps(s[0], _mm256_loadu_ps(row.as_ptr()));
                        s[1] = _mm256_add_ps(s[1], _mm256_loadu_ps(row.as_ptr().add(8)));
                    }
                    _mm256_storeu_ps(row.as_mut_ptr(), s[0]);
                    _mm256_storeu_ps(row.as_mut_ptr().add(8), s[1]);
                    std::ptr::copy_nonoverlapping(row.as_ptr(), c, columns);
                }
            }
        }

        /// # Safety
        /// AVX2 and FMA, and as [`super::kernel::Product::kernel`].
        #[target_feature(enable = "avx2,fma")]
        pub unsafe fn $name(t: &Tile<$product>) {
            for i in (0..t.rows).step_by(ROWS_256) {
                for half in [0, 16] {
                    if half >= t.columns {
                        continue;
                    }
                    // SAFETY: the caller's promise.
                    unsafe {
                        match ROWS_256.min(t.rows - i) {
                            1 => $rows::<1>(t, i, half),
                            2 => $rows::<2>(t, i, half),
                            3 => $rows::<3>(t, i, half),
                            4 => $rows::<4>(t, i, half),
                            5 => $rows::<5>(t, i, half),
                            _ => $rows::<6>(t, i, half),
                        }
                    }
                }
            }
        }
    };
}

#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn widen_256(b: *const bf16) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(b.cast())))) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn pairs_256(b: *const bf16) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe { _mm256_loadu_si256(b.cast()) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn pair_256(a: *const bf16) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe { _mm256_set1_epi32(a.cast::<i32>().read_unaligned()) }
}

/// Without an instruction for pairs: the second of each pair, then the first, as the processors that have it do.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn dot_256(x: __m256i, b: __m256i, sum: __m256) -> __m256 {
    let high = _mm256_set1_epi32(0xffff_0000_u32 as i32);
    let second = |v| _mm256_castsi256_ps(_mm256_and_si256(v, high));
    let first = |v| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(v));
    _mm256_fmadd_ps(first(x), first(b), _mm256_fmadd_ps(second(x), second(b), sum))
}

kernel_256!(
    full_256,
    full_rows_256,
    Full<f32>,
    |b: *const f32| _mm256_loadu_ps(b),
    |a: *const f32| _mm256_set1_ps(*a),
    |x, b, s| _mm256_fmadd_ps(x, b, s)
);
kernel_256!(
    widened_256,
    widened_rows_256,
    Widened,
    |b: *const bf16| widen_256(b),
    |a: *const f32| _mm256_set1_ps(*a),
    |x, b, s| _mm256_fmadd_ps(x, b, s)
);
kernel_256!(
    bf16_256,
    bf16_rows_256,
    Bf16,
    |b: *const bf16| pairs_256(b),
    |a: *const bf16| pair_256(a),
    |x, b, s| dot_256(x, b, s)
);
