//! Attention over forests and over caches.

use super::super::attention::{ForestTiles, attention};
use super::super::device::{Array, Device};
use super::super::element::Element;
use super::super::key_values::{Cache, KeyValues, cache_bytes};
use super::super::plan::{Plan, bucket, extend};
use super::{activations, close, device, put, tolerance, values};
use crate::Error;
use crate::backend::cpu::{Cpu, stored};
use crate::backend::{Backend, Heads, Piece};
use crate::forest::{Forest, Layout};
use bytemuck::Pod;
use half::bf16;

pub(super) fn layout(lengths: &[u32], parents: &[i32]) -> Layout {
    let tokens = vec![0; lengths.iter().sum::<u32>() as usize];
    Layout::new(&Forest::new(tokens, lengths.to_vec(), parents.to_vec()).unwrap())
}

/// Whole numbers below `n`, deterministic.
fn picks(seed: u32) -> impl FnMut(usize) -> usize {
    let mut random = values(4096, seed).into_iter();
    move |n| ((random.next().unwrap() + 1.0) / 2.0 * n as f32) as usize
}

/// A forest of up to eight segments: most are short, one in five is longer than two blocks of keys.
pub(super) fn random_forest(seed: u32) -> Layout {
    let mut pick = picks(seed);
    let segments = 1 + pick(8);
    let mut lengths = Vec::new();
    for _ in 0..segments {
        let (least, range) = if pick(5) == 0 { (130, 40) } else { (1, 30) };
        lengths.push((least + pick(range)) as u32);
    }
    let parents: Vec<i32> = (0..segments).map(|i| pick(i + 1) as i32 - 1).collect();
    layout(&lengths, &parents)
}

pub(super) fn heads(kv_heads: usize, group: usize, head_dim: usize) -> Heads {
    Heads { heads: kv_heads * group, kv_heads, head_dim }
}

/// Queries, keys and values of so many tokens; scores are of both signs and up to about `size` · √head_dim.
fn inputs<A: Element>(tokens: usize, heads: Heads, size: f32) -> [Vec<A>; 3] {
    let input = |n, seed, size: f32| {
        let x: Vec<f32> = values(tokens * n * heads.head_dim, seed).iter().map(|x| x * size).collect();
        activations::<A>(&x)
    };
    [input(heads.heads, 1, size), input(heads.kv_heads, 2, 1.0), input(heads.kv_heads, 3, 1.0)]
}

/// Results and log-sums of a forest's pass.
fn whole<A: Element>(
    device: &Device,
    qkv: &[Vec<A>; 3],
    layout: &Layout,
    heads: Heads,
) -> (Vec<A>, Vec<f32>) {
    let [q, k, v] = qkv.each_ref().map(|x| put(device, x));
    let mut out = Array::unspecified(device, q.len()).unwrap();
    let mut log_sums = Array::unspecified(device, layout.positions.len() * heads.heads).unwrap();
    let tiles = ForestTiles::new(device, layout, heads).unwrap();
    attention([&q, &k, &v], &tiles, heads, &mut out, &mut log_sums).unwrap();
    (out.download().unwrap(), log_sums.download().unwrap())
}

/// Some rows of a matrix, one after another.
pub(super) fn rows<T: Pod>(x: &[T], width: usize, rows: &[usize]) -> Vec<T> {
    rows.iter().flat_map(|&row| x[row * width..(row + 1) * width].to_vec()).collect()
}

/// Panics unless two arrays are the same bit by bit.
pub(super) fn same<T: Pod>(what: &str, found: &[T], expected: &[T]) {
    let bytes = [found, expected].map(|x| bytemuck::cast_slice::<T, u8>(x).to_vec());
    assert!(bytes[0] == bytes[1], "{what} has other bits");
}

