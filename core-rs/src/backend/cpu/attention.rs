//! Causal attention over a forest, and the same for rows that go on from caches.
//!
//! A row of scores is computed whole, over all keys of the token's path in path order, before the softmax: the
//! largest score is exact, the exponentials are added in lanes by absolute position, and the values in ascending
//! position. So the bits of a row do not depend on how the path is cut into segments, and a decode step gives
//! what the whole pass gives. Memory is one row of scores a query of the tile, never rows × rows.

use super::disjoint::Disjoint;
use super::gemm::{PANEL, Packed, Right, Store, View, gemm};
use super::isa::simd_fn;
use super::real::{Real, lane_max, lane_sum};
use super::rowwise::{regroup, scaled_copy};
use super::stored::Element;
use crate::backend::{Heads, Piece, chunks};
use crate::forest::Layout;
use rayon::prelude::*;
use std::ops::Range;

/// Tokens of one tile of queries. With the heads of a group they share each panel of keys.
pub const QUERY_TILE: usize = 32;
/// Sequences that one task takes: with their ancestors in common they share each panel of these keys, too.
const DECODE_TILE: usize = 8;

/// Keys and values of one key head over a run of tokens.
pub struct HeadCache<F: Real, A: Element<F>> {
    /// Keys as columns: head_dim × tokens.
    keys: Packed<A::Mixed>,
    /// Values as rows: tokens × head_dim.
    values: Packed<A::Mixed>,
}

/// Keys and values of all key heads over a run of tokens.
type LayerCache<F, A> = Vec<HeadCache<F, A>>;

/// Keys and values of a segment in all layers.
pub struct Cache<F: Real, A: Element<F>> {
    layers: Vec<LayerCache<F, A>>,
    /// Tokens whose keys and values it has, or will have once the pass that was planned last is through.
    tokens: usize,
}

impl<F: Real, A: Element<F>> Cache<F, A> {
    /// See [`crate::backend::Backend::empty_cache`].
    pub fn new(layers: usize, heads: Heads, tokens: usize) -> Self {
        let d = heads.head_dim;
        let head =
            || HeadCache { keys: Packed::with_columns(d, tokens), values: Packed::with_rows(tokens, d) };
        let layer = || (0..heads.kv_heads).map(|_| head()).collect();
        Self { layers: (0..layers).map(|_| layer()).collect(), tokens: 0 }
    }
}

/// Bytes of one layer of a cache with room for so many tokens.
pub fn cache_bytes<A>(heads: Heads, tokens: usize) -> usize {
    let d = heads.head_dim;
    let elements = d * tokens.next_multiple_of(PANEL) + d.next_multiple_of(PANEL) * tokens;
    heads.kv_heads * elements * size_of::<A>()
}

/// Queries are multiplied by this before the product with the keys.
pub fn scale<F: Real>(heads: Heads) -> F {
    F::from_f64(1.0 / (heads.head_dim as f64).sqrt())
}

simd_fn! {
    /// Turns scores into exponentials relative to the row's largest, zero behind `valid`. Gives (largest, sum).
    fn softmax_row<F>(row: &mut [F], valid: usize) -> (F, F) {
        let largest = lane_max(valid, |i| row[i]);
        for x in &mut row[..valid] {
            *x = (*x - largest).exp::<FMA>();
        }
        row[valid..].fill(F::ZERO);
        (largest, lane_sum(valid, |i| row[i]))
    }
}

/// Keys and values that some rows of a tile see.
struct Part<'a, F: Real, A: Element<F>> {
    rows: Range<usize>,
    head: &'a HeadCache<F, A>,
    /// Tokens of the cache that are seen, from its first.
    tokens: usize,
    /// Their first position on the path.
    position: usize,
}

