//! What kinds of products there are, and the innermost loop of each.

use super::super::isa::Isa;
use super::super::pool::Pooled;
use super::super::real::Real;
use super::super::stored::Stored;
use super::blocks::Blocks;
use half::bf16;
use std::cell::RefCell;
use std::marker::PhantomData;
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

/// One call of a kernel: at most `ROWS` × [`PANEL`] elements of the result. Operands are counted in groups of
/// [`Product::GROUP`] neighbours in k.
pub struct Tile<P: Product + ?Sized> {
    /// Rows of the tile.
    pub rows: usize,
    /// Columns of the tile.
    pub columns: usize,
    /// Groups in each chain.
    pub depth: usize,
    /// Group g of row i of the left-hand matrix stands `i * a_row + g * a_group` elements behind this.
    pub a: *const P::Left,
    /// See `a`.
    pub a_row: usize,
    /// See `a`.
    pub a_group: usize,
    /// A packed panel: `[depth][PANEL][GROUP]`.
    pub b: *const P::Right,
    /// The result's first element.
    pub c: *mut P::Sum,
    /// Distance of the result's rows.
    pub c_row: usize,
    /// What becomes of the result's former content.
    pub former: Former,
    /// Where memory is asked for what will be read later; never read itself.
    pub ahead: *const i8,
    /// Bytes that `ahead` moves with each group.
    pub ahead_step: usize,
}

/// Memory that a thread packs into: left-hand tiles, right-hand panels, and sums before they are rounded.
pub type Scratch<P> =
    RefCell<(Vec<<P as Product>::Left>, Vec<<P as Product>::Right>, Vec<<P as Product>::Sum>)>;

/// A kind of matrix product: the types of its operands and of its sums.
pub trait Product: 'static {
    /// What sums are in, and the result unless it is rounded.
    type Sum: Real;
    /// The left-hand operand.
    type Left: Stored<Self::Sum> + Pooled;
    /// The right-hand operand.
    type Right: Stored<Self::Sum> + Pooled;
    /// Neighbours in k that are multiplied by one instruction.
    const GROUP: usize;
    /// Terms of k in a chain, a multiple of `GROUP`: a panel of them stays in the first-level cache.
    const K_BLOCK: usize;

    /// Runs one tile.
    ///
    /// # Safety
    /// The tile's addresses are valid for its extents.
    unsafe fn kernel(tile: &Tile<Self>);

    /// Multiplies a few rows by one panel of quantised weights without expanding it, with the bits of
    /// [`Product::kernel`] on the expanded panel. False where there is no such kernel or too many rows; nothing is done
    /// then.
    ///
    /// # Safety
    /// The addresses are valid for the rows, the blocks' k and the columns.
    unsafe fn few_rows(_: &Few<Self::Left>) -> bool {
        false
    }

    /// This thread's memory.
    fn scratch() -> &'static LocalKey<Scratch<Self>>;
}

/// One panel of a product of a few rows with quantised weights.
pub struct Few<'a, L> {
    /// The weights.
    pub blocks: &'a Blocks,
    /// Which panel of them.
    pub panel: usize,
    /// Rows of the left-hand matrix.
    pub rows: usize,
    /// Columns of the panel that are wanted.
    pub columns: usize,
    /// Element p of row i stands `i * a_row + p` behind this.
    pub a: *const L,
    /// See `a`.
    pub a_row: usize,
    /// The result's first element.
    pub c: *mut f32,
    /// Distance of the result's rows.
    pub c_row: usize,
    /// [`Former::Ignore`] or [`Former::Add`].
    pub former: Former,
}

/// Most rows of a tile.
pub const ROWS: usize = 12;

macro_rules! scratch {
    ($p:ty) => {
        fn scratch() -> &'static LocalKey<Scratch<Self>> {
            thread_local!(static SCRATCH: Scratch<$p> = const { RefCell::new((Vec::new(), Vec::new(), Vec::new())) });
            &SCRATCH
        }
    };
}

/// Operands as wide as the sums.
pub struct Full<F>(PhantomData<F>);

/// bfloat16 operands in pairs, f32 sums.
pub struct Bf16;