/// Widths of heads: as compiled, narrower by whole copies and not, and of every module; groups that fill a block's rows
/// and that do not.
const SHAPES: [(usize, usize, usize); 8] =
    [(2, 1, 8), (1, 3, 40), (2, 7, 5), (3, 1, 64), (2, 2, 128), (1, 16, 16), (1, 64, 32), (1, 5, 100)];

fn parity<A: Element + stored::Element<f32>>(heads: Heads, layout: &Layout, size: f32) {
    let Some(device) = device() else { return };
    let qkv = inputs::<A>(layout.positions.len(), heads, size);
    let (found, found_sums) = whole(&device, &qkv, layout, heads);
    let cpu = Cpu::<f32, A>::new();
    let mut out = cpu.activation(found.len()).unwrap();
    let mut log_sums = cpu.unspecified(found_sums.len()).unwrap();
    let [q, k, v] = qkv.map(Into::into);
    cpu.attention([&q, &k, &v], layout, heads, &mut out, &mut log_sums).unwrap();
    let what = format!("{heads:?} over {} tokens", layout.positions.len());
    close(&what, &found, &out, tolerance::<A>());
    close(&format!("log-sums of {what}"), &found_sums, &log_sums, tolerance::<A>());
}

#[test]
fn the_cpu_gives_the_same_over_random_forests() {
    for (i, (kv_heads, group, head_dim)) in (0..).zip(SHAPES) {
        for (seed, size) in [(i * 2, 1.0), (i * 2 + 1, 8.0)] {
            let (heads, layout) = (heads(kv_heads, group, head_dim), random_forest(seed));
            parity::<f32>(heads, &layout, size);
            parity::<bf16>(heads, &layout, size);
        }
    }
}

fn flat_has_the_same_bits<A: Element>(heads: Heads, forest: &Layout) {
    let Some(device) = device() else { return };
    let qkv = inputs::<A>(forest.positions.len(), heads, 2.0);
    let (out, log_sums) = whole(&device, &qkv, forest, heads);
    let widths = [heads.heads, heads.kv_heads, heads.kv_heads].map(|n| n * heads.head_dim);
    for (leaf, segment) in forest.segments.iter().enumerate() {
        let path: Vec<usize> = segment.ancestors.iter().chain([&leaf]).copied().collect();
        let path: Vec<usize> = path.iter().flat_map(|&s| forest.segments[s].tokens.clone()).collect();
        let flat = [0, 1, 2].map(|i| rows(&qkv[i], widths[i], &path));
        let (found, sums) = whole(&device, &flat, &layout(&[path.len() as u32], &[-1]), heads);
        same("a path by itself", &found, &rows(&out, widths[0], &path));
        same("log-sums of a path by itself", &sums, &rows(&log_sums, heads.heads, &path));
    }
}

#[test]
fn a_path_by_itself_has_the_bits_of_a_forest() {
    let forest = layout(&[70, 3, 40, 1, 90], &[-1, 0, 0, 2, 1]);
    for (kv_heads, group, head_dim) in [(2, 3, 64), (1, 2, 12), (1, 1, 128)] {
        flat_has_the_same_bits::<f32>(heads(kv_heads, group, head_dim), &forest);
        flat_has_the_same_bits::<bf16>(heads(kv_heads, group, head_dim), &forest);
    }
}

const LAYERS: usize = 2;

