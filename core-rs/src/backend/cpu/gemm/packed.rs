//! Matrices by address, and right-hand matrices laid out for the kernels.

use super::super::isa::simd_fn;
use super::super::real::Real;
use super::super::stored::Stored;
use super::kernel::{PANEL, Product};
use rayon::prelude::*;

/// A matrix by address: element (i, j) stands at `i * row + j * column`.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, E> {
    pub(super) data: &'a [E],
    /// One of the two distances is 1.
    pub(super) row: usize,
    pub(super) column: usize,
}

impl<'a, E> View<'a, E> {
    /// Rows of `width` elements, one after another.
    pub fn rows(data: &'a [E], width: usize) -> Self {
        Self { data, row: width, column: 1 }
    }

    /// The transpose of rows of `width` elements.
    pub fn columns(data: &'a [E], width: usize) -> Self {
        Self { data, row: 1, column: width }
    }

    pub(super) fn check(&self, rows: usize, columns: usize) {
        assert!(
            rows > 0 && columns > 0 && (rows - 1) * self.row + (columns - 1) * self.column < self.data.len()
        );
    }

    /// The view that starts at element (i, j).
    pub(super) fn at(&self, i: usize, j: usize) -> Self {
        Self { data: &self.data[i * self.row + j * self.column..], row: self.row, column: self.column }
    }
}

/// A right-hand matrix (k × n) laid out as panels of [`PANEL`] columns: `[n / PANEL][k / GROUP][PANEL][GROUP]`,
/// zero-padded.
pub struct Packed<P: Product> {
    pub(super) data: Vec<P::Right>,
    /// Groups that each panel has room for.
    pub(super) capacity: usize,
    /// Rows.
    pub k: usize,
    /// Columns.
    pub n: usize,
}

impl<P: Product> Packed<P> {
    /// Packs a k × n view.
    pub fn new<E: Stored<P::Sum>>(b: View<E>, k: usize, n: usize) -> Self {
        let (mut packed, size) = Self::unfilled(&b, k, n);
        packed
            .data
            .chunks_exact_mut(size)
            .enumerate()
            .for_each(|(panel, out)| fill::<P, E>(b, k, n, panel, out));
        packed
    }

    /// As [`Packed::new`], panels in parallel.
    pub fn new_parallel<E: Stored<P::Sum>>(b: View<E>, k: usize, n: usize) -> Self {
        let (mut packed, size) = Self::unfilled(&b, k, n);
        let panels = packed.data.par_chunks_exact_mut(size).enumerate();
        panels.for_each(|(panel, out)| fill::<P, E>(View { ..b }, k, n, panel, out));
        packed
    }

    /// Writes column j.
    pub fn column(&self, j: usize, out: &mut [P::Sum]) {
        let panel = &self.data[j / PANEL * self.capacity * PANEL * P::GROUP..];
        for (p, out) in out.iter_mut().enumerate().take(self.k) {
            *out = panel[(p / P::GROUP * PANEL + j % PANEL) * P::GROUP + p % P::GROUP].load();
        }
    }

    fn unfilled<E>(b: &View<E>, k: usize, n: usize) -> (Self, usize) {
        b.check(k, n);
        let capacity = k.div_ceil(P::GROUP);
        let size = capacity * PANEL * P::GROUP;
        let data = vec![P::Right::default(); n.div_ceil(PANEL) * size];
        (Self { data, capacity, k, n }, size)
    }

    /// An empty matrix that grows by rows, with room for so many: until then it is not moved and holds no more.
    pub fn with_rows(rows: usize, n: usize) -> Self {
        assert_eq!(P::GROUP, 1, "rows cannot be appended in groups");
        let data = vec![P::Right::default(); n.div_ceil(PANEL) * rows * PANEL];
        Self { data, capacity: rows, k: 0, n }
    }

    /// As [`Packed::with_rows`], growing by columns.
    pub fn with_columns(k: usize, columns: usize) -> Self {
        let capacity = k.div_ceil(P::GROUP);
        let data = Vec::with_capacity(columns.div_ceil(PANEL) * capacity * PANEL * P::GROUP);
        Self { data, capacity, k, n: 0 }
    }

    /// Bytes that it holds, room included.
    pub fn bytes(&self) -> usize {
        self.data.capacity() * size_of::<P::Right>()
    }

    /// Appends a row of n elements. Rows cannot be appended in groups.
    pub fn push_row(&mut self, row: &[P::Right]) {
        assert!(P::GROUP == 1 && row.len() == self.n);
        if self.k == self.capacity {
            let capacity = (self.capacity * 2).max(32);
            let mut data = vec![P::Right::default(); self.n.div_ceil(PANEL) * capacity * PANEL];
            if self.capacity > 0 {
                let old = self.data.chunks_exact(self.capacity * PANEL);
                for (new, old) in data.chunks_exact_mut(capacity * PANEL).zip(old) {
                    new[..old.len()].copy_from_slice(old);
                }
            }
            (self.data, self.capacity) = (data, capacity);
        }
        for (panel, part) in row.chunks(PANEL).enumerate() {
            let at = (panel * self.capacity + self.k) * PANEL;
            self.data[at..at + part.len()].copy_from_slice(part);
        }
        self.k += 1;
    }