/// Attention of the rows of `queries` (already scaled) over parts in ascending position. `valid` says how many
/// positions each row sees. Leaves unnormalised sums of values in `sums` and gives each row's (largest, sum).
fn attend<F: Real, A: Element<F>>(
    queries: &[F],
    head_dim: usize,
    parts: &[Part<F, A>],
    valid: impl Fn(usize) -> usize,
    scores: &mut Vec<F>,
    sums: &mut Vec<F>,
) -> Vec<(F, F)> {
    let rows = queries.len() / head_dim;
    let width = parts.iter().map(|p| p.position + p.tokens).max().unwrap_or(0);
    scores.resize(rows * width, F::ZERO);
    for part in parts {
        let n = part.rows.len();
        let a = View::rows(&queries[part.rows.start * head_dim..], head_dim);
        let c = &mut scores[part.rows.start * width + part.position..];
        let keys = Right::Packed(&part.head.keys, 0);
        gemm::<A::Mixed, F>((n, part.tokens, head_dim), a, keys, c, width, Store::Replace);
    }
    let stats = scores[..rows * width]
        .chunks_exact_mut(width)
        .enumerate()
        .map(|(r, row)| softmax_row(row, valid(r)))
        .collect();
    sums.clear();
    sums.resize(rows * head_dim, F::ZERO);
    for part in parts {
        let n = part.rows.len();
        let a = View::rows(&scores[part.rows.start * width + part.position..], width);
        let c = &mut sums[part.rows.start * head_dim..];
        let values = Right::Packed(&part.head.values, 0);
        gemm::<A::Mixed, F>((n, head_dim, part.tokens), a, values, c, head_dim, Store::Continue);
    }
    stats
}

/// See [`crate::backend::Backend::attention`].
pub fn forward<F: Real, A: Element<F>>(
    [q, k, v]: [&[A]; 3],
    layout: &Layout,
    heads: Heads,
    out: &mut [A],
    log_sums: &mut [F],
) {
    let Heads { heads: all, kv_heads, head_dim: d } = heads;
    let group = heads.group();
    let n = layout.positions.len();
    let row = kv_heads * d;
    let caches: Vec<LayerCache<F, A>> = layout
        .segments
        .par_iter()
        .map(|s| {
            let tokens = s.tokens.len();
            (0..kv_heads)
                .map(|h| {
                    let at = s.tokens.start * row + h * d;
                    HeadCache {
                        keys: Packed::new(View::columns(&k[at..], row), d, tokens),
                        values: Packed::new(View::rows(&v[at..], row), tokens, d),
                    }
                })
                .collect()
        })
        .collect();
    let queries = regroup::<F, A>(q, n, kv_heads, group * d, scale::<F>(heads));
    let tiles: Vec<(usize, Range<usize>)> = layout
        .segments
        .iter()
        .enumerate()
        .flat_map(|(s, segment)| chunks(segment.tokens.len(), QUERY_TILE).map(move |t| (s, t)))
        .collect();
    let (out, log_sums) = (Disjoint::new(out), Disjoint::new(log_sums));
    (0..tiles.len() * kv_heads).into_par_iter().for_each(|task| {
        let (s, tile) = &tiles[task / kv_heads];
        let h = task % kv_heads;
        let segment = &layout.segments[*s];
        let first = segment.tokens.start + tile.start;
        let rows = tile.len() * group;
        let part = |seg: usize, tokens: usize| Part {
            rows: 0..rows,
            head: &caches[seg][h],
            tokens,
            position: layout.segments[seg].position,
        };
        let mut parts: Vec<_> =
            segment.ancestors.iter().map(|&a| part(a, layout.segments[a].tokens.len())).collect();
        parts.push(part(*s, tile.end));
        F::tile_memory().with_borrow_mut(|[scores, sums, _]| {
            let queries = &queries[(h * n + first) * group * d..][..rows * d];
            let valid = |r: usize| segment.position + tile.start + r / group + 1;
            let stats = attend(queries, d, &parts, valid, scores, sums);
            for (r, (largest, sum)) in stats.into_iter().enumerate() {
                let head = (first + r / group) * all + h * group + r % group;
                // SAFETY: each task has tokens and heads of its own.
                let (o, l) = unsafe { (out.slice(head * d, d), log_sums.slice(head, 1)) };
                scaled_copy::<F, F, A>(&sums[r * d..][..d], F::ONE / sum, o);
                l[0] = largest + sum.ln();
            }
        });
    });
}

/// Tokens of a cache that a tile sees.
struct Seen {
    /// Index of the cache.
    cache: usize,
    tokens: usize,
    /// Position of its first token on the path.
    position: usize,
}

/// Rows that one task takes for one key head: some of a piece's, or whole pieces of one row whose ancestors are the
/// same.
struct Tile {
    /// What all rows see.
    shared: Vec<Seen>,
    /// What each run of rows sees of its own cache.
    own: Vec<(Range<usize>, Seen)>,
    /// Each row's place in the pass, and the positions that it sees.
    rows: Vec<(usize, usize)>,
}

