//! Rows chosen by index.

use super::device::{Array, args, launch};
use super::driver::Grid;
use super::element::Element;
use super::kernels::{Kernel, Module};
use crate::Result;

/// Columns that a block of the scatter takes.
const COLUMNS: usize = 128;

fn kernel<A: Element>(name: &'static str) -> Kernel {
    Kernel { module: Module::new("indexing", A::ACTIVATION), name }
}

/// Threads that take a row of so many elements, four each.
fn threads(width: usize) -> u32 {
    (width.div_ceil(4).next_multiple_of(32)).min(256) as u32
}

/// See [`crate::backend::Backend::gather`].
pub fn gather<A: Element>(
    table: &Array<f32>,
    rows: &Array<u32>,
    width: usize,
    out: &mut Array<f32>,
) -> Result<()> {
    let grid = Grid::new(rows.len(), threads(width));
    launch(table.device(), kernel::<A>("gather"), grid, args![table, rows, width as u32, out])
}

/// As [`gather`], from a table of activations.
pub fn gather_rounded<A: Element>(
    table: &Array<A>,
    rows: &Array<u32>,
    width: usize,
    out: &mut Array<f32>,
) -> Result<()> {
    let grid = Grid::new(rows.len(), threads(width));
    launch(table.device(), kernel::<A>("gather_rounded"), grid, args![table, rows, width as u32, out])
}

/// Places by the row that they go to: the rows, where each row's places start in the order, and the order, which
/// ascends within a row.
fn by_row(rows: &[u32]) -> [Vec<u32>; 3] {
    let mut order: Vec<u32> = (0..rows.len() as u32).collect();
    order.sort_by_key(|&i| rows[i as usize]);
    let runs = order.chunk_by(|&i, &j| rows[i as usize] == rows[j as usize]);
    let (mut to, mut starts) = (Vec::new(), vec![0]);
    for run in runs {
        to.push(rows[run[0] as usize]);
        starts.push(starts[starts.len() - 1] + run.len() as u32);
    }
    [to, starts, order]
}

/// See [`crate::backend::Backend::scatter_add`].
pub fn scatter_add<A: Element>(
    d_out: &Array<f32>,
    rows: &[u32],
    width: usize,
    d_table: &mut Array<f32>,
) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let device = d_out.device();
    let [to, starts, order] = by_row(rows);
    let packed = Array::upload(device, &[&to[..], &starts, &order].concat())?;
    let (n, m) = (to.len(), rows.len());
    let [to, starts, order] =
        [0..n, n..2 * n + 1, 2 * n + 1..2 * n + 1 + m].map(|range| packed.part(range));
    let grid = Grid::of([n, width.div_ceil(COLUMNS), 1], COLUMNS as u32);
    let args = args![d_out, &to, &starts, &order, width as u32, d_table];
    launch(device, kernel::<A>("scatter_add"), grid, args)
}

#[cfg(test)]
mod tests {
    use super::by_row;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_place_stands_once_with_its_row_in_ascending_order(
            rows in prop::collection::vec(0_u32..6, 1..40)
        ) {
            let [to, starts, order] = by_row(&rows);
            let mut found = Vec::new();
            for (r, &row) in to.iter().enumerate() {
                let places = &order[starts[r] as usize..starts[r + 1] as usize];
                prop_assert!(!places.is_empty() && places.is_sorted());
                prop_assert!(places.iter().all(|&i| rows[i as usize] == row));
                found.extend_from_slice(places);
            }
            found.sort_unstable();
            prop_assert_eq!(found, (0..rows.len() as u32).collect::<Vec<_>>());
        }
    }
}