/// Takes a forest's tokens through caches, some of each segment in turn, as `runs` cuts them: pass by pass, each
/// segment's tokens. Holds every row against the forest's pass.
fn passes_have_the_same_bits<A: Element>(heads: Heads, forest: &Layout, runs: &[Vec<(usize, usize)>]) {
    let Some(device) = device() else { return };
    let n = forest.positions.len();
    // Another layer's rows are the same ones in another order.
    let shift = |layer: usize, token: usize| (token + layer * 5) % n;
    let qkv = inputs::<A>(n, heads, 2.0);
    let widths = [heads.heads, heads.kv_heads, heads.kv_heads].map(|n| n * heads.head_dim);
    let layers: Vec<[Vec<A>; 3]> = (0..LAYERS)
        .map(|layer| {
            let order: Vec<usize> = (0..n).map(|token| shift(layer, token)).collect();
            [0, 1, 2].map(|i| rows(&qkv[i], widths[i], &order))
        })
        .collect();
    let expected: Vec<Vec<A>> = layers.iter().map(|qkv| whole(&device, qkv, forest, heads).0).collect();

    let lengths: Vec<usize> = forest.segments.iter().map(|s| s.tokens.len()).collect();
    let bytes = lengths.iter().map(|&tokens| cache_bytes::<A>(LAYERS, heads, tokens)).sum();
    let memory = KeyValues::<A>::new(&device, LAYERS, heads, bytes).unwrap();
    let mut caches: Vec<Cache<A>> = lengths.iter().map(|&tokens| memory.cache(tokens).unwrap()).collect();
    let mut caches: Vec<&mut Cache<A>> = caches.iter_mut().collect();
    let mut done = vec![0; lengths.len()];
    let mut plan = Plan::default();
    for run in runs {
        let (mut tokens, mut pieces) = (Vec::new(), Vec::new());
        for &(segment, count) in run {
            let from = forest.segments[segment].tokens.start + done[segment];
            done[segment] += count;
            let ancestors = forest.segments[segment].ancestors.clone();
            pieces.push(Piece { rows: tokens.len()..tokens.len() + count, ancestors, own: segment });
            tokens.extend(from..from + count);
        }
        plan.make(&pieces, &mut caches).unwrap();
        let padded = [tokens.clone(), vec![0; bucket(tokens.len()) - tokens.len()]].concat();
        for (layer, qkv) in layers.iter().enumerate() {
            let [q, k, v] = [0, 1, 2].map(|i| put(&device, &rows(&qkv[i], widths[i], &padded)));
            let mut out = Array::unspecified(&device, q.len()).unwrap();
            extend([&q, &k, &v], &plan, layer, heads, &mut out).unwrap();
            let out = out.download().unwrap();
            let (found, padding) = out.split_at(tokens.len() * widths[0]);
            same(&format!("layer {layer} of {run:?}"), found, &rows(&expected[layer], widths[0], &tokens));
            assert!(padding.iter().all(|x| x.widen() == 0.0), "padding is zero");
        }
    }
    assert_eq!(done, lengths, "all tokens have been through");
}

/// Random passes over a forest: some of what is left of every segment whose parents are through.
fn random_runs(forest: &Layout, seed: u32) -> Vec<Vec<(usize, usize)>> {
    let mut pick = picks(seed);
    let mut left: Vec<usize> = forest.segments.iter().map(|s| s.tokens.len()).collect();
    let mut runs = Vec::new();
    while left.iter().any(|&n| n > 0) {
        let mut run = Vec::new();
        for s in 0..left.len() {
            // Parents stand before their children, so that a child may begin in the pass that its parent ends in.
            if left[s] > 0 && forest.segments[s].ancestors.iter().all(|&a| left[a] == 0) && pick(3) > 0 {
                let count = if pick(2) == 0 { 1 } else { (1 + pick(50)).min(left[s]) };
                left[s] -= count;
                run.push((s, count));
            }
        }
        runs.extend((!run.is_empty()).then_some(run));
    }
    runs
}

#[test]
fn cached_passes_have_the_bits_of_the_whole_one() {
    // A page more than a whole one, and one that ends where a block of keys does.
    let forest = layout(&[65, 20, 43, 6, 70], &[-1, 0, 1, 0, -1]);
    for (i, (kv_heads, group, head_dim)) in (0..).zip([(2, 3, 64), (1, 2, 12), (1, 1, 128), (2, 9, 32)]) {
        let runs = random_runs(&forest, i);
        passes_have_the_same_bits::<f32>(heads(kv_heads, group, head_dim), &forest, &runs);
        passes_have_the_same_bits::<bf16>(heads(kv_heads, group, head_dim), &forest, &runs);
    }
}