/// See [`crate::backend::Backend::plan`].
#[derive(Default)]
pub struct Plan {
    /// Pieces' rows and the caches that they are appended to.
    appended: Vec<(Range<usize>, usize)>,
    tiles: Vec<Tile>,
}

impl Plan {
    /// Reserves the pieces' places and cuts their rows into tiles.
    pub fn new<F: Real, A: Element<F>>(pieces: &[Piece], caches: &mut [&mut Cache<F, A>]) -> Self {
        let before: Vec<usize> = pieces
            .iter()
            .map(|piece| {
                let tokens = &mut caches[piece.own].tokens;
                std::mem::replace(tokens, *tokens + piece.rows.len())
            })
            .collect();
        let ancestors = |piece: &Piece| {
            let mut position = 0;
            let seen = piece.ancestors.iter().map(|&cache| {
                let tokens = caches[cache].tokens;
                position += tokens;
                Seen { cache, tokens, position: position - tokens }
            });
            (seen.collect::<Vec<_>>(), position)
        };
        let (mut single, long): (Vec<usize>, Vec<usize>) =
            (0..pieces.len()).partition(|&p| pieces[p].rows.len() == 1);
        let mut tiles = Vec::new();
        for p in long {
            let piece = &pieces[p];
            for tile in chunks(piece.rows.len(), QUERY_TILE) {
                let (shared, position) = ancestors(piece);
                let seen = |t: usize| position + before[p] + t + 1;
                let own = Seen { cache: piece.own, tokens: before[p] + tile.end, position };
                tiles.push(Tile {
                    shared,
                    own: vec![(0..tile.len(), own)],
                    rows: tile.map(|t| (piece.rows.start + t, seen(t))).collect(),
                });
            }
        }
        single.sort_by_key(|&p| &pieces[p].ancestors);
        for group in single.chunk_by(|&p, &q| pieces[p].ancestors == pieces[q].ancestors) {
            for tile in group.chunks(DECODE_TILE) {
                let (shared, position) = ancestors(&pieces[tile[0]]);
                let own = tile.iter().enumerate().map(|(i, &p)| {
                    (i..i + 1, Seen { cache: pieces[p].own, tokens: before[p] + 1, position })
                });
                let rows = tile.iter().map(|&p| (pieces[p].rows.start, position + before[p] + 1));
                tiles.push(Tile { shared, own: own.collect(), rows: rows.collect() });
            }
        }
        let appended = pieces.iter().map(|piece| (piece.rows.clone(), piece.own)).collect();
        Self { appended, tiles }
    }
}

