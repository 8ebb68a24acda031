//! Gradients of attention over a forest: the tiles of keys that one of its sweeps goes over, and their launches.

use super::attention::{ForestTiles, OWN, aligned, module};
use super::device::{Array, Device, args, launch};
use super::driver::Grid;
use super::element::Element;
use super::kernels::{Activation, Kernel, Module};
use crate::Result;
use crate::backend::Heads;
use crate::forest::{Layout, Segment};
use std::cmp::Reverse;

/// Whom the keys of a forest are seen by, on the device; one serves all layers of a pass.
pub struct KeyTiles {
    /// As `attention_backward_keys` reads them.
    tiles: Array<[u32; 4]>,
    /// First row and tokens of each segment of a subtree, subtree by subtree.
    ranges: Array<[u32; 2]>,
    tokens: usize,
}

impl KeyTiles {
    /// Cuts the segments of a forest into tiles.
    pub fn new(device: &Device, layout: &Layout) -> Result<Self> {
        let (tiles, ranges) = key_tiles(layout);
        let tokens = layout.positions.len();
        Ok(Self { tiles: Array::upload(device, &tiles)?, ranges: Array::upload(device, &ranges)?, tokens })
    }
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

/// A sweep's shape: threads of a block, and the bytes of its shared memory, as the source lays it out.
fn shape(module: Module) -> (u32, usize) {
    let width = module.head_dim as usize;
    // Threads, rows of a copied tile, tiles at once, bytes of an element, and rows of shared pairs.
    let (threads, other, stages, element, pairs) = match (module.activation, width) {
        (Activation::Bf16, 128) => (128, 32, 2, 2, 0),
        (Activation::Bf16, _) => (128, 64, 2, 2, 0),
        (Activation::F32, 128) => (256, 16, 1, 4, 16),
        (Activation::F32, _) => (256, 32, 2, 4, 32),
    };
    let row = width * element + 16;
    let statistics = stages * other * 3 * size_of::<f32>();
    (threads, 2 * (OWN + stages * other) * row + 2 * pairs * (OWN + 4) * element + statistics)
}

/// See [`crate::backend::Backend::attention_backward`].
#[allow(clippy::too_many_arguments)]
pub fn attention_backward<A: Element>(
    [q, k, v]: [&Array<A>; 3],
    out: &Array<A>,
    log_sums: &Array<f32>,
    d_out: &Array<f32>,
    (queries, keys): (&ForestTiles, &KeyTiles),
    heads: Heads,
    [d_q, d_k, d_v]: [&mut Array<A>; 3],
) -> Result<()> {
    assert_eq!(queries.heads, heads, "the tiles are for other heads");
    assert_eq!(queries.tokens, keys.tokens, "the tiles are of different forests");
    let Heads { kv_heads, head_dim, .. } = heads;
    let rows = queries.tokens * heads.heads;
    let [wide, narrow] = [rows, queries.tokens * kv_heads].map(|n| n * head_dim);
    let lengths = [q.len(), k.len(), v.len(), out.len(), log_sums.len(), d_out.len()];
    assert_eq!(lengths, [wide, narrow, narrow, wide, rows, wide], "what is read does not fit the forest");
    let lengths = [d_q.len(), d_k.len(), d_v.len()];
    assert_eq!(lengths, [wide, narrow, narrow], "gradients do not fit the forest");
    assert!(u32::try_from(rows).is_ok(), "more heads of tokens than kernels count");
    let device = q.device();
    let module = module::<A>("attention_backward", heads);
    let kernel = |name| Kernel { module, name };

    let mut dots = Array::<f32>::unspecified(device, rows)?;
    let round = size_of::<A>() < size_of::<f32>();
    let mut rounded = Array::<A>::unspecified(device, if round { wide } else { 0 })?;
    let lanes = module.head_dim as usize / 4;
    let dot_args = args![out, d_out, rows, head_dim as u32, &mut rounded, &mut dots];
    launch(device, kernel("attention_backward_dots"), Grid::cover(rows * lanes), dot_args)?;
    let d_rows = if round { rounded.address() } else { d_out.address() };

    let results = [d_q.address(), d_k.address(), d_v.address()];
    let addresses = [[q.address(), k.address(), v.address()], results].concat();
    let aligned = aligned::<A>(head_dim, &[&addresses[..], &[d_rows]].concat());
    let scale = (1.0 / (head_dim as f64).sqrt()) as f32;
    let inputs = args![q, k, v, d_rows, log_sums, &dots];
    let numbers = args![kv_heads as u32, heads.group() as u32, head_dim as u32, scale, u32::from(aligned)];
    let (threads, shared) = shape(module);
    let grid = |tiles: usize| Grid::new(tiles * kv_heads, threads).shared(shared);

    let query_args = [&inputs[..], args![&queries.tiles], numbers, args![d_q]].concat();
    launch(device, kernel("attention_backward_queries"), grid(queries.tiles.len()), &query_args)?;
    let key_args = [&inputs[..], args![&keys.tiles, &keys.ranges], numbers, args![d_k, d_v]].concat();
    launch(device, kernel("attention_backward_keys"), grid(keys.tiles.len()), &key_args)
}

#[cfg(test)]
mod tests {
    use super::super::kernels::modules;
    use super::*;
    use crate::forest::Forest;

    #[test]
    fn every_device_has_the_shared_memory() {
        // The least of a block at compute capability 8.0 or more: 8.9 (CUDA C++ Programming Guide, table of technical
        // specifications).
        let shared = |m: &Module| shape(*m).1;
        let most = modules().iter().filter(|m| m.source == "attention_backward").map(shared).max();
        assert!(most.is_some_and(|bytes| bytes <= 99 << 10), "{most:?}");
    }

    #[test]
    fn tiles_of_keys_cover_a_forest() {
        // A prompt of 70 tokens with two children, one of which has a child, and another root among them.
        let lengths = vec![70, 3, 20, 5, 1];
        let forest = Forest::new(vec![0; 99], lengths, vec![-1, 0, -1, 0, 1]).unwrap();
        let layout = Layout::new(&forest);
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
