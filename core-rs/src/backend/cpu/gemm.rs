//! Matrix products with one fixed summation order.
//!
//! Every element of the result is a sum over k in ascending order, in blocks of `K_BLOCK`: a chain of
//! multiply–adds within a block, and the blocks' sums added one after another. Vectors run over the columns, never
//! over k. So the bits of an element do not depend on the tile it fell into, on how many rows the product has, or
//! on the threads, and a sampler that decodes one row gives exactly what the trainer gives for a thousand. One
//! chain over all of k would be as fixed, but on SmolLM2 it made gradients ten times less exact.

use super::kernel::{Former, PANEL, Tile};
use super::real::Real;
use rayon::prelude::*;

/// Rows of k in a block: short chains are more exact, and a panel of the block stays in the first-level cache.
const K_BLOCK: usize = 128;
/// Panels that a task goes through while its rows of the left-hand matrix are in the cache.
const GROUP: usize = 4;
/// Rows of one task of a parallel product.
const ROW_CHUNK: usize = 384;
/// Multiply–adds below which threads cost more than they bring.
const PARALLEL_FROM: usize = 1 << 16;

/// A matrix by address: element (i, j) stands at `i * row + j * column`.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, F> {
    data: &'a [F],
    /// One of the two distances is 1.
    row: usize,
    column: usize,
}

impl<'a, F: Real> View<'a, F> {
    /// Rows of `width` elements, one after another.
    pub fn rows(data: &'a [F], width: usize) -> Self {
        Self { data, row: width, column: 1 }
    }

    /// The transpose of rows of `width` elements.
    pub fn columns(data: &'a [F], width: usize) -> Self {
        Self { data, row: 1, column: width }
    }

    fn check(&self, rows: usize, columns: usize) {
        assert!(
            rows > 0 && columns > 0 && (rows - 1) * self.row + (columns - 1) * self.column < self.data.len()
        );
    }

    /// The view that starts at element (i, j).
    fn at(&self, i: usize, j: usize) -> Self {
        Self { data: &self.data[i * self.row + j * self.column..], ..*self }
    }
}

/// A right-hand matrix (k × n) laid out as panels of [`PANEL`] columns: `[n / PANEL][k][PANEL]`, zero-padded.
#[derive(Debug, Clone)]
pub struct Packed<F> {
    data: Vec<F>,
    /// Rows that each panel has room for.
    capacity: usize,
    /// Rows.
    pub k: usize,
    /// Columns.
    pub n: usize,
}

impl<F: Real> Packed<F> {
    /// Packs a k × n view.
    pub fn new(b: View<F>, k: usize, n: usize) -> Self {
        b.check(k, n);
        let mut data = vec![F::ZERO; n.div_ceil(PANEL) * k * PANEL];
        for (panel, out) in data.chunks_exact_mut(k * PANEL).enumerate() {
            let j = panel * PANEL;
            pack_panel(b.at(0, j), k, PANEL.min(n - j), out);
        }
        Self { data, capacity: k, k, n }
    }

    /// As [`Packed::new`], panels in parallel.
    pub fn new_parallel(b: View<F>, k: usize, n: usize) -> Self {
        b.check(k, n);
        let mut data = vec![F::ZERO; n.div_ceil(PANEL) * k * PANEL];
        data.par_chunks_exact_mut(k * PANEL).enumerate().for_each(|(panel, out)| {
            let j = panel * PANEL;
            pack_panel(b.at(0, j), k, PANEL.min(n - j), out);
        });
        Self { data, capacity: k, k, n }
    }

    /// An empty matrix that grows by rows, with room for so many: until then it is not moved and holds no more.
    pub fn with_rows(rows: usize, n: usize) -> Self {
        Self { data: vec![F::ZERO; n.div_ceil(PANEL) * rows * PANEL], capacity: rows, k: 0, n }
    }

    /// As [`Packed::with_rows`], growing by columns.
    pub fn with_columns(k: usize, columns: usize) -> Self {
        Self { data: Vec::with_capacity(columns.div_ceil(PANEL) * k * PANEL), capacity: k, k, n: 0 }
    }

    /// Bytes that it holds, room included.
    pub fn bytes(&self) -> usize {
        self.data.capacity() * size_of::<F>()
    }

