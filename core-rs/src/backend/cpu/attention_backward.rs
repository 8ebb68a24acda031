//! Gradients of attention over a forest (Dao 2023, FlashAttention-2, algorithm 2, over whole rows of scores).
//!
//! Two sweeps recompute the probabilities from the saved log-sums. The first runs over tiles of queries and gives
//! d_q; the second runs over tiles of keys, adds what every query below them sends in ascending order, and gives
//! d_k and d_v. No element is written by two tasks, so the sums have one order at any number of threads.

use super::attention::{QUERY_TILE, scale};
use super::disjoint::Disjoint;
use super::gemm::{PANEL, Packed, Right, Store, View, gemm};
use super::isa::simd_fn;
use super::real::{Real, lane_sum};
use super::rowwise::{regroup, scaled_copy};
use super::stored::Element;
use crate::backend::{Heads, chunks};
use crate::forest::Layout;
use rayon::prelude::*;
use std::ops::Range;

/// Keys of one tile of the second sweep.
const KEY_TILE: usize = 2 * PANEL;

/// One key head's keys and values over a segment, in the layouts that the two sweeps multiply by.
struct HeadPanels<F: Real, A: Element<F>> {
    /// head_dim × tokens
    keys: Packed<A::Mixed>,
    /// head_dim × tokens
    values: Packed<A::Mixed>,
    /// tokens × head_dim
    key_rows: Packed<A::Mixed>,
}

simd_fn! {
    /// From scores and dL/dprobability of one row to the probabilities and dL/dscore, zero behind `valid`.
    fn score_gradients<F>(scores: &mut [F], gradients: &mut [F], valid: usize, log_sum: F, dot: F) {
        for (s, g) in scores[..valid].iter_mut().zip(&mut gradients[..valid]) {
            let p = (*s - log_sum).exp::<FMA>();
            *s = p;
            *g = p * (*g - dot);
        }
        scores[valid..].fill(F::ZERO);
        gradients[valid..].fill(F::ZERO);
    }
}

/// What both sweeps read: queries (scaled), output gradients, log-sums and Σ out · d_out, by key head and token.
struct Rows<'a, F> {
    heads: Heads,
    n: usize,
    queries: Vec<F>,
    d_out: Vec<F>,
    log_sums: &'a [F],
    dots: Vec<F>,
}

impl<F: Real> Rows<'_, F> {
    /// Range of a tile's rows in `queries` and `d_out`, for tokens from `first`.
    fn span(&self, h: usize, first: usize, tokens: usize) -> Range<usize> {
        let width = self.heads.group() * self.heads.head_dim;
        (h * self.n + first) * width..(h * self.n + first + tokens) * width
    }

    /// (log-sum, Σ out · d_out) of row r of a tile.
    fn stats(&self, h: usize, first: usize, r: usize) -> (F, F) {
        let group = self.heads.group();
        let at = (first + r / group) * self.heads.heads + h * group + r % group;
        (self.log_sums[at], self.dots[at])
    }
}

/// See [`crate::backend::Backend::attention_backward`].
pub fn backward<F: Real, A: Element<F>>(
    [q, k, v]: [&[A]; 3],
    out: &[A],
    log_sums: &[F],
    d_out: &[F],
    layout: &Layout,
    heads: Heads,
    [d_q, d_k, d_v]: [&mut [A]; 3],
) {
    let Heads { kv_heads, head_dim: d, .. } = heads;
    let n = layout.positions.len();
    let row = kv_heads * d;
    let panels: Vec<Vec<HeadPanels<F, A>>> = layout
        .segments
        .par_iter()
        .map(|s| {
            let tokens = s.tokens.len();
            (0..kv_heads)
                .map(|h| {
                    let at = s.tokens.start * row + h * d;
                    HeadPanels {
                        keys: Packed::new(View::columns(&k[at..], row), d, tokens),
                        values: Packed::new(View::columns(&v[at..], row), d, tokens),
                        key_rows: Packed::new(View::rows(&k[at..], row), tokens, d),
                    }
                })
                .collect()
        })
        .collect();
    let mut dots = vec![F::ZERO; log_sums.len()];
    (dots.par_iter_mut(), out.par_chunks(d), d_out.par_chunks(d))
        .into_par_iter()
        .for_each(|(dot, o, g)| *dot = lane_sum(d, |i| o[i].load() * g[i]));
    let rows = Rows {
        heads,
        n,
        queries: regroup::<F, A>(q, n, kv_heads, heads.group() * d, scale::<F>(heads)),
        d_out: regroup::<F, F>(d_out, n, kv_heads, heads.group() * d, F::ONE),
        log_sums,
        dots,
    };
    query_sweep(&rows, &panels, layout, d_q);
    key_sweep(&rows, &panels, layout, d_k, d_v);
}

