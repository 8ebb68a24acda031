//! Gradients of attention over a forest: what the sweeps go over, and their launches.

use super::device::{Array, Device, args, launch};
use super::driver::Grid;
use super::element::Element;
use super::kernels::{Activation, HEAD_DIMS, Kernel, Module};
use crate::backend::Heads;
use crate::forest::{Layout, Segment};
use crate::{Error, Result};
use std::cmp::Reverse;

/// Rows of queries, a token by a head of the group each, or keys that a block gives gradients of.
const OWN: usize = 64;

/// Tiles of queries and of keys for the heads of a group, with the tables that they read. All layers of a pass share
/// them.
pub struct BackwardTiles {
    /// Tokens of the forest.
    tokens: usize,
    /// Query heads that read one key head.
    group: usize,
    /// As `attention_backward_queries` reads them.
    queries: Array<[u32; 5]>,
    /// Rows of the tokens at each position, path by path: of leaves alone, which the paths of the others begin.
    paths: Array<u32>,
    /// As `attention_backward_keys` reads them.
    keys: Array<[u32; 4]>,
    /// First row and tokens of each segment of a subtree, subtree by subtree.
    ranges: Array<[u32; 2]>,
}

impl BackwardTiles {
    /// Those of a forest, on a device.
    pub fn new(device: &Device, layout: &Layout, heads: Heads) -> Result<Self> {
        let group = heads.group();
        let (queries, paths) = query_tiles(layout, group);
        let (keys, ranges) = key_tiles(layout);
        Ok(Self {
            tokens: layout.positions.len(),
            group,
            queries: Array::upload(device, &queries)?,
            paths: Array::upload(device, &paths)?,
            keys: Array::upload(device, &keys)?,
            ranges: Array::upload(device, &ranges)?,
        })
    }
}

/// Tiles of queries, those with the most keys first, so that none of them is left over at the end; and the paths.
fn query_tiles(layout: &Layout, group: usize) -> (Vec<[u32; 5]>, Vec<u32>) {
    let mut paths = Vec::new();
    let mut path_of = vec![0; layout.segments.len()];
    for (i, leaf) in layout.segments.iter().enumerate().filter(|(_, s)| s.subtree.len() == 1) {
        path_of[i] = paths.len();
        let above = leaf.ancestors.iter().map(|&a| &layout.segments[a]);
        paths.extend(above.chain([leaf]).flat_map(|s| s.tokens.clone()).map(|row| row as u32));
    }
    let mut tiles = Vec::new();
    for segment in &layout.segments {
        // The last segment of a subtree has none below it.
        let path = path_of[*segment.subtree.last().expect("a segment is in its own subtree")];
        let rows = segment.tokens.len() * group;
        for at in (0..rows).step_by(OWN) {
            let token = at / group;
            let tile = [
                path,
                segment.tokens.start + token,
                segment.position + token,
                at % group,
                OWN.min(rows - at),
            ];
            tiles.push(tile.map(|x| x as u32));
        }
    }
    tiles.sort_by_key(|&[_, _, position, ..]| Reverse(position));
    (tiles, paths)
}

/// Tiles of keys, those that the most queries see first; and the ranges.
fn key_tiles(layout: &Layout) -> (Vec<[u32; 4]>, Vec<[u32; 2]>) {
    let rows = |s: &Segment| [s.tokens.start as u32, s.tokens.len() as u32];
    let (mut tiles, mut ranges) = (Vec::new(), Vec::new());
    for segment in &layout.segments {
        let from = ranges.len();
        ranges.extend(segment.subtree.iter().map(|&s| rows(&layout.segments[s])));
        let below: u32 = ranges[from..].iter().map(|[_, tokens]| tokens).sum();
        for at in segment.tokens.clone().step_by(OWN) {
            let keys = OWN.min(segment.tokens.end - at);
            let seen = below as usize - (at - segment.tokens.start);
            tiles.push((seen, [at, keys, from, ranges.len()].map(|x| x as u32)));
        }
    }
    tiles.sort_by_key(|&(seen, _)| Reverse(seen));
    (tiles.into_iter().map(|(_, tile)| tile).collect(), ranges)
}

/// The module for heads of a width.
fn module<A: Element>(head_dim: usize) -> Result<Module> {
    let widest = HEAD_DIMS.into_iter().find(|&widest| head_dim <= widest as usize).ok_or_else(|| {
        Error::Input(format!(
            "Attention heads are \"{head_dim}\" wide, expected at most {} on a CUDA device",
            HEAD_DIMS[HEAD_DIMS.len() - 1]
        ))
    })?;
    Ok(Module::new("attention_backward", A::ACTIVATION).with_head_dim(widest))
}

/// A sweep's shape: threads of a block, and the bytes of its shared memory, as the source lays it out.
fn shape(module: Module) -> (u32, usize) {
    let width = module.head_dim as usize;
    // Threads, rows of a streamed tile, tiles at once, bytes of an element, and elements of the weights of a tile.
    let (threads, other, stages, element, weights) = match (module.activation, width) {
        (Activation::Bf16, 128) => (128, 32, 2, 2, 0),
        (Activation::Bf16, _) => (128, 64, 2, 2, 0),
        (Activation::F32, 128) => (256, 16, 1, 4, 16 * (OWN + 4)),
        (Activation::F32, _) => (256, 32, 2, 4, 32 * (OWN + 4)),
    };
    let row = width * element + 16;
    let statistics = stages * other * 3 * size_of::<f32>();
    (threads, 2 * (OWN + stages * other) * row + 2 * weights * element + statistics)
}

