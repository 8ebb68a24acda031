//! Passes that go on from cached keys and values: what the device is told once for all layers, and a layer's work.

use super::attention::{Tile, aligned, attend, module};
use super::device::{Array, args, launch};
use super::driver::{Address, Grid};
use super::element::Element;
use super::kernels::Kernel;
use super::key_values::{Cache, Path, Pool};
use crate::Result;
use crate::backend::{Heads, Piece};
use bytemuck::Zeroable;
use std::sync::Arc;

/// The place of a row that belongs to no piece.
const NO_ROW: u32 = u32::MAX;
/// Threads of a block that appends a row.
const APPEND_THREADS: u32 = 128;

/// See [`crate::backend::Backend::bucket`]: at most a quarter more, four to a doubling, so that few numbers of rows are
/// ever recorded. Plans are padded to it too: those of all passes of a bucket lie in the same memory.
pub fn bucket(rows: usize) -> usize {
    rows.next_multiple_of((rows.next_power_of_two() / 8).max(1))
}

/// See [`crate::backend::Backend::Plan`].
pub struct Plan<A: Element> {
    pool: Option<Arc<Pool<A>>>,
    /// Tiles, then the place of each row in the caches.
    told: Option<Array<u32>>,
    tiles: usize,
    places: usize,
    /// The tiles hold their addresses.
    _paths: Vec<Array<u32>>,
}

impl<A: Element> Default for Plan<A> {
    fn default() -> Self {
        Self { pool: None, told: None, tiles: 0, places: 0, _paths: Vec::new() }
    }
}

impl<A: Element> Plan<A> {
    /// See [`crate::backend::Backend::plan`]. Where there are as many tiles and rows as before, padding included, what
    /// the device reads stays where it is.
    pub fn make(&mut self, pieces: &[Piece], caches: &mut [&mut Cache<A>]) -> Result<()> {
        let Some(piece) = pieces.first() else {
            self.tiles = 0;
            return Ok(());
        };
        let pool = caches[piece.own].pool.clone();
        let heads = pool.heads;
        assert!(caches.iter().all(|c| Arc::ptr_eq(&c.pool, &pool)), "caches of a pass have one memory");
        let before: Vec<usize> =
            pieces.iter().map(|piece| caches[piece.own].reserve(piece.rows.len())).collect();

        let rows = pieces.iter().map(|piece| piece.rows.end).max().unwrap_or_default();
        let mut places = vec![NO_ROW; bucket(rows)];
        let mut tiles: Vec<Tile> = Vec::with_capacity(pieces.len());
        let mut paths = Vec::with_capacity(pieces.len());
        for (piece, before) in pieces.iter().zip(before) {
            draw_path(piece, caches)?;
            let own = &*caches[piece.own];
            let path = own.path.as_ref().expect("it has just been drawn");
            let rows = own.rows(before..before + piece.rows.len());
            places[piece.rows.clone()].iter_mut().zip(rows).for_each(|(place, row)| *place = row);
            let first = piece.rows.start;
            let position = path.position + before;
            tiles.extend(Tile::cut(path.rows.address(), first, piece.rows.len(), position, heads));
            paths.push(path.rows.part(0..path.rows.len()));
        }
        Tile::sort(&mut tiles);
        tiles.resize(bucket(tiles.len()), Tile::zeroed());

        let told = [bytemuck::cast_slice(&tiles), &places[..]].concat();
        match &mut self.told {
            Some(array) if array.len() == told.len() => array.set(&told)?,
            array => *array = Some(Array::upload(pool.device(), &told)?),
        }
        (self.tiles, self.places) = (tiles.len(), places.len());
        self.pool = Some(pool);
        self._paths = paths;
        Ok(())
    }
}

/// Makes the table of the path to a piece's own cache, unless there is one that still holds.
fn draw_path<A: Element>(piece: &Piece, caches: &mut [&mut Cache<A>]) -> Result<()> {
    let ancestors = || piece.ancestors.iter().map(|&a| &*caches[a]);
    let own = &*caches[piece.own];
    let drawn = own.path.as_ref().is_some_and(|path| {
        path.ancestors.iter().copied().eq(ancestors().map(|cache| (cache.id, cache.tokens)))
    });
    if drawn {
        return Ok(());
    }
    let mut rows: Vec<u32> = ancestors().flat_map(|cache| cache.rows(0..cache.tokens)).collect();
    let position = rows.len();
    rows.extend(own.rows(0..own.room()));
    let path = Path {
        ancestors: ancestors().map(|cache| (cache.id, cache.tokens)).collect(),
        position,
        rows: Array::upload(own.pool.device(), &rows)?,
    };
    caches[piece.own].path = Some(path);
    Ok(())
}

/// See [`crate::backend::Backend::attention_extend`]. Two launches, and nothing of the host's, so that it can be
/// recorded. Results of rows of no piece are set to zero.
pub fn extend<A: Element>(
    [q, k, v]: [&Array<A>; 3],
    plan: &Plan<A>,
    layer: usize,
    heads: Heads,
    out: &mut Array<A>,
) -> Result<()> {
    let (1.., Some(pool), Some(told)) = (plan.tiles, &plan.pool, &plan.told) else { return out.clear() };
    assert_eq!(pool.heads, heads, "the caches are of other heads");
    let [wide, narrow] = [heads.heads, heads.kv_heads].map(|n| n * heads.head_dim);
    let rows = k.len() / narrow;
    let lengths = [q.len(), k.len(), v.len(), out.len()];
    let expected = [rows * wide, rows * narrow, rows * narrow, rows * wide];
    assert_eq!(lengths, expected, "queries, keys, values and results are not of the same rows");
    assert!(rows <= plan.places, "a pass of {rows} rows was planned for at most {}", plan.places);

    let kv = pool.layer(layer);
    let tiles = told.address();
    let places = tiles + (plan.tiles * size_of::<Tile>()) as Address;
    let aligned = aligned::<A>(narrow, &[k.address(), v.address(), kv[0], kv[1]]);
    let kernel = Kernel { module: module::<A>("attention", heads), name: "append" };
    let grid = Grid::new(rows, APPEND_THREADS);
    let numbers = args![narrow as u32, wide as u32, u32::from(aligned)];
    let all = [args![k, v, places], &numbers[..], args![kv[0], kv[1], &mut *out]].concat();
    launch(k.device(), kernel, grid, &all)?;
    attend(q, kv, (tiles, plan.tiles), heads, out, 0)
}

#[cfg(test)]
mod tests {
    use super::bucket;

    #[test]
    fn buckets_are_few_and_hardly_larger() {
        let mut buckets: Vec<usize> = (1..=256).map(bucket).collect();
        for (rows, &bucket) in (1..).zip(&buckets) {
            assert!(rows <= bucket && bucket <= rows + rows / 4, "{rows}: {bucket}");
            assert_eq!(super::bucket(bucket), bucket);
        }
        buckets.dedup();
        assert!(buckets.len() <= 32, "{buckets:?}");
    }
}
