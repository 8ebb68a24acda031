//! The innermost loops of a matrix product, one for each instruction set.

use super::isa::Isa;
use super::pool::Shelf;
use super::real::Real;
use std::cell::RefCell;
use std::sync::Mutex;
use std::thread::LocalKey;

/// Columns of one packed panel of the right-hand matrix.
pub const PANEL: usize = 32;

/// What a tile does with the result's former content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Former {
    /// It is overwritten.
    Ignore,
    /// The chains' sums are added to it.
    Add,
    /// The chains start with it.
    Start,
}

/// One call of a kernel: at most `ROWS` × [`PANEL`] elements of the result.
pub struct Tile<F> {
    /// Rows of the tile.
    pub rows: usize,
    /// Columns of the tile.
    pub columns: usize,
    /// Products in each chain.
    pub depth: usize,
    /// Left-hand element (i, p) stands `i * a_row + p * a_column` behind this.
    pub a: *const F,
    /// See `a`.
    pub a_row: usize,
    /// See `a`.
    pub a_column: usize,
    /// A packed panel: `[depth][PANEL]`.
    pub b: *const F,
    /// The result's first element.
    pub c: *mut F,
    /// Distance of the result's rows.
    pub c_row: usize,
    /// What becomes of the result's former content.
    pub former: Former,
}

/// The kernel of a scalar type.
pub trait Micro: Sized {
    /// Most rows of a tile.
    const ROWS: usize;

    /// Runs one tile.
    ///
    /// # Safety
    /// The tile's addresses are valid for its extents.
    unsafe fn kernel(tile: &Tile<Self>);

    /// Memory that a thread packs into: the left-hand tiles and the right-hand panels.
    fn scratch() -> &'static LocalKey<RefCell<(Vec<Self>, Vec<Self>)>>;

    /// Memory that a thread keeps between the tiles of an attention kernel.
    fn tile_memory() -> &'static LocalKey<RefCell<[Vec<Self>; 3]>>;

    /// Buffers to be used again.
    fn shelf() -> &'static Mutex<Shelf<Self>>;
}

impl Micro for f32 {
    const ROWS: usize = 12;

    unsafe fn kernel(tile: &Tile<f32>) {
        // SAFETY: the caller's promise, and `current` has seen the features.
        unsafe {
            match Isa::current() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => x86::avx512(tile),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => x86::avx2(tile),
                _ => portable(tile),
            }
        }
    }

    fn scratch() -> &'static LocalKey<RefCell<(Vec<Self>, Vec<Self>)>> {
        thread_local!(static SCRATCH: RefCell<(Vec<f32>, Vec<f32>)> = const { RefCell::new((Vec::new(), Vec::new())) });
        &SCRATCH
    }

    fn tile_memory() -> &'static LocalKey<RefCell<[Vec<Self>; 3]>> {
        thread_local!(static TILES: RefCell<[Vec<f32>; 3]> = const { RefCell::new([Vec::new(), Vec::new(), Vec::new()]) });
        &TILES
    }

    fn shelf() -> &'static Mutex<Shelf<Self>> {
        static SHELF: Mutex<Shelf<f32>> = Mutex::new(Shelf::EMPTY);
        &SHELF
    }
}

impl Micro for f64 {
    const ROWS: usize = 12;

    unsafe fn kernel(tile: &Tile<f64>) {
        // SAFETY: the caller's promise.
        unsafe { portable(tile) }
    }

    fn scratch() -> &'static LocalKey<RefCell<(Vec<Self>, Vec<Self>)>> {
        thread_local!(static SCRATCH: RefCell<(Vec<f64>, Vec<f64>)> = const { RefCell::new((Vec::new(), Vec::new())) });
        &SCRATCH
    }

    fn tile_memory() -> &'static LocalKey<RefCell<[Vec<Self>; 3]>> {
        thread_local!(static TILES: RefCell<[Vec<f64>; 3]> = const { RefCell::new([Vec::new(), Vec::new(), Vec::new()]) });
        &TILES
    }

    fn shelf() -> &'static Mutex<Shelf<Self>> {
        static SHELF: Mutex<Shelf<f64>> = Mutex::new(Shelf::EMPTY);
        &SHELF
    }
}

