//! Causal attention over a forest, and the same for one new token a sequence.
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
use crate::backend::{Backend, DecodeGroup, Heads, Piece, chunks};
use crate::forest::Layout;
use rayon::prelude::*;
use std::ops::Range;

/// Tokens of one tile of queries. With the heads of a group they share each panel of keys.
pub const QUERY_TILE: usize = 32;
/// Sequences of a group that one decode task takes.
const DECODE_TILE: usize = 8;

/// Keys and values of one key head over a run of tokens.
pub struct HeadCache<F: Real, A: Element<F>> {
    /// Keys as columns: head_dim × tokens.
    keys: Packed<A::Mixed>,
    /// Values as rows: tokens × head_dim.
    values: Packed<A::Mixed>,
}

/// Keys and values of all key heads over a run of tokens.
pub type Cache<F, A> = Vec<HeadCache<F, A>>;

/// See [`Backend::empty_cache`].
pub fn empty_cache<F: Real, A: Element<F>>(heads: Heads, tokens: usize) -> Cache<F, A> {
    let d = heads.head_dim;
    let head = || HeadCache { keys: Packed::with_columns(d, tokens), values: Packed::with_rows(tokens, d) };
    (0..heads.kv_heads).map(|_| head()).collect()
}

/// See [`Backend::cache_bytes`].
pub fn cache_bytes<A>(heads: Heads, tokens: usize) -> usize {
    let d = heads.head_dim;
    let elements = d * tokens.next_multiple_of(PANEL) + d.next_multiple_of(PANEL) * tokens;
    heads.kv_heads * elements * size_of::<A>()
}

/// See [`Backend::append`].
pub fn append<F: Real, A: Element<F>>(k: &[A], v: &[A], row: usize, heads: Heads, cache: &mut Cache<F, A>) {
    let d = heads.head_dim;
    for (h, head) in cache.iter_mut().enumerate() {
        let at = (row * heads.kv_heads + h) * d;
        head.keys.push_column(&k[at..at + d]);
        head.values.push_row(&v[at..at + d]);
    }
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

/// See [`Backend::attention`].
pub fn forward<F: Real, A: Element<F>>(
    [q, k, v]: [&[A]; 3],
    layout: &Layout,
    heads: Heads,
    out: &mut [A],
    log_sums: &mut [F],
) -> Vec<Cache<F, A>> {
    let Heads { heads: all, kv_heads, head_dim: d } = heads;
    let group = heads.group();
    let n = layout.positions.len();
    let row = kv_heads * d;
    let caches: Vec<Cache<F, A>> = layout
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
    caches
}

/// See [`Backend::attention_extend`].
pub fn extend<F: Real, A: Element<F>>(
    [q, k, v]: [&[A]; 3],
    pieces: &[Piece],
    heads: Heads,
    caches: &mut [&mut Cache<F, A>],
    out: &mut [A],
) {
    let Heads { heads: all, kv_heads, head_dim: d } = heads;
    let group = heads.group();
    let n = out.len() / (all * d);
    // Tokens of each piece's own cache that earlier passes left.
    let mut before = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let own = &mut *caches[piece.own];
        before.push(own[0].keys.n);
        own.par_iter_mut().enumerate().for_each(|(h, head)| {
            for t in piece.rows.clone() {
                let at = (t * kv_heads + h) * d;
                head.keys.push_column(&k[at..at + d]);
                head.values.push_row(&v[at..at + d]);
            }
        });
    }
    let caches = &*caches;
    let queries = regroup::<F, A>(q, n, kv_heads, group * d, scale::<F>(heads));
    let tiles: Vec<(usize, Range<usize>)> = (0..pieces.len())
        .flat_map(|p| chunks(pieces[p].rows.len(), QUERY_TILE).map(move |t| (p, t)))
        .collect();
    let out = Disjoint::new(out);
    (0..tiles.len() * kv_heads).into_par_iter().for_each(|task| {
        let (p, tile) = &tiles[task / kv_heads];
        let h = task % kv_heads;
        let piece = &pieces[*p];
        let first = piece.rows.start + tile.start;
        let rows = tile.len() * group;
        let mut position = 0;
        let mut parts = Vec::with_capacity(piece.ancestors.len() + 1);
        for &a in &piece.ancestors {
            let head = &caches[a][h];
            parts.push(Part { rows: 0..rows, head, tokens: head.keys.n, position });
            position += head.keys.n;
        }
        let seen = before[*p] + tile.end;
        parts.push(Part { rows: 0..rows, head: &caches[piece.own][h], tokens: seen, position });
        F::tile_memory().with_borrow_mut(|[scores, sums, _]| {
            let queries = &queries[(h * n + first) * group * d..][..rows * d];
            let valid = |r: usize| position + before[*p] + tile.start + r / group + 1;
            let stats = attend(queries, d, &parts, valid, scores, sums);
            for (r, (_, sum)) in stats.into_iter().enumerate() {
                let head = (first + r / group) * all + h * group + r % group;
                // SAFETY: each task has tokens and heads of its own.
                let o = unsafe { out.slice(head * d, d) };
                scaled_copy::<F, F, A>(&sums[r * d..][..d], F::ONE / sum, o);
            }
        });
    });
}