/// See [`crate::backend::Backend::attention_extend`].
pub fn extend<F: Real, A: Element<F>>(
    [q, k, v]: [&[A]; 3],
    plan: &Plan,
    layer: usize,
    heads: Heads,
    caches: &mut [&mut Cache<F, A>],
    out: &mut [A],
) {
    let Heads { heads: all, kv_heads, head_dim: d } = heads;
    let group = heads.group();
    for (rows, own) in &plan.appended {
        let cache = &mut caches[*own].layers[layer];
        // One row is appended in less time than another thread takes to begin.
        cache.par_iter_mut().enumerate().with_min_len(QUERY_TILE / rows.len()).for_each(|(h, head)| {
            for t in rows.clone() {
                let at = (t * kv_heads + h) * d;
                head.keys.push_column(&k[at..at + d]);
                head.values.push_row(&v[at..at + d]);
            }
        });
    }
    let caches = &*caches;
    let out = Disjoint::new(out);
    (0..plan.tiles.len() * kv_heads).into_par_iter().for_each(|task| {
        let Tile { shared, own, rows } = &plan.tiles[task / kv_heads];
        let h = task % kv_heads;
        let part = |rows: Range<usize>, seen: &Seen| Part {
            rows: rows.start * group..rows.end * group,
            head: &caches[seen.cache].layers[layer][h],
            tokens: seen.tokens,
            position: seen.position,
        };
        let mut parts: Vec<_> = shared.iter().map(|seen| part(0..rows.len(), seen)).collect();
        parts.extend(own.iter().map(|(rows, seen)| part(rows.clone(), seen)));
        F::tile_memory().with_borrow_mut(|[scores, sums, queries]| {
            queries.resize(rows.len() * group * d, F::ZERO);
            for ((row, _), to) in rows.iter().zip(queries.chunks_exact_mut(group * d)) {
                scaled_copy::<F, A, F>(&q[(row * all + h * group) * d..][..group * d], scale::<F>(heads), to);
            }
            let stats = attend(queries, d, &parts, |r| rows[r / group].1, scores, sums);
            for (r, (_, sum)) in stats.into_iter().enumerate() {
                let head = rows[r / group].0 * all + h * group + r % group;
                // SAFETY: each task has rows and heads of its own.
                let o = unsafe { out.slice(head * d, d) };
                scaled_copy::<F, F, A>(&sums[r * d..][..d], F::ONE / sum, o);
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forest::Forest;

    #[test]
    fn a_cache_holds_the_bytes_that_were_told_for_it() {
        for (kv_heads, head_dim, tokens) in [(1, 8, 1), (3, 64, 15), (2, 40, 100)] {
            let heads = Heads { heads: kv_heads * 2, kv_heads, head_dim };
            let mut cache = Cache::<f32, f32>::new(2, heads, tokens);
            let caches = &mut [&mut cache];
            let plan = Plan::new(&[Piece { rows: 0..tokens, ancestors: vec![], own: 0 }], caches);
            let keys = vec![1.0; tokens * kv_heads * head_dim];
            let queries = vec![1.0; 2 * keys.len()];
            let mut out = queries.clone();
            for layer in 0..2 {
                extend::<f32, f32>([&queries, &keys, &keys], &plan, layer, heads, caches, &mut out);
            }
            for layer in &cache.layers {
                let held: usize = layer.iter().map(|head| head.keys.bytes() + head.values.bytes()).sum();
                assert_eq!(held, cache_bytes::<f32>(heads, tokens));
            }
        }
    }
    /// Segments of one row and of several, cut into passes in different ways.
    #[test]
    fn rows_that_go_on_from_caches_have_the_bits_of_the_whole_forest() {
        let lengths = vec![5, 1, 40, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1];
        let parents = vec![-1, 0, 0, 0, 2, 2, -1, 0, 0, 0, 0, 0, 0];
        let n: u32 = lengths.iter().sum();
        let layout = Layout::new(&Forest::new(vec![0; n as usize], lengths, parents).unwrap());
        let heads = Heads { heads: 4, kv_heads: 2, head_dim: 8 };
        let wave = |len: usize, phase: f32| -> Vec<f32> {
            (0..len).map(|i| (phase + i as f32 * 0.7).sin() * 3.0).collect()
        };
        let n = n as usize;
        let (q, k, v) = (wave(n * 32, 0.1), wave(n * 16, 0.2), wave(n * 16, 0.3));
        let (mut expected, mut log_sums) = (vec![0.0; q.len()], vec![0.0; n * 4]);
        forward::<f32, f32>([&q, &k, &v], &layout, heads, &mut expected, &mut log_sums);
        for step in [1, 3, 64] {
            let segments = &layout.segments;
            let mut owned: Vec<Cache<f32, f32>> =
                segments.iter().map(|s| Cache::new(1, heads, s.tokens.len())).collect();
            let mut out = vec![0.0; q.len()];
            let mut done = vec![0; segments.len()];
            while done.iter().zip(segments).any(|(d, s)| *d < s.tokens.len()) {
                let mut caches: Vec<&mut Cache<f32, f32>> = owned.iter_mut().collect();
                let before = done.clone();
                // A segment begins when those before it are through, in this pass or an earlier one.
                let mut pieces = Vec::new();
                for (i, s) in segments.iter().enumerate() {
                    let whole = |&a: &usize| done[a] == segments[a].tokens.len();
                    if before[i] < s.tokens.len() && s.ancestors.iter().all(whole) {
                        let end = s.tokens.len().min(before[i] + step);
                        let rows = s.tokens.start + before[i]..s.tokens.start + end;
                        pieces.push(Piece { rows, ancestors: s.ancestors.clone(), own: i });
                        done[i] = end;
                    }
                }
                let plan = Plan::new(&pieces, &mut caches);
                extend::<f32, f32>([&q, &k, &v], &plan, 0, heads, &mut caches, &mut out);
            }
            assert_eq!(out, expected, "{step} rows at a time");
        }
    }
}