/// See [`crate::backend::Backend::attention_backward`].
#[allow(clippy::too_many_arguments)]
pub fn attention_backward<A: Element>(
    [q, k, v]: [&Array<A>; 3],
    out: &Array<A>,
    log_sums: &Array<f32>,
    d_out: &Array<f32>,
    tiles: &BackwardTiles,
    heads: Heads,
    [d_q, d_k, d_v]: [&mut Array<A>; 3],
) -> Result<()> {
    let Heads { heads: all, kv_heads, head_dim } = heads;
    assert_eq!(tiles.group, heads.group(), "the tiles are for groups of another size");
    let rows = tiles.tokens * all;
    for (what, len, expected) in [
        ("queries", q.len(), rows * head_dim),
        ("keys", k.len(), tiles.tokens * kv_heads * head_dim),
        ("values", v.len(), tiles.tokens * kv_heads * head_dim),
        ("outputs", out.len(), rows * head_dim),
        ("log-sums", log_sums.len(), rows),
        ("gradients of outputs", d_out.len(), rows * head_dim),
        ("gradients of queries", d_q.len(), q.len()),
        ("gradients of keys", d_k.len(), k.len()),
        ("gradients of values", d_v.len(), v.len()),
    ] {
        assert_eq!(len, expected, "{what} are not as many as the forest's tokens have");
    }
    assert!(u32::try_from(rows).is_ok(), "more heads of tokens than kernels count");
    let device = q.device();
    let module = module::<A>(head_dim)?;
    let kernel = |name| Kernel { module, name };

    let mut dots = Array::<f32>::unspecified(device, rows)?;
    let narrow = size_of::<A>() < size_of::<f32>();
    let mut rounded = Array::<A>::unspecified(device, if narrow { d_out.len() } else { 0 })?;
    let lanes = module.head_dim as usize / 4;
    let dot_args = args![out, d_out, rows, head_dim as u32, &mut rounded, &mut dots];
    launch(device, kernel("attention_backward_dots"), Grid::cover(rows * lanes), dot_args)?;
    let d_rows = if narrow { rounded.address() } else { d_out.address() };

    let addresses =
        [q.address(), k.address(), v.address(), d_rows, d_q.address(), d_k.address(), d_v.address()];
    let aligned = addresses.iter().all(|at| at % 16 == 0) && (head_dim * size_of::<A>()).is_multiple_of(16);
    let scale = 1.0 / (head_dim as f64).sqrt();
    let (threads, shared) = shape(module);
    let numbers =
        args![kv_heads as u32, tiles.group as u32, head_dim as u32, scale as f32, u32::from(aligned)];
    let inputs = args![q, k, v, d_rows, log_sums, &dots];

    let grid = Grid::new(tiles.queries.len() * kv_heads, threads).shared(shared);
    let tables = args![&tiles.queries, &tiles.paths];
    let query_args = [&inputs[..], tables, numbers, args![d_q]].concat();
    launch(device, kernel("attention_backward_queries"), grid, &query_args)?;

    let grid = Grid::new(tiles.keys.len() * kv_heads, threads).shared(shared);
    let tables = args![&tiles.keys, &tiles.ranges];
    let key_args = [&inputs[..], tables, numbers, args![d_k, d_v]].concat();
    launch(device, kernel("attention_backward_keys"), grid, &key_args)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forest::Forest;

    #[test]
    fn tiles_cover_a_forest() {
        // A prompt of 70 tokens with two children, one of which has a child, and another root among them.
        let lengths = vec![70, 3, 20, 5, 1];
        let forest = Forest::new(vec![0; 99], lengths, vec![-1, 0, -1, 0, 1]).unwrap();
        let layout = Layout::new(&forest);
        let (queries, paths) = query_tiles(&layout, 3);
        assert_eq!(paths.len(), 20 + 75 + 74);
        let mut rows = vec![0; 99 * 3];
        for [path, token, position, skipped, n] in queries.into_iter().map(|t| t.map(|x| x as usize)) {
            for x in token * 3 + skipped..token * 3 + skipped + n {
                rows[x] += 1;
                assert_eq!(paths[path + position + x / 3 - token] as usize, x / 3);
                assert_eq!(layout.positions[x / 3] as usize, position + x / 3 - token);
            }
        }
        assert!(rows.iter().all(|&n| n == 1));
        let (keys, ranges) = key_tiles(&layout);
        let mut rows = vec![0; 99];
        for [first, n, from, to] in keys.iter().map(|t| t.map(|x| x as usize)) {
            rows[first..first + n].iter_mut().for_each(|n| *n += 1);
            let segment = layout.segments.iter().find(|s| s.tokens.contains(&first)).unwrap();
            let below = segment.subtree.iter().map(|&s| layout.segments[s].tokens.start as u32);
            assert!(ranges[from..to].iter().map(|[first, _]| *first).eq(below));
        }
        assert!(rows.iter().all(|&n| n == 1));
        assert_eq!(keys[0], [0, 64, 0, 4]);
    }
}
