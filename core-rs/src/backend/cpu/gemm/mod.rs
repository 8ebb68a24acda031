//! Matrix products with one fixed summation order.
//!
//! Every element of the result is a sum over k in ascending order, in blocks of [`Product::K_BLOCK`]: a chain of
//! multiply–adds within a block, and the blocks' sums added one after another. Vectors run over the columns, never
//! over k. So the bits of an element do not depend on the tile it fell into, on how many rows the product has, or
//! on the threads, and a sampler that decodes one row gives exactly what the trainer gives for a thousand. One
//! chain over all of k would be as fixed, but on SmolLM2 it made gradients ten times less exact.

mod blocks;
#[cfg(target_family = "wasm")]
mod blocks_wasm;
#[cfg(target_arch = "x86_64")]
mod blocks_x86;
mod integers;
#[cfg(target_family = "wasm")]
mod integers_wasm;
#[cfg(target_arch = "x86_64")]
mod integers_x86;
pub mod kernel;
mod packed;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::disjoint::Disjoint;
use super::rowwise::convert;
use super::stored::Stored;
pub use blocks::Blocks;
pub use kernel::{Bf16, Full, PANEL, Product, Widened};
use kernel::{Few, Former, ROWS, Tile};
use packed::pack_panel;
pub use packed::{Packed, View};
use rayon::prelude::*;
use std::any::TypeId;

/// Panels that a task goes through while its rows of the left-hand matrix are in the cache.
const GROUP_OF_PANELS: usize = 4;
/// Rows up to which a packed matrix is read panel by panel.
const FEW_ROWS: usize = 4 * ROWS;
/// Rows of one task of a parallel product.
const ROW_CHUNK: usize = 384;
/// Bytes of a panel that are asked of memory ahead of their use, about a block of k: few rows leave it no other time.
const AHEAD: usize = 16 << 10;
/// Multiply–adds below which threads cost more than they bring.
const PARALLEL_FROM: usize = 1 << 16;