    /// Appends a column of k elements.
    pub fn push_column(&mut self, column: &[P::Right]) {
        assert_eq!(column.len(), self.k);
        let lane = self.n % PANEL;
        let size = self.capacity * PANEL * P::GROUP;
        if lane == 0 {
            self.data.resize(self.data.len() + size, P::Right::default());
        }
        let panel = &mut self.data[self.n / PANEL * size..];
        for (group, part) in column.chunks(P::GROUP).enumerate() {
            panel[(group * PANEL + lane) * P::GROUP..][..part.len()].copy_from_slice(part);
        }
        self.n += 1;
    }
}

fn fill<P: Product, E: Stored<P::Sum>>(b: View<E>, k: usize, n: usize, panel: usize, out: &mut [P::Right]) {
    let j = panel * PANEL;
    pack_panel::<P, E>(b.at(0, j), k, PANEL.min(n - j), out);
}

/// Copies k rows and the first columns of `b` into `[k / GROUP][PANEL][GROUP]`. Rows behind the last are zero.
pub(super) fn pack_panel<P: Product, E: Stored<P::Sum>>(
    b: View<E>,
    k: usize,
    columns: usize,
    out: &mut [P::Right],
) {
    if b.column == 1 {
        pack_rows::<P::Sum, E, P::Right>(b.data, b.row, k, columns, P::GROUP, out);
    } else {
        pack_columns::<P::Sum, E, P::Right>(b.data, b.column, k, columns, P::GROUP, out);
    }
}

simd_fn! {
    /// Row p of the matrix stands at `p * stride`.
    fn pack_rows<F, S, D>(b: &[S], stride: usize, k: usize, columns: usize, group: usize, out: &mut [D]) {
        let _ = FMA;
        if group == 1 {
            for (p, out) in out.chunks_exact_mut(PANEL).take(k).enumerate() {
                for (o, &x) in out.iter_mut().zip(&b[p * stride..][..columns]) {
                    *o = D::store(x.load());
                }
            }
            return;
        }
        for (g, out) in out.chunks_exact_mut(2 * PANEL).enumerate() {
            let p = 2 * g;
            let first = &b[p * stride..][..columns];
            if p + 1 < k {
                let second = &b[(p + 1) * stride..][..columns];
                for ((o, &x), &y) in out.chunks_exact_mut(2).zip(first).zip(second) {
                    (o[0], o[1]) = (D::store(x.load()), D::store(y.load()));
                }
            } else {
                for (o, &x) in out.chunks_exact_mut(2).zip(first) {
                    (o[0], o[1]) = (D::store(x.load()), D::default());
                }
            }
        }
    }
}

/// Groups and columns of a block that is turned round in registers, so that each cache line of a column is read once.
const BLOCK: usize = 4;

simd_fn! {
    /// Column j of the matrix stands at `j * stride`.
    fn pack_columns<F, S, D>(b: &[S], stride: usize, k: usize, columns: usize, group: usize, out: &mut [D]) {
        let _ = FMA;
        let whole = if group == 1 {
            turn::<F, S, D, 1>(b, stride, k, columns, out)
        } else {
            turn::<F, S, D, 2>(b, stride, k, columns, out)
        };
        for p in 0..k.next_multiple_of(group) {
            let from = if p / group < whole.0 { whole.1 } else { 0 };
            for j in from..columns {
                let x = if p < k { D::store(b[j * stride + p].load()) } else { D::default() };
                out[(p / group * PANEL + j) * group + p % group] = x;
            }
        }
    }
}

/// Turns whole blocks and tells how many groups and columns they cover.
#[inline(always)]
fn turn<F: Real, S: Stored<F>, D: Stored<F>, const GROUP: usize>(
    b: &[S],
    stride: usize,
    k: usize,
    columns: usize,
    out: &mut [D],
) -> (usize, usize) {
    let whole = (k / GROUP / BLOCK * BLOCK, columns / BLOCK * BLOCK);
    for g in (0..whole.0).step_by(BLOCK) {
        let groups = &mut out[g * PANEL * GROUP..][..BLOCK * PANEL * GROUP];
        for j in (0..whole.1).step_by(BLOCK) {
            let mut block = [[[D::default(); GROUP]; BLOCK]; BLOCK];
            for (i, line) in block.iter_mut().enumerate() {
                let from = &b[(j + i) * stride + g * GROUP..][..BLOCK * GROUP];
                for (unit, from) in line.iter_mut().zip(from.chunks_exact(GROUP)) {
                    for (x, &from) in unit.iter_mut().zip(from) {
                        *x = D::store(from.load());
                    }
                }
            }
            for q in 0..BLOCK {
                for (i, line) in block.iter().enumerate() {
                    groups[(q * PANEL + j + i) * GROUP..][..GROUP].copy_from_slice(&line[q]);
                }
            }
        }
    }
    whole
}
