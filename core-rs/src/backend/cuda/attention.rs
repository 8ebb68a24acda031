//! Launches of attention, and the tiles that a forest's pass is cut into.

use super::device::{Array, Device, args, launch};
use super::driver::{Address, Grid};
use super::element::Element;
use super::kernels::{Activation, HEAD_DIMS, Kernel, Module};
use crate::backend::{Heads, chunks};
use crate::forest::Layout;
use crate::{Error, Result};
use bytemuck::{Pod, Zeroable};
use std::cmp::Reverse;

/// Rows of a block: tokens of its tile times heads that share a key head.
pub(super) const OWN: usize = 64;

/// Some tokens that follow each other on a path, as the kernel's `Tile`.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Tile {
    /// Where the table is with the row of the key at each position of the path.
    pub path: Address,
    /// Row of the first token's queries and results.
    pub first: u32,
    /// How many tokens; 0 asks for nothing.
    pub tokens: u32,
    /// Position of the first token.
    pub position: u32,
    unused: u32,
}

impl Tile {
    /// Cuts tokens that follow each other on a path, the first of them at `position` and `first` among the rows.
    pub fn cut(
        path: Address,
        first: usize,
        tokens: usize,
        position: usize,
        heads: Heads,
    ) -> impl Iterator<Item = Tile> {
        chunks(tokens, OWN / heads.group()).map(move |tile| Tile {
            path,
            first: (first + tile.start) as u32,
            tokens: tile.len() as u32,
            position: (position + tile.start) as u32,
            unused: 0,
        })
    }

    /// Puts first what takes longest, so that no block is left to run alone at the end.
    pub fn sort(tiles: &mut [Tile]) {
        tiles.sort_by_key(|tile| Reverse(tile.position + tile.tokens));
    }
}

/// Refuses heads that the kernels do not take.
pub(super) fn check(heads: Heads) -> Result<()> {
    let widest = HEAD_DIMS[HEAD_DIMS.len() - 1];
    if heads.head_dim > widest as usize {
        return Err(Error::Input(format!(
            "Attention heads are \"{}\" wide, expected at most {widest} on a CUDA device",
            heads.head_dim
        )));
    }
    if heads.group() > OWN {
        return Err(Error::Input(format!(
            "A key head is read by \"{}\" query heads, expected at most {OWN} on a CUDA device",
            heads.group()
        )));
    }
    Ok(())
}

/// The module of a source for heads of a width that has been checked.
pub(super) fn module<A: Element>(source: &'static str, heads: Heads) -> Module {
    let widest = HEAD_DIMS.into_iter().find(|&widest| heads.head_dim <= widest as usize).unwrap_or_default();
    Module::new(source, A::ACTIVATION).with_head_dim(widest)
}

/// A block's threads and the bytes of its shared memory, as the source lays it out.
fn shape(module: Module) -> (u32, usize) {
    let width = module.head_dim as usize;
    // Threads, keys of a block, blocks at once, bytes of an element, and rows of queries and of shared pairs.
    let (threads, keys, stages, element, queries, pairs) = match (module.activation, width) {
        (Activation::Bf16, 128) => (128, 64, 2, 2, 0, 0),
        (Activation::Bf16, _) => (128, 64, 3, 2, 0, 0),
        (Activation::F32, 128) => (256, 32, 1, 4, OWN, 32),
        (Activation::F32, _) => (256, 32, 2, 4, OWN, 32),
    };
    let row = width * element + 16;
    let rows = 2 * keys * size_of::<u32>();
    (threads, (queries + 2 * stages * keys) * row + pairs * (OWN + 4) * element + rows)
}

/// Whether every head of rows of heads begins at a multiple of 16 bytes.
pub(super) fn aligned<A>(head_dim: usize, addresses: &[Address]) -> bool {
    (head_dim * size_of::<A>()).is_multiple_of(16) && addresses.iter().all(|at| at % 16 == 0)
}

/// Attention of `count` tiles over keys and values whose rows hold those of all key heads. `log_sums` may be null.
pub(super) fn attend<A: Element>(
    q: &Array<A>,
    [keys, values]: [Address; 2],
    (tiles, count): (Address, usize),
    heads: Heads,
    out: &mut Array<A>,
    log_sums: Address,
) -> Result<()> {
    let Heads { kv_heads, head_dim, .. } = heads;
    let module = module::<A>("attention", heads);
    let (threads, shared) = shape(module);
    let aligned = aligned::<A>(head_dim, &[q.address(), keys, values, out.address()]);
    let name = if aligned { "attention" } else { "attention_unaligned" };
    let scale = 1.0 / (head_dim as f64).sqrt();
    let numbers = args![kv_heads as u32, heads.group() as u32, head_dim as u32, scale as f32];
    let all = [args![q, keys, values, tiles], &numbers[..], args![&mut *out, log_sums]].concat();
    let grid = Grid::new(count * kv_heads, threads).shared(shared);
    launch(q.device(), Kernel { module, name }, grid, &all)
}