/// The right-hand side of a product.
pub enum Right<'a, P: Product> {
    /// Packed as the product goes.
    View(View<'a, P::Right>),
    /// Rounded and packed as the product goes.
    Wide(View<'a, P::Sum>),
    /// Packed before; the product starts at this column, a multiple of [`PANEL`].
    Packed(&'a Packed<P>, usize),
    /// Expanded as the product goes, from this column, a multiple of [`PANEL`].
    Blocks(&'a Blocks, usize),
    /// As `Blocks`, multiplied as integers: the left-hand side is rounded to 8 bits.
    Integers(&'a Blocks, usize),
}

impl<P: Product> Clone for Right<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<P: Product> Copy for Right<'_, P> {}

impl<P: Product> Right<'_, P> {
    fn check(&self, k: usize, n: usize) {
        match self {
            Right::View(v) => v.check(k, n),
            Right::Wide(v) => v.check(k, n),
            Right::Packed(p, j) => assert!(j % PANEL == 0 && p.k >= k && p.n >= j + n),
            Right::Blocks(b, j) | Right::Integers(b, j) => {
                assert!(j % PANEL == 0 && b.k == k && b.n >= j + n)
            }
        }
    }

    /// The matrix from column j on, a multiple of [`PANEL`].
    pub fn from_column(&self, j: usize) -> Self {
        match self {
            Right::View(v) => Right::View(v.at(0, j)),
            Right::Wide(v) => Right::Wide(v.at(0, j)),
            Right::Packed(p, first) => Right::Packed(p, first + j),
            Right::Blocks(b, first) => Right::Blocks(b, first + j),
            Right::Integers(b, first) => Right::Integers(b, first + j),
        }
    }
}

/// What a product does with the result's former content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Replaces it.
    Replace,
    /// Adds to it.
    Add,
    /// Goes on with it as one chain over all of k, so that a product that is cut over k anywhere keeps its bits.
    Continue,
}

/// C (m × n, rows `stride` apart) = or += A (m × k) · B (k × n), on this thread. A result that is narrower than the
/// sums is rounded once, from the whole sum.
pub fn gemm<P: Product, O: Stored<P::Sum>>(
    shape: (usize, usize, usize),
    a: View<P::Left>,
    b: Right<P>,
    c: &mut [O],
    stride: usize,
    into: Store,
) {
    let (m, n, _) = shape;
    if m == 0 || n == 0 {
        return;
    }
    check::<P>(shape, &a, &b, c.len(), stride);
    if let Right::Integers(..) = b {
        return spread((m, shape.2), a, vec![Output { right: b, n, c, stride }], into, 1);
    }
    let c = Disjoint::new(c);
    // SAFETY: the buffer is borrowed mutably, and this is its only task.
    unsafe { task(shape, a, b, c, (0, 0), stride, into) }
}

/// One of the products of a left-hand matrix.
pub struct Output<'r, 'c, P: Product, O> {
    /// The right-hand side, k × n.
    pub right: Right<'r, P>,
    /// Its columns.
    pub n: usize,
    /// The result.
    pub c: &'c mut [O],
    /// Distance of its rows.
    pub stride: usize,
}

/// As [`gemm`], spread over the current thread pool; the same bits.
pub fn gemm_parallel<P: Product, O: Stored<P::Sum>>(
    shape: (usize, usize, usize),
    a: View<P::Left>,
    b: Right<P>,
    c: &mut [O],
    stride: usize,
    into: Store,
) {
    let (m, n, k) = shape;
    gemms_parallel((m, k), a, vec![Output { right: b, n, c, stride }], into);
}

/// As [`gemm_parallel`] for several products of one left-hand matrix, so that threads meet once.
pub fn gemms_parallel<P: Product, O: Stored<P::Sum>>(
    (m, k): (usize, usize),
    a: View<P::Left>,
    outputs: Vec<Output<P, O>>,
    into: Store,
) {
    let threads = match rayon::current_num_threads() {
        threads if m * k * outputs.iter().map(|o| o.n).sum::<usize>() >= PARALLEL_FROM => threads,
        _ => 1,
    };
    spread((m, k), a, outputs, into, threads);
}

/// Cuts the products into rectangles for so many threads, and computes them.
fn spread<P: Product, O: Stored<P::Sum>>(
    (m, k): (usize, usize),
    a: View<P::Left>,
    mut outputs: Vec<Output<P, O>>,
    into: Store,
    threads: usize,
) {
    outputs.retain(|o| o.n > 0);
    if m == 0 || outputs.is_empty() {
        return;
    }
    outputs.iter().for_each(|o| check::<P>((m, o.n, k), &a, &o.right, o.c.len(), o.stride));
    let lefts = integers::lefts(&a, (m, k), outputs.iter().map(|o| &o.right));
    let panels: usize = outputs.iter().map(|o| o.n.div_ceil(PANEL)).sum();
    let (row_chunks, group) = match (threads, m.div_ceil(ROW_CHUNK)) {
        (1, _) => (1, panels),
        // Enough tasks that a slow core does not hold up the rest.
        (_, chunks) => {
            (chunks, panels.div_ceil((4 * threads).div_ceil(chunks)).clamp(1, GROUP_OF_PANELS * 4))
        }
    };
    let outputs: Vec<_> = outputs.into_iter().map(|o| (o.right, o.n, Disjoint::new(o.c), o.stride)).collect();
    let tasks: Vec<(usize, usize)> = (0..outputs.len())
        .flat_map(|o| (0..outputs[o].1).step_by(group * PANEL).map(move |j| (o, j)))
        .collect();
    let rectangle = |index: usize| {
        let ((output, j), r) = (tasks[index / row_chunks], index % row_chunks);
        let (right, n, c, stride) = outputs[output];
        let i = r * m / row_chunks;
        let (rows, columns) = ((r + 1) * m / row_chunks - i, (group * PANEL).min(n - j));
        match right.from_column(j) {
            // SAFETY: the rectangles of the tasks are disjoint.
            Right::Integers(blocks, first) => unsafe {
                integers::rectangle::<P, O>(blocks, first, &lefts, (rows, columns), c, (i, j), stride, into);
            },
            // SAFETY: as above.
            right => unsafe { task((rows, columns, k), a.at(i, 0), right, c, (i, j), stride, into) },
        }
    };
    match threads {
        1 => (0..tasks.len() * row_chunks).for_each(rectangle),
        _ => (0..tasks.len() * row_chunks).into_par_iter().for_each(rectangle),
    }
}

fn check<P: Product>(
    (m, n, k): (usize, usize, usize),
    a: &View<P::Left>,
    b: &Right<P>,
    c: usize,
    stride: usize,
) {
    assert!(k > 0 && stride >= n && (m - 1) * stride + n <= c);
    a.check(m, k);
    b.check(k, n);
}

/// One task's rectangle of the result, which starts at element (i, j).
///
/// # Safety
/// The buffer is alive, and nobody else touches the rectangle.
unsafe fn task<P: Product, O: Stored<P::Sum>>(
    (m, n, k): (usize, usize, usize),
    a: View<P::Left>,
    b: Right<P>,
    c: Disjoint<O>,
    (i, j): (usize, usize),
    stride: usize,
    into: Store,
) {
    let shape = (m, n, k);
    let first = c.pointer(i * stride + j, (m - 1) * stride + n);
    if TypeId::of::<O>() == TypeId::of::<P::Sum>() {
        // SAFETY: the types are the same, and the rectangle lies behind the pointer.
        unsafe { block(shape, a, b, first.cast(), stride, into) };
        return;
    }
    let mut sums = P::scratch().with_borrow_mut(|(_, _, sums)| std::mem::take(sums));
    sums.resize(m * n, P::Sum::default());
    // SAFETY: the rows lie inside the rectangle, which is this task's.
    let row = |r: usize| unsafe { std::slice::from_raw_parts_mut(first.add(r * stride), n) };
    if into != Store::Replace {
        sums.chunks_exact_mut(n).enumerate().for_each(|(r, sums)| convert::<P::Sum, O, P::Sum>(row(r), sums));
    }
    // SAFETY: the rectangle is the whole of `sums`.
    unsafe { block(shape, a, b, sums.as_mut_ptr(), n, into) };
    sums.chunks_exact(n).enumerate().for_each(|(r, sums)| convert::<P::Sum, P::Sum, O>(sums, row(r)));
    P::scratch().with_borrow_mut(|scratch| scratch.2 = sums);
}

/// A rectangle of the result at an address.
///
/// # Safety
/// The rectangle is valid, and nobody else touches it.
unsafe fn block<P: Product>(
    (m, n, k): (usize, usize, usize),
    a: View<P::Left>,
    b: Right<P>,
    c: *mut P::Sum,
    stride: usize,
    into: Store,
) {
    // Rows that are contiguous in whole groups are read where they stand; others are copied tile by tile.
    let gather = a.column != 1 || !k.is_multiple_of(P::GROUP);
    if let (Right::Blocks(blocks, j0), false) = (b, gather || into == Store::Continue) {
        // The result of such a product is f32: blocks are multiplied by nothing else that has a kernel for them.
        let former = if into == Store::Replace { Former::Ignore } else { Former::Add };
        let few = |j: usize| Few {
            blocks,
            panel: (j0 + j) / PANEL,
            rows: m,
            columns: PANEL.min(n - j),
            a: a.data.as_ptr(),
            a_row: a.row,
            c: c.wrapping_add(j).cast(),
            c_row: stride,
            former,
        };
        // SAFETY: the rectangle is valid, and the views have been checked.
        if (0..n).step_by(PANEL).all(|j| unsafe { P::few_rows(&few(j)) }) {
            return;
        }
    }
    if m <= FEW_ROWS && !gather && n > PANEL && matches!(b, Right::Packed(..) | Right::Blocks(..)) {
        // Memory is what few rows wait for: each panel is read from end to end, and once.
        for j in (0..n).step_by(PANEL) {
            let shape = (m, PANEL.min(n - j), k);
            // SAFETY: a part of the rectangle.
            unsafe { block(shape, View { ..a }, b.from_column(j), c.add(j), stride, into) };
        }
        return;
    }
    P::scratch().with_borrow_mut(|(left, right, _)| {
        for p0 in (0..k).step_by(P::K_BLOCK) {
            let terms = P::K_BLOCK.min(k - p0);
            let depth = terms.div_ceil(P::GROUP);
            let former = match into {
                Store::Continue => Former::Start,
                Store::Replace if p0 == 0 => Former::Ignore,
                _ => Former::Add,
            };
            let a_block = a.at(0, p0);
            let tile_size = ROWS * depth * P::GROUP;
            if gather {
                left.resize(m.div_ceil(ROWS) * tile_size, P::Left::default());
                left.chunks_exact_mut(tile_size).enumerate().for_each(|(t, tile)| {
                    gather_tile::<P>(&a_block.at(t * ROWS, 0), ROWS.min(m - t * ROWS), terms, tile);
                });
            }
            for g0 in (0..n).step_by(GROUP_OF_PANELS * PANEL) {
                let columns = (GROUP_OF_PANELS * PANEL).min(n - g0);
                let (panels, panel_stride) = match b {
                    Right::Packed(packed, j0) => {
                        let stride = packed.capacity * PANEL * P::GROUP;
                        let first = (j0 + g0) / PANEL * stride + p0 * PANEL;
                        (packed.data[first..].as_ptr(), stride)
                    }
                    _ => {
                        let stride = depth * PANEL * P::GROUP;
                        right.resize(GROUP_OF_PANELS * P::K_BLOCK * PANEL, P::Right::default());
                        for j in (0..columns).step_by(PANEL) {
                            let out = &mut right[j / PANEL * stride..][..stride];
                            let width = PANEL.min(columns - j);
                            match b {
                                Right::View(v) => pack_panel::<P, _>(v.at(p0, g0 + j), terms, width, out),
                                Right::Wide(v) => pack_panel::<P, _>(v.at(p0, g0 + j), terms, width, out),
                                Right::Blocks(blocks, j0) => {
                                    blocks.expand::<P>((j0 + g0 + j) / PANEL, p0, terms, out);
                                }
                                Right::Packed(..) => unreachable!("is packed"),
                                Right::Integers(..) => unreachable!("has a product of its own"),
                            }
                        }
                        (right.as_ptr(), stride)
                    }
                };
                let mut i0 = 0;
                while i0 < m {
                    let rows = tile_rows(m, i0, gather);
                    let (a_tile, a_row, a_group) = if gather {
                        (left[i0 / ROWS * tile_size..].as_ptr(), P::GROUP, ROWS * P::GROUP)
                    } else {
                        (a_block.data[i0 * a.row..].as_ptr(), a.row, P::GROUP)
                    };
                    for j in (0..columns).step_by(PANEL) {
                        // SAFETY: the tile lies inside the rectangle, and the panels hold `depth` groups.
                        unsafe {
                            let panel = panels.add(j / PANEL * panel_stride);
                            let (ahead, ahead_step) = ahead::<P>(panel.cast(), depth, (m, i0, rows));
                            P::kernel(&Tile {
                                rows,
                                columns: PANEL.min(columns - j),
                                depth,
                                a: a_tile,
                                a_row,
                                a_group,
                                b: panel,
                                c: c.add(i0 * stride + g0 + j),
                                c_row: stride,
                                former,
                                ahead,
                                ahead_step,
                            });
                        }
                    }
                    i0 += rows;
                }
            }
        }
    });
}

/// What a tile asks of memory while it multiplies: the first address, and the bytes it moves with each group. Where
/// two tiles read a panel, the second finds it in the cache, and each asks for half of what comes next, so that
/// memory never rests.
fn ahead<P: Product>(
    panel: *const i8,
    depth: usize,
    (m, i0, rows): (usize, usize, usize),
) -> (*const i8, usize) {
    let group = PANEL * P::GROUP * size_of::<P::Right>();
    if m > FEW_ROWS || rows == m {
        return (panel.wrapping_add(AHEAD), group);
    }
    let half = if i0 == 0 { 0 } else { depth * group / 2 };
    (panel.wrapping_add(AHEAD + half), group / 2)
}

/// Copies rows of the left-hand matrix to `[terms / GROUP][ROWS][GROUP]`; terms behind the last are zero.
fn gather_tile<P: Product>(a: &View<P::Left>, rows: usize, terms: usize, tile: &mut [P::Left]) {
    if P::GROUP == 1 && a.row == 1 {
        for (p, out) in tile.chunks_exact_mut(ROWS).enumerate() {
            out[..rows].copy_from_slice(&a.data[p * a.column..][..rows]);
        }
        return;
    }
    for (g, out) in tile.chunks_exact_mut(ROWS * P::GROUP).enumerate() {
        for q in 0..P::GROUP {
            let p = g * P::GROUP + q;
            for i in 0..rows {
                let inside = p < terms;
                out[i * P::GROUP + q] =
                    if inside { a.data[i * a.row + p * a.column] } else { P::Left::default() };
            }
        }
    }
}

/// Rows of the tile that starts at row `i0`: tiles of nearly equal height, because a last tile of one row would
/// use a twelfth of the kernel. Gathered rows stand in whole tiles.
fn tile_rows(m: usize, i0: usize, gather: bool) -> usize {
    let left = m - i0;
    if gather || left >= 2 * ROWS { ROWS.min(left) } else { left.div_ceil(left.div_ceil(ROWS)) }
}