/// See [`Backend::attention_decode`].
pub fn decode<F: Real, A: Element<F>, B>(q: &[A], groups: &[DecodeGroup<B>], heads: Heads, out: &mut [A])
where
    B: Backend<Cache = Cache<F, A>>,
{
    let Heads { heads: all, kv_heads, head_dim: d } = heads;
    let group = heads.group();
    let tiles: Vec<_> =
        groups.iter().flat_map(|g| chunks(g.own.len(), DECODE_TILE).map(move |t| (g, t))).collect();
    let out = Disjoint::new(out);
    (0..tiles.len() * kv_heads).into_par_iter().for_each(|task| {
        let (sequences, tile) = &tiles[task / kv_heads];
        let h = task % kv_heads;
        let own = &sequences.own[tile.clone()];
        let rows = own.len() * group;
        let mut position = 0;
        let mut parts = Vec::with_capacity(sequences.shared.len() + own.len());
        for shared in &sequences.shared {
            let head = &shared[h];
            parts.push(Part { rows: 0..rows, head, tokens: head.keys.n, position });
            position += head.keys.n;
        }
        for (i, (_, cache)) in own.iter().enumerate() {
            let head = &cache[h];
            parts.push(Part { rows: i * group..(i + 1) * group, head, tokens: head.keys.n, position });
        }
        F::tile_memory().with_borrow_mut(|[scores, sums, queries]| {
            queries.resize(rows * d, F::ZERO);
            for ((row, _), to) in own.iter().zip(queries.chunks_exact_mut(group * d)) {
                scaled_copy::<F, A, F>(&q[(row * all + h * group) * d..][..group * d], scale::<F>(heads), to);
            }
            let valid = |r: usize| position + own[r / group].1[h].keys.n;
            let stats = attend(&queries[..rows * d], d, &parts, valid, scores, sums);
            for (r, (_, sum)) in stats.into_iter().enumerate() {
                let head = own[r / group].0 * all + h * group + r % group;
                // SAFETY: each task has sequences and heads of its own.
                let o = unsafe { out.slice(head * d, d) };
                scaled_copy::<F, F, A>(&sums[r * d..][..d], F::ONE / sum, o);
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_holds_the_bytes_that_were_told_for_it() {
        for (kv_heads, head_dim, tokens) in [(1, 8, 1), (3, 64, 15), (2, 40, 100)] {
            let heads = Heads { heads: kv_heads * 2, kv_heads, head_dim };
            let mut cache = empty_cache::<f32, f32>(heads, tokens);
            let row = vec![1.0; kv_heads * head_dim];
            (0..tokens).for_each(|_| append(&row, &row, 0, heads, &mut cache));
            let held: usize = cache.iter().map(|head| head.keys.bytes() + head.values.bytes()).sum();
            assert_eq!(held, cache_bytes::<f32>(heads, tokens));
        }
    }
}