fn query_sweep<F: Real, A: Element<F>>(
    rows: &Rows<F>,
    panels: &[Vec<HeadPanels<F, A>>],
    layout: &Layout,
    d_q: &mut [A],
) {
    let Heads { heads: all, kv_heads, head_dim: d } = rows.heads;
    let group = rows.heads.group();
    let tiles: Vec<_> = layout
        .segments
        .iter()
        .enumerate()
        .flat_map(|(s, segment)| chunks(segment.tokens.len(), QUERY_TILE).map(move |t| (s, t)))
        .collect();
    let d_q = Disjoint::new(d_q);
    (0..tiles.len() * kv_heads).into_par_iter().for_each(|task| {
        let (s, tile) = &tiles[task / kv_heads];
        let h = task % kv_heads;
        let segment = &layout.segments[*s];
        let first = segment.tokens.start + tile.start;
        let span = rows.span(h, first, tile.len());
        let (queries, d_out) = (&rows.queries[span.clone()], &rows.d_out[span]);
        let m = tile.len() * group;
        let width = segment.position + tile.end;
        let parts = segment.ancestors.iter().map(|&a| (a, layout.segments[a].tokens.len()));
        let parts: Vec<_> = parts.chain([(*s, tile.end)]).collect();
        F::tile_memory().with_borrow_mut(|[scores, gradients, sums]| {
            scores.resize(m * width, F::ZERO);
            gradients.resize(m * width, F::ZERO);
            for &(part, tokens) in &parts {
                let at = layout.segments[part].position;
                let panel = &panels[part][h];
                let shape = (m, tokens, d);
                let keys = Right::Packed(&panel.keys, 0);
                let values = Right::Packed(&panel.values, 0);
                let (scores, gradients) = (&mut scores[at..], &mut gradients[at..]);
                gemm::<A::Mixed, F>(shape, View::rows(queries, d), keys, scores, width, Store::Replace);
                gemm::<A::Mixed, F>(shape, View::rows(d_out, d), values, gradients, width, Store::Replace);
            }
            for r in 0..m {
                let (log_sum, dot) = rows.stats(h, first, r);
                let valid = segment.position + tile.start + r / group + 1;
                let range = r * width..(r + 1) * width;
                score_gradients(&mut scores[range.clone()], &mut gradients[range], valid, log_sum, dot);
            }
            sums.clear();
            sums.resize(m * d, F::ZERO);
            for &(part, tokens) in &parts {
                let at = layout.segments[part].position;
                let keys = Right::Packed(&panels[part][h].key_rows, 0);
                let left = View::rows(&gradients[at..], width);
                gemm::<A::Mixed, F>((m, d, tokens), left, keys, sums, d, Store::Add);
            }
            let factor = scale::<F>(rows.heads);
            for (r, sum) in sums.chunks_exact(d).enumerate() {
                let head = (first + r / group) * all + h * group + r % group;
                // SAFETY: each task has tokens and heads of its own.
                let to = unsafe { d_q.slice(head * d, d) };
                scaled_copy::<F, F, A>(sum, factor, to);
            }
        });
    });
}

fn key_sweep<F: Real, A: Element<F>>(
    rows: &Rows<F>,
    panels: &[Vec<HeadPanels<F, A>>],
    layout: &Layout,
    d_k: &mut [A],
    d_v: &mut [A],
) {
    let Heads { kv_heads, head_dim: d, .. } = rows.heads;
    let group = rows.heads.group();
    let tiles: Vec<_> = layout
        .segments
        .iter()
        .enumerate()
        .flat_map(|(s, segment)| chunks(segment.tokens.len(), KEY_TILE).map(move |t| (s, t)))
        .collect();
    let (d_k, d_v) = (Disjoint::new(d_k), Disjoint::new(d_v));
    (0..tiles.len() * kv_heads).into_par_iter().for_each(|task| {
        let (s, keys) = &tiles[task / kv_heads];
        let h = task % kv_heads;
        let panel = &panels[*s][h];
        let width = keys.len();
        let mut d_keys = vec![F::ZERO; width * d];
        let mut d_values = vec![F::ZERO; width * d];
        F::tile_memory().with_borrow_mut(|[scores, gradients, _]| {
            for &below in &layout.segments[*s].subtree {
                let segment = &layout.segments[below];
                // A segment's own tokens before the tile's first key see none of it.
                let from = if below == *s { keys.start } else { 0 };
                for tile in chunks(segment.tokens.len() - from, QUERY_TILE) {
                    let first = segment.tokens.start + from + tile.start;
                    let m = tile.len() * group;
                    let span = rows.span(h, first, tile.len());
                    let (queries, d_out) = (&rows.queries[span.clone()], &rows.d_out[span]);
                    scores.resize(m * width, F::ZERO);
                    gradients.resize(m * width, F::ZERO);
                    let shape = (m, width, d);
                    let right = Right::Packed(&panel.keys, keys.start);
                    gemm::<A::Mixed, F>(shape, View::rows(queries, d), right, scores, width, Store::Replace);
                    let right = Right::Packed(&panel.values, keys.start);
                    gemm::<A::Mixed, F>(shape, View::rows(d_out, d), right, gradients, width, Store::Replace);
                    for r in 0..m {
                        let (log_sum, dot) = rows.stats(h, first, r);
                        // A query below the segment sees the whole tile; one of the segment, up to itself.
                        let own = tile.start + r / group + 1;
                        let valid = if below == *s { own.min(width) } else { width };
                        let range = r * width..(r + 1) * width;
                        score_gradients(
                            &mut scores[range.clone()],
                            &mut gradients[range],
                            valid,
                            log_sum,
                            dot,
                        );
                    }
                    let shape = (width, d, m);
                    let right = Right::View(View::rows(d_out, d));
                    let left = View::columns(scores, width);
                    gemm::<F::Full, F>(shape, left, right, &mut d_values, d, Store::Add);
                    let right = Right::View(View::rows(queries, d));
                    let left = View::columns(gradients, width);
                    gemm::<F::Full, F>(shape, left, right, &mut d_keys, d, Store::Add);
                }
            }
        });
        for (i, (dk, dv)) in d_keys.chunks_exact(d).zip(d_values.chunks_exact(d)).enumerate() {
            let at = ((layout.segments[*s].tokens.start + keys.start + i) * kv_heads + h) * d;
            // SAFETY: each task has keys and heads of its own.
            unsafe {
                scaled_copy::<F, F, A>(dk, F::ONE, d_k.slice(at, d));
                scaled_copy::<F, F, A>(dv, F::ONE, d_v.slice(at, d));
            }
        }
    });
}