#[test]
fn decoding_has_the_bits_of_the_whole_pass() {
    // A prompt, then one token of each answer at a time; the answers end one by one.
    let lengths = [62, 5, 2, 4, 9];
    let forest = layout(&lengths, &[-1, 0, 0, 0, 0]);
    let going = |step| (1..5).filter(move |&s| step < lengths[s]);
    let mut runs = vec![vec![(0, 62)]];
    runs.extend((0..9).map(|step| going(step).map(|s| (s, 1)).collect()));
    passes_have_the_same_bits::<f32>(heads(2, 7, 64), &forest, &runs);
    passes_have_the_same_bits::<bf16>(heads(2, 7, 64), &forest, &runs);
}

#[test]
fn a_recorded_step_serves_all_batches_of_its_size() {
    let Some(device) = device() else { return };
    let heads = heads(1, 2, 16);
    let memory = KeyValues::<bf16>::new(&device, 1, heads, 1 << 20).unwrap();
    let mut caches: Vec<Cache<bf16>> = (0..12).map(|_| memory.cache(4).unwrap()).collect();
    let mut caches: Vec<&mut Cache<bf16>> = caches.iter_mut().collect();
    let qkv = inputs::<bf16>(bucket(11), heads, 2.0);
    let [q, k, v] = qkv.each_ref().map(|x| put(&device, x));
    let (mut plan, mut out) = (Plan::default(), Array::unspecified(&device, q.len()).unwrap());
    let piece = |row: usize, own: usize| Piece { rows: row..row + 1, ancestors: vec![], own };
    let first: Vec<Piece> = (0..11).map(|row| piece(row, row)).collect();
    let second: Vec<Piece> = (0..12).rev().enumerate().map(|(row, own)| piece(row, own)).collect();
    plan.make(&first, &mut caches).unwrap();
    let recording = device.record(&mut || extend([&q, &k, &v], &plan, 0, heads, &mut out)).unwrap();
    let mut results: Vec<Vec<bf16>> = Vec::new();
    for next in [&second, &first, &first] {
        device.replay(recording).unwrap();
        let replayed = out.download().unwrap();
        let mut again = Array::unspecified(&device, q.len()).unwrap();
        extend([&q, &k, &v], &plan, 0, heads, &mut again).unwrap();
        same("a replayed step", &replayed, &again.download().unwrap());
        assert!(!results.contains(&replayed), "the steps are of other keys");
        results.push(replayed);
        plan.make(next, &mut caches).unwrap();
    }
    // A first step sees one key, so that its values are the results.
    for row in 0..11 {
        assert_eq!(results[0][row * 32..row * 32 + 16], qkv[2][row * 16..row * 16 + 16]);
    }
    device.forget(recording);
}

#[test]
fn pages_are_given_back() {
    let Some(device) = device() else { return };
    let heads = heads(2, 1, 16);
    let page = cache_bytes::<f32>(3, heads, 1);
    assert_eq!(page, 2 * 3 * 64 * 2 * 16 * 4);
    assert_eq!(cache_bytes::<f32>(3, heads, 0), 0);
    let free = device.memory().unwrap().free;
    let memory = KeyValues::<f32>::new(&device, 3, heads, 4 * page + page - 1).unwrap();
    assert_eq!(free - device.memory().unwrap().free, 4 * page);
    let one = memory.cache(64).unwrap();
    let two = memory.cache(65).unwrap();
    let refused = memory.cache(65).err();
    let Some(Error::Memory { needed, free, total }) = refused else { panic!("{refused:?}") };
    assert_eq!((needed, free, total), (2 * page, page, 4 * page));
    drop(one);
    let three = memory.cache(128).unwrap();
    let mut all: Vec<u32> = two.rows(0..65).chain(three.rows(0..128)).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 65 + 128, "no place is anybody else's");
    assert!(all.iter().all(|&row| row < 4 * 64));
}