    /// Appends a row of n elements.
    pub fn push_row(&mut self, row: &[F]) {
        assert_eq!(row.len(), self.n);
        if self.k == self.capacity {
            let capacity = (self.capacity * 2).max(32);
            let mut data = vec![F::ZERO; self.n.div_ceil(PANEL) * capacity * PANEL];
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
    pub fn push_column(&mut self, column: &[F]) {
        assert_eq!(column.len(), self.k);
        let lane = self.n % PANEL;
        if lane == 0 {
            self.data.resize(self.data.len() + self.k * PANEL, F::ZERO);
        }
        let panel = self.n / PANEL * self.k * PANEL;
        for (p, &x) in column.iter().enumerate() {
            self.data[panel + p * PANEL + lane] = x;
        }
        self.n += 1;
    }
}

/// Copies columns 0 … `columns` of `b` into `[k][PANEL]`.
fn pack_panel<F: Real>(b: View<F>, k: usize, columns: usize, out: &mut [F]) {
    if b.column == 1 {
        for (p, out) in out.chunks_exact_mut(PANEL).take(k).enumerate() {
            let row = &b.data[p * b.row..][..columns];
            out[..columns].copy_from_slice(row);
        }
        return;
    }
    // Blocks of 4 × 4 stay in registers, and each cache line of a column is read once.
    const BLOCK: usize = 4;
    let whole = (k / BLOCK * BLOCK, columns / BLOCK * BLOCK);
    for p in (0..whole.0).step_by(BLOCK) {
        let rows: &mut [F; BLOCK * PANEL] =
            (&mut out[p * PANEL..][..BLOCK * PANEL]).try_into().expect("4 rows");
        for j in (0..whole.1).step_by(BLOCK) {
            let mut block = [[F::ZERO; BLOCK]; BLOCK];
            for (i, line) in block.iter_mut().enumerate() {
                line.copy_from_slice(&b.data[(j + i) * b.column + p..][..BLOCK]);
            }
            for q in 0..BLOCK {
                for (i, line) in block.iter().enumerate() {
                    rows[q * PANEL + j + i] = line[q];
                }
            }
        }
    }
    for p in 0..k {
        let from = if p < whole.0 { whole.1 } else { 0 };
        for j in from..columns {
            out[p * PANEL + j] = b.data[j * b.column + p];
        }
    }
}

/// The right-hand side of a product.
#[derive(Clone, Copy)]
pub enum Right<'a, F> {
    /// Packed as the product goes.
    View(View<'a, F>),
    /// Packed before; the product starts at this column, a multiple of [`PANEL`].
    Packed(&'a Packed<F>, usize),
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

/// A result by address, so that tasks can write disjoint tiles of one buffer.
#[derive(Clone, Copy)]
struct Target<F> {
    data: *mut F,
    row: usize,
}

impl<F> Target<F> {
    /// The target that starts at element (i, j).
    ///
    /// # Safety
    /// The element lies in the buffer.
    unsafe fn at(self, i: usize, j: usize) -> Self {
        // SAFETY: the caller's promise.
        Self { data: unsafe { self.data.add(i * self.row + j) }, row: self.row }
    }
}
// SAFETY: tasks write disjoint rectangles, and the buffer is borrowed mutably for the whole product.
unsafe impl<F: Send> Send for Target<F> {}
// SAFETY: as above.
unsafe impl<F: Send> Sync for Target<F> {}

/// C (m × n, rows `stride` apart) = or += A (m × k) · B (k × n), on this thread.
pub fn gemm<F: Real>(
    (m, n, k): (usize, usize, usize),
    a: View<F>,
    b: Right<F>,
    c: &mut [F],
    stride: usize,
    into: Store,
) {
    if m == 0 || n == 0 {
        return;
    }
    check(m, n, k, &a, &b, c.len(), stride);
    let target = Target { data: c.as_mut_ptr(), row: stride };
    // SAFETY: `check` holds the rectangle inside `c`.
    unsafe { block(m, n, k, a, b, target, into) }
}

/// As [`gemm`], spread over the current thread pool; the same bits.
pub fn gemm_parallel<F: Real>(
    (m, n, k): (usize, usize, usize),
    a: View<F>,
    b: Right<F>,
    c: &mut [F],
    stride: usize,
    into: Store,
) {
    let threads = rayon::current_num_threads();
    if threads == 1 || m * n * k < PARALLEL_FROM {
        return gemm((m, n, k), a, b, c, stride, into);
    }
    check(m, n, k, &a, &b, c.len(), stride);
    let target = Target { data: c.as_mut_ptr(), row: stride };
    let row_chunks = m.div_ceil(ROW_CHUNK);
    let panels = n.div_ceil(PANEL);
    // Enough tasks that a slow core does not hold up the rest.
    let group = panels.div_ceil((4 * threads).div_ceil(row_chunks)).clamp(1, GROUP * 4);
    let groups = panels.div_ceil(group);
    (0..groups * row_chunks).into_par_iter().for_each(|task| {
        let (g, r) = (task / row_chunks, task % row_chunks);
        let (i, j) = (r * m / row_chunks, g * group * PANEL);
        let (rows, columns) = ((r + 1) * m / row_chunks - i, (group * PANEL).min(n - j));
        let right = match b {
            Right::View(v) => Right::View(v.at(0, j)),
            Right::Packed(p, first) => Right::Packed(p, first + j),
        };
        // SAFETY: the rectangles of the tasks are disjoint and inside `c`.
        unsafe {
            block(rows, columns, k, a.at(i, 0), right, target.at(i, j), into);
        }
    });
}

fn check<F: Real>(m: usize, n: usize, k: usize, a: &View<F>, b: &Right<F>, c: usize, stride: usize) {
    assert!(k > 0 && stride >= n && (m - 1) * stride + n <= c);
    a.check(m, k);
    match b {
        Right::View(v) => v.check(k, n),
        Right::Packed(p, j) => assert!(j % PANEL == 0 && p.k >= k && p.n >= j + n),
    }
}

/// One task's rectangle.
///
/// # Safety
/// The rectangle lies inside the target's buffer, and nobody else touches it.
unsafe fn block<F: Real>(m: usize, n: usize, k: usize, a: View<F>, b: Right<F>, c: Target<F>, into: Store) {
    F::scratch().with_borrow_mut(|scratch| {
        let (left, right) = scratch;
        for p0 in (0..k).step_by(K_BLOCK) {
            let depth = K_BLOCK.min(k - p0);
            let former = match into {
                Store::Continue => Former::Start,
                Store::Replace if p0 == 0 => Former::Ignore,
                _ => Former::Add,
            };
            // A left-hand side whose rows are not contiguous is copied tile by tile, once a block.
            let a_block = a.at(0, p0);
            let gather = a.column != 1;
            if gather {
                left.resize(m.next_multiple_of(F::ROWS) * depth, F::ZERO);
                for i0 in (0..m).step_by(F::ROWS) {
                    let rows = F::ROWS.min(m - i0);
                    let tile = &mut left[i0 * depth..][..F::ROWS * depth];
                    for (p, out) in tile.chunks_exact_mut(F::ROWS).enumerate() {
                        out[..rows].copy_from_slice(&a_block.data[p * a.column + i0..][..rows]);
                    }
                }
            }
            for g0 in (0..n).step_by(GROUP * PANEL) {
                let columns = (GROUP * PANEL).min(n - g0);
                let (panels, panel_stride) = match b {
                    Right::Packed(packed, j0) => {
                        let stride = packed.capacity * PANEL;
                        let first = (j0 + g0) / PANEL * stride + p0 * PANEL;
                        (packed.data[first..].as_ptr(), stride)
                    }
                    Right::View(view) => {
                        let stride = depth * PANEL;
                        right.resize(GROUP * K_BLOCK * PANEL, F::ZERO);
                        for j in (0..columns).step_by(PANEL) {
                            let out = &mut right[j / PANEL * stride..][..stride];
                            pack_panel(view.at(p0, g0 + j), depth, PANEL.min(columns - j), out);
                        }
                        (right.as_ptr(), stride)
                    }
                };
                let mut i0 = 0;
                while i0 < m {
                    let rows = tile_rows::<F>(m, i0, gather);
                    let (a_tile, row, column) = if gather {
                        (left[i0 * depth..].as_ptr(), 1, F::ROWS)
                    } else {
                        (a_block.data[i0 * a.row..].as_ptr(), a.row, 1)
                    };
                    for j in (0..columns).step_by(PANEL) {
                        // SAFETY: the tile lies inside the target, and the panels hold `depth` rows.
                        unsafe {
                            F::kernel(&Tile {
                                rows,
                                columns: PANEL.min(columns - j),
                                depth,
                                a: a_tile,
                                a_row: row,
                                a_column: column,
                                b: panels.add(j / PANEL * panel_stride),
                                c: c.data.add(i0 * c.row + g0 + j),
                                c_row: c.row,
                                former,
                            });
                        }
                    }
                    i0 += rows;
                }
            }
        }
    });
}

/// Rows of the tile that starts at row `i0`: tiles of nearly equal height, because a last tile of one row would
/// use a twelfth of the kernel. Gathered rows stand in whole tiles.
fn tile_rows<F: Real>(m: usize, i0: usize, gather: bool) -> usize {
    let left = m - i0;
    if gather || left >= 2 * F::ROWS { F::ROWS.min(left) } else { left.div_ceil(left.div_ceil(F::ROWS)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(n: usize, seed: f64) -> Vec<f32> {
        (0..n).map(|i| ((i as f64 + 1.0) * seed).sin() as f32).collect()
    }

    /// The definition, in f64.
    fn slow(m: usize, n: usize, k: usize, a: View<f32>, b: View<f32>) -> Vec<f64> {
        let mut c = vec![0.0; m * n];
        for i in 0..m {
            for j in 0..n {
                for p in 0..k {
                    let x = a.data[i * a.row + p * a.column];
                    let y = b.data[p * b.row + j * b.column];
                    c[i * n + j] += f64::from(x) * f64::from(y);
                }
            }
        }
        c
    }

    #[test]
    fn every_layout_agrees_with_the_definition() {
        for (m, n, k) in [(1, 1, 1), (3, 5, 7), (13, 33, 300), (29, 130, 513), (400, 70, 20)] {
            let (a, b) = (filled(m * k, 0.7), filled(k * n, 1.3));
            for (va, vb) in [
                (View::rows(&a, k), View::rows(&b, n)),
                (View::rows(&a, k), View::columns(&b, k)),
                (View::columns(&a, m), View::rows(&b, n)),
            ] {
                let expected = slow(m, n, k, va, vb);
                let packed = Packed::new(vb, k, n);
                for right in [Right::View(vb), Right::Packed(&packed, 0)] {
                    let mut c = vec![0.0; m * n];
                    gemm((m, n, k), va, right, &mut c, n, Store::Replace);
                    let mut twice = c.clone();
                    gemm((m, n, k), va, right, &mut twice, n, Store::Add);
                    let mut parallel = vec![0.0; m * n];
                    gemm_parallel((m, n, k), va, right, &mut parallel, n, Store::Replace);
                    assert_eq!(c, parallel);
                    for ((&x, &y), &e) in c.iter().zip(&twice).zip(&expected) {
                        assert!((f64::from(x) - e).abs() < 1e-4, "{x} against {e}");
                        assert!((f64::from(y) - 2.0 * e).abs() < 2e-4);
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_in_any_batch() {
        let (k, n) = (600, 100);
        let (a, b) = (filled(40 * k, 0.3), filled(k * n, 0.9));
        let packed = Packed::new(View::columns(&b, k), k, n);
        let mut all = vec![0.0; 40 * n];
        gemm_parallel(
            (40, n, k),
            View::rows(&a, k),
            Right::View(View::columns(&b, k)),
            &mut all,
            n,
            Store::Replace,
        );
        for rows in [1, 3, 16, 39] {
            let mut some = vec![0.0; rows * n];
            gemm((rows, n, k), View::rows(&a, k), Right::Packed(&packed, 0), &mut some, n, Store::Replace);
            assert_eq!(some, all[..rows * n]);
        }
    }

    #[test]
    fn a_grown_matrix_equals_a_packed_one() {
        let (k, n) = (70, 50);
        let b = filled(k * n, 0.4);
        let a = filled(3 * k, 0.8);
        let whole = Packed::new(View::rows(&b, n), k, n);
        let grown = |rows: usize, columns: usize| {
            let mut by_row = Packed::with_rows(rows, n);
            b.chunks(n).for_each(|row| by_row.push_row(row));
            let mut by_column = Packed::with_columns(k, columns);
            for j in 0..n {
                by_column.push_column(&(0..k).map(|p| b[p * n + j]).collect::<Vec<_>>());
            }
            [by_row, by_column]
        };
        let product = |p: &Packed<f32>| {
            let mut c = vec![0.0; 3 * n];
            gemm((3, n, k), View::rows(&a, k), Right::Packed(p, 0), &mut c, n, Store::Replace);
            c
        };
        for (rows, columns) in [(0, 0), (7, 20), (k, n), (k + 9, n + 9)] {
            for packed in grown(rows, columns) {
                assert_eq!(product(&whole), product(&packed));
            }
        }
        for (before, after) in
            [Packed::<f32>::with_rows(k, n), Packed::with_columns(k, n)].iter().zip(grown(k, n))
        {
            assert_eq!(before.bytes(), after.bytes(), "room that was asked for is enough");
        }
    }
}