/// Who attends to whom in a forest, on the device; one serves all layers of a pass.
pub struct ForestTiles {
    pub(super) tiles: Array<Tile>,
    /// The tiles hold addresses of parts of it.
    _paths: Array<u32>,
    pub(super) tokens: usize,
    pub(super) heads: Heads,
}

impl ForestTiles {
    /// Cuts a forest's tokens into tiles.
    ///
    /// # Errors
    /// [`Error::Input`] for heads wider than 128, or more than 64 of them to a key head.
    pub fn new(device: &Device, layout: &Layout, heads: Heads) -> Result<Self> {
        check(heads)?;
        let (starts, paths) = paths(layout);
        let paths = Array::upload(device, &paths)?;
        let mut tiles: Vec<Tile> = Vec::new();
        for (segment, start) in layout.segments.iter().zip(starts) {
            let path = paths.address() + (start * size_of::<u32>()) as Address;
            let (first, tokens) = (segment.tokens.start, segment.tokens.len());
            tiles.extend(Tile::cut(path, first, tokens, segment.position, heads));
        }
        Tile::sort(&mut tiles);
        let tokens = layout.positions.len();
        Ok(Self { tiles: Array::upload(device, &tiles)?, _paths: paths, tokens, heads })
    }
}

/// The rows of the tokens on the paths to the leaves, one path after another; and for each segment where a path begins
/// that it lies on.
fn paths(layout: &Layout) -> (Vec<usize>, Vec<u32>) {
    let mut starts = vec![0; layout.segments.len()];
    let mut paths = Vec::new();
    for (leaf, segment) in layout.segments.iter().enumerate().filter(|(_, s)| s.subtree.len() == 1) {
        for &s in segment.ancestors.iter().chain([&leaf]) {
            starts[s] = paths.len();
        }
        for &s in segment.ancestors.iter().chain([&leaf]) {
            paths.extend(layout.segments[s].tokens.clone().map(|token| token as u32));
        }
    }
    (starts, paths)
}

/// See [`crate::backend::Backend::attention`].
pub fn attention<A: Element>(
    [q, k, v]: [&Array<A>; 3],
    tiles: &ForestTiles,
    heads: Heads,
    out: &mut Array<A>,
    log_sums: &mut Array<f32>,
) -> Result<()> {
    assert_eq!(tiles.heads, heads, "the tiles are for other heads");
    let [wide, narrow] = [heads.heads, heads.kv_heads].map(|n| tiles.tokens * n * heads.head_dim);
    let lengths = [q.len(), k.len(), v.len(), out.len(), log_sums.len()];
    let expected = [wide, narrow, narrow, wide, tiles.tokens * heads.heads];
    assert_eq!(lengths, expected, "queries, keys, values, results or log-sums do not fit the forest");
    let kv = [k.address(), v.address()];
    let cut = (tiles.tiles.address(), tiles.tiles.len());
    attend(q, kv, cut, heads, out, log_sums.address())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forest::Forest;

    #[test]
    fn tiles_cover_a_forest() {
        // A prompt of 70 tokens with two children, one of which has a child, and another root among them.
        let lengths = vec![70, 3, 20, 5, 1];
        let layout = Layout::new(&Forest::new(vec![0; 99], lengths, vec![-1, 0, -1, 0, 1]).unwrap());
        let heads = Heads { heads: 14, kv_heads: 2, head_dim: 8 };
        let (starts, paths) = paths(&layout);
        assert_eq!(paths.len(), 20 + 75 + 74);
        let mut seen = vec![0; 99];
        for (segment, start) in layout.segments.iter().zip(starts) {
            for tile in Tile::cut(0, segment.tokens.start, segment.tokens.len(), segment.position, heads) {
                assert!(tile.tokens as usize * heads.group() <= OWN);
                for t in 0..tile.tokens {
                    let token = (tile.first + t) as usize;
                    seen[token] += 1;
                    assert_eq!(layout.positions[token], tile.position + t);
                    let mut on_path = Some(token as u32);
                    for position in (0..=tile.position + t).rev() {
                        assert_eq!(Some(paths[start + position as usize]), on_path);
                        on_path = layout.previous[on_path.unwrap() as usize];
                    }
                    assert_eq!(on_path, None);
                }
            }
        }
        assert!(seen.iter().all(|&n| n == 1));
    }

    #[test]
    fn heads_that_the_kernels_do_not_take_are_refused() {
        assert!(check(Heads { heads: 64, kv_heads: 1, head_dim: 128 }).is_ok());
        let refused =
            |heads, head_dim| check(Heads { heads, kv_heads: 1, head_dim }).unwrap_err().to_string();
        assert!(refused(65, 64).contains("\"65\" query heads"));
        assert!(refused(1, 129).contains("\"129\" wide"));
    }
}