/// An f32 left-hand side and a bfloat16 right-hand side, term by term: for a matrix that grows along k and may be
/// cut anywhere, as values in attention.
pub struct Widened;

impl Product for Full<f32> {
    type Sum = f32;
    type Left = f32;
    type Right = f32;
    const GROUP: usize = 1;
    const K_BLOCK: usize = 128;

    unsafe fn kernel(tile: &Tile<Self>) {
        // SAFETY: the caller's promise, and `current` has seen the features.
        unsafe {
            match Isa::current() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => super::x86::full_512(tile),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => super::x86::full_256(tile),
                _ => portable(tile),
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    unsafe fn few_rows(few: &Few<f32>) -> bool {
        if few.rows > super::blocks_x86::FEW || Isa::current() != Isa::Avx512 {
            return false;
        }
        // SAFETY: the caller's promise, and the features have been seen.
        unsafe { super::blocks_x86::full(few) };
        true
    }

    #[cfg(target_family = "wasm")]
    unsafe fn few_rows(few: &Few<f32>) -> bool {
        if few.rows > super::blocks_wasm::FEW {
            return false;
        }
        // SAFETY: the caller's promise.
        unsafe { super::blocks_wasm::full(few) };
        true
    }

    scratch!(Full<f32>);
}

impl Product for Full<f64> {
    type Sum = f64;
    type Left = f64;
    type Right = f64;
    const GROUP: usize = 1;
    const K_BLOCK: usize = 128;

    unsafe fn kernel(tile: &Tile<Self>) {
        // SAFETY: the caller's promise.
        unsafe { portable(tile) }
    }

    scratch!(Full<f64>);
}

impl Product for Bf16 {
    type Sum = f32;
    type Left = bf16;
    type Right = bf16;
    const GROUP: usize = 2;
    const K_BLOCK: usize = 256;

    unsafe fn kernel(tile: &Tile<Self>) {
        // SAFETY: the caller's promise, and the features have been seen.
        unsafe {
            match Isa::current() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 if Isa::multiplies_bf16() => super::x86::bf16_512(tile),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 | Isa::Avx2 => super::x86::bf16_256(tile),
                _ => portable(tile),
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    unsafe fn few_rows(few: &Few<bf16>) -> bool {
        if few.rows > super::blocks_x86::FEW || !Isa::multiplies_bf16() {
            return false;
        }
        // SAFETY: the caller's promise, and the features have been seen.
        unsafe { super::blocks_x86::pairs(few) };
        true
    }

    scratch!(Bf16);
}

impl Product for Widened {
    type Sum = f32;
    type Left = f32;
    type Right = bf16;
    const GROUP: usize = 1;
    const K_BLOCK: usize = 128;

    unsafe fn kernel(tile: &Tile<Self>) {
        // SAFETY: the caller's promise, and `current` has seen the features.
        unsafe {
            match Isa::current() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => super::x86::widened_512(tile),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => super::x86::widened_256(tile),
                _ => portable(tile),
            }
        }
    }

    scratch!(Widened);
}

/// Rows that the portable kernel takes together: with [`PANEL`] / 2 columns they fill half of NEON's registers.
const PORTABLE_ROWS: usize = 4;

/// Plain loops that compilers turn into the target's vectors.
///
/// # Safety
/// As [`Product::kernel`].
unsafe fn portable<P: Product>(t: &Tile<P>) {
    for i in (0..t.rows).step_by(PORTABLE_ROWS) {
        // SAFETY: the caller's promise.
        unsafe {
            match PORTABLE_ROWS.min(t.rows - i) {
                1 => portable_rows::<P, 1>(t, i),
                2 => portable_rows::<P, 2>(t, i),
                3 => portable_rows::<P, 3>(t, i),
                _ => portable_rows::<P, 4>(t, i),
            }
        }
    }
}

unsafe fn portable_rows<P: Product, const M: usize>(t: &Tile<P>, i0: usize) {
    const HALF: usize = PANEL / 2;
    const FMA: bool = cfg!(target_arch = "aarch64");
    for first in (0..t.columns).step_by(HALF) {
        let columns = HALF.min(t.columns - first);
        let mut sum = [[P::Sum::ZERO; HALF]; M];
        // SAFETY: the caller's promise.
        unsafe {
            let row = |i: usize| std::slice::from_raw_parts_mut(t.c.add((i0 + i) * t.c_row + first), columns);
            if t.former == Former::Start {
                sum.iter_mut().enumerate().for_each(|(i, s)| s[..columns].copy_from_slice(row(i)));
            }
            for g in 0..t.depth {
                let b = t.b.add((g * PANEL + first) * P::GROUP);
                for q in 0..P::GROUP {
                    for (i, s) in sum.iter_mut().enumerate() {
                        let x = (*t.a.add((i0 + i) * t.a_row + g * t.a_group + q)).load();
                        for (j, s) in s.iter_mut().enumerate() {
                            *s = x.madd::<FMA>((*b.add(j * P::GROUP + q)).load(), *s);
                        }
                    }
                }
            }
            for (i, s) in sum.iter_mut().enumerate() {
                let c = row(i);
                if t.former == Former::Add {
                    s.iter_mut().zip(c.iter()).for_each(|(s, &c)| *s += c);
                }
                c.copy_from_slice(&s[..columns]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled<T: Stored<f32>>(n: usize, seed: f32) -> Vec<T> {
        (0..n).map(|i| T::store((i as f32 * seed).sin())).collect()
    }

    /// Runs two kernels over tiles of all heights, some widths and all kinds of storing, and tells how far they are
    /// apart.
    fn distance<P: Product<Sum = f32>>(kernels: [unsafe fn(&Tile<P>); 2]) -> f32 {
        const DEPTH: usize = 35;
        let (a, b) = (filled::<P::Left>(ROWS * 80, 0.71), filled::<P::Right>(DEPTH * PANEL * 2, 1.31));
        let mut worst = 0.0_f32;
        for rows in 1..=ROWS {
            for columns in [1, 7, 8, 15, 16, 17, 31, 32] {
                for former in [Former::Ignore, Former::Add, Former::Start] {
                    let [x, y] = kernels.map(|kernel| {
                        let mut c = filled::<f32>(ROWS * 40, 0.3);
                        let tile = Tile {
                            rows,
                            columns,
                            depth: DEPTH,
                            a: a.as_ptr(),
                            a_row: 80,
                            a_group: P::GROUP,
                            b: b.as_ptr(),
                            c: c.as_mut_ptr(),
                            c_row: 40,
                            former,
                            ahead: b.as_ptr().cast(),
                            ahead_step: 128,
                        };
                        // SAFETY: the buffers hold the tile, and the caller has seen the features.
                        unsafe { kernel(&tile) };
                        c
                    });
                    let outside = |c: &[f32]| {
                        let rest = c.iter().enumerate().filter(|(i, _)| i / 40 >= rows || i % 40 >= columns);
                        rest.map(|(_, x)| x.to_bits()).collect::<Vec<_>>()
                    };
                    assert_eq!(outside(&x), outside(&filled::<f32>(ROWS * 40, 0.3)), "writes past its tile");
                    assert_eq!(outside(&x), outside(&y));
                    worst = x.iter().zip(&y).map(|(x, y)| (x - y).abs()).fold(worst, f32::max);
                }
            }
        }
        worst
    }

    #[test]
    fn every_kernel_agrees_with_the_portable_one() {
        assert!(distance::<Full<f32>>([portable, <Full<f32> as Product>::kernel]) < 1e-5);
        assert!(distance::<Bf16>([portable, <Bf16 as Product>::kernel]) < 1e-5);
        assert!(distance::<Widened>([portable, <Widened as Product>::kernel]) < 1e-5);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn avx2_and_avx512_agree_bit_for_bit() {
        use super::super::x86;
        if Isa::current() != Isa::Avx512 {
            eprintln!("SKIPPED: this processor has no AVX-512");
            return;
        }
        assert_eq!(distance::<Full<f32>>([x86::full_256, x86::full_512]), 0.0);
        assert_eq!(distance::<Widened>([x86::widened_256, x86::widened_512]), 0.0);
        if Isa::multiplies_bf16() {
            assert!(distance::<Bf16>([x86::bf16_256, x86::bf16_512]) < 1e-5);
        }
    }
}