/// Row by row, with products rounded before they are added.
///
/// # Safety
/// As [`Micro::kernel`].
unsafe fn portable<F: Real>(t: &Tile<F>) {
    for i in 0..t.rows {
        // SAFETY: the caller's promise.
        unsafe {
            let c = std::slice::from_raw_parts_mut(t.c.add(i * t.c_row), t.columns);
            let mut sum = [F::ZERO; PANEL];
            if t.former == Former::Start {
                sum[..t.columns].copy_from_slice(c);
            }
            for p in 0..t.depth {
                let x = *t.a.add(i * t.a_row + p * t.a_column);
                let b = &*t.b.add(p * PANEL).cast::<[F; PANEL]>();
                for (s, &b) in sum.iter_mut().zip(b) {
                    *s += x * b;
                }
            }
            if t.former == Former::Add {
                for (s, &c) in sum.iter_mut().zip(c.iter()) {
                    *s += c;
                }
            }
            c.copy_from_slice(&sum[..t.columns]);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Former, PANEL, Tile};
    use std::arch::x86_64::*;

    /// Picks the kernel of this height.
    ///
    /// # Safety
    /// AVX-512F, and as [`super::Micro::kernel`].
    #[target_feature(enable = "avx512f")]
    pub unsafe fn avx512(t: &Tile<f32>) {
        // SAFETY: the caller's promise.
        unsafe {
            match t.rows {
                1 => rows512::<1>(t),
                2 => rows512::<2>(t),
                3 => rows512::<3>(t),
                4 => rows512::<4>(t),
                5 => rows512::<5>(t),
                6 => rows512::<6>(t),
                7 => rows512::<7>(t),
                8 => rows512::<8>(t),
                9 => rows512::<9>(t),
                10 => rows512::<10>(t),
                11 => rows512::<11>(t),
                _ => rows512::<12>(t),
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn rows512<const M: usize>(t: &Tile<f32>) {
        let mask = |from: usize| ((1_u32 << t.columns.saturating_sub(from).min(16)) - 1) as __mmask16;
        let masks = [mask(0), mask(16)];
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
            let (mut a, mut b) = (t.a, t.b);
            for _ in 0..t.depth {
                let b0 = _mm512_loadu_ps(b);
                let b1 = _mm512_loadu_ps(b.add(16));
                for (i, row) in sum.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(*a.add(i * t.a_row));
                    row[0] = _mm512_fmadd_ps(x, b0, row[0]);
                    row[1] = _mm512_fmadd_ps(x, b1, row[1]);
                }
                a = a.wrapping_add(t.a_column);
                b = b.wrapping_add(PANEL);
            }
            for (i, row) in sum.iter().enumerate() {
                for (h, &s) in row.iter().enumerate() {
                    let c = t.c.wrapping_add(i * t.c_row + h * 16);
                    let s = match t.former {
                        Former::Add => _mm512_add_ps(s, _mm512_maskz_loadu_ps(masks[h], c)),
                        _ => s,
                    };
                    _mm512_mask_storeu_ps(c, masks[h], s);
                }
            }
        }
    }

    /// Rows of one AVX2 tile: 6 × 16 elements fill the 16 registers.
    const ROWS_AVX2: usize = 6;

    /// # Safety
    /// AVX2 and FMA, and as [`super::Micro::kernel`].
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn avx2(t: &Tile<f32>) {
        for i in (0..t.rows).step_by(ROWS_AVX2) {
            for half in [0, 16] {
                if half >= t.columns {
                    continue;
                }
                // SAFETY: the caller's promise.
                unsafe {
                    match ROWS_AVX2.min(t.rows - i) {
                        1 => rows256::<1>(t, i, half),
                        2 => rows256::<2>(t, i, half),
                        3 => rows256::<3>(t, i, half),
                        4 => rows256::<4>(t, i, half),
                        5 => rows256::<5>(t, i, half),
                        _ => rows256::<6>(t, i, half),
                    }
                }
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn rows256<const M: usize>(t: &Tile<f32>, i0: usize, half: usize) {
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
            for p in 0..t.depth {
                let b0 = _mm256_loadu_ps(t.b.add(p * PANEL + half));
                let b1 = _mm256_loadu_ps(t.b.add(p * PANEL + half + 8));
                for (i, s) in sum.iter_mut().enumerate() {
                    let x = _mm256_set1_ps(*t.a.add((i0 + i) * t.a_row + p * t.a_column));
                    s[0] = _mm256_fmadd_ps(x, b0, s[0]);
                    s[1] = _mm256_fmadd_ps(x, b1, s[1]);
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

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn avx2_and_avx512_agree_bit_for_bit() {
            if !is_x86_feature_detected!("avx512f") {
                eprintln!("SKIPPED: this processor has no AVX-512");
                return;
            }
            let a: Vec<f32> = (0..12 * 70).map(|i| (i as f32 * 0.71).sin()).collect();
            let b: Vec<f32> = (0..70 * PANEL).map(|i| (i as f32 * 1.31).cos()).collect();
            for rows in 1..=12 {
                for columns in [1, 7, 8, 15, 16, 17, 31, 32] {
                    for former in [Former::Ignore, Former::Add, Former::Start] {
                        let mut c = [vec![0.5_f32; 12 * 40], vec![0.5_f32; 12 * 40]];
                        for (wide, c) in c.iter_mut().enumerate() {
                            let tile = Tile {
                                rows,
                                columns,
                                depth: 70,
                                a: a.as_ptr(),
                                a_row: 70,
                                a_column: 1,
                                b: b.as_ptr(),
                                c: c.as_mut_ptr(),
                                c_row: 40,
                                former,
                            };
                            // SAFETY: the buffers hold the tile, and the features were seen above.
                            unsafe { if wide == 1 { avx512(&tile) } else { avx2(&tile) } }
                        }
                        assert_eq!(c[0], c[1], "{rows} rows, {columns} columns");
                    }
                }
            }
        }
    }
}
