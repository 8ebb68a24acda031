//! Gradients of attention over a forest.

use super::super::attention::ForestTiles;
use super::super::attention_backward::{KeyTiles, attention_backward};
use super::super::device::{Array, Device};
use super::super::element::Element;
use super::attention::{heads, layout, random_forest, rows, same};
use super::{activations, close, device, put, tolerance, values};
use crate::backend::cpu::pool::Buffer;
use crate::backend::cpu::{Cpu, stored};
use crate::backend::{Backend, Heads};
use crate::forest::Layout;
use half::bf16;
use std::ops::Range;

const NAMES: [&str; 3] = ["d_q", "d_k", "d_v"];

/// Widths of rows of queries, keys and values, and of their gradients.
fn widths(heads: Heads) -> [usize; 3] {
    [heads.heads, heads.kv_heads, heads.kv_heads].map(|n| n * heads.head_dim)
}

/// What the backward pass reads.
struct Pass<A> {
    qkv: [Vec<A>; 3],
    out: Vec<A>,
    log_sums: Vec<f32>,
    d_out: Vec<f32>,
}

/// On the device, the array begins so many elements behind an aligned address.
fn put_behind<T: bytemuck::Pod>(device: &Device, x: &[T], offset: usize) -> Array<T> {
    put(device, &[&vec![T::zeroed(); offset], x].concat()).part(offset..offset + x.len())
}

impl<A: Element + stored::Element<f32>> Pass<A> {
    /// Random queries, keys and values, with what the CPU makes of them, and random gradients.
    fn new(layout: &Layout, heads: Heads, seed: u32) -> Self {
        let tokens = layout.positions.len();
        let [wide, narrow] = [heads.heads, heads.kv_heads].map(|n| tokens * n * heads.head_dim);
        let input = |n, part| activations::<A>(&values(n, seed * 5 + part));
        let qkv = [input(wide, 1), input(narrow, 2), input(narrow, 3)];
        let cpu = Cpu::<f32, A>::new();
        let (mut out, mut log_sums) =
            (cpu.activation(wide).unwrap(), cpu.unspecified(tokens * heads.heads).unwrap());
        let [q, k, v]: [Buffer<A>; 3] = qkv.clone().map(Into::into);
        cpu.attention([&q, &k, &v], layout, heads, &mut out, &mut log_sums).unwrap();
        Self { qkv, out: out.to_vec(), log_sums: log_sums.to_vec(), d_out: values(wide, seed * 5 + 4) }
    }

    /// d_q, d_k, d_v by the CPU.
    fn expected(&self, layout: &Layout, heads: Heads) -> [Vec<A>; 3] {
        let cpu = Cpu::<f32, A>::new();
        let [q, k, v]: [Buffer<A>; 3] = self.qkv.clone().map(Into::into);
        let mut gradients = [&q, &k, &v].map(|x| cpu.activation(x.len()).unwrap());
        let (out, log_sums, d_out) =
            (self.out.clone().into(), self.log_sums.clone().into(), self.d_out.clone().into());
        let d_qkv = gradients.each_mut();
        cpu.attention_backward([&q, &k, &v], &out, &log_sums, &d_out, layout, heads, d_qkv).unwrap();
        gradients.map(|x| x.to_vec())
    }

    /// d_q, d_k, d_v by the kernels.
    fn found(&self, device: &Device, layout: &Layout, heads: Heads) -> [Vec<A>; 3] {
        self.found_behind(device, layout, heads, 0)
    }

    /// The same from and to arrays that begin so many elements behind aligned addresses.
    fn found_behind(&self, device: &Device, layout: &Layout, heads: Heads, offset: usize) -> [Vec<A>; 3] {
        let [q, k, v] = self.qkv.each_ref().map(|x| put_behind(device, x, offset));
        let mut gradients =
            self.qkv.each_ref().map(|x| put_behind(device, &vec![A::of(f32::NAN); x.len()], offset));
        attention_backward(
            [&q, &k, &v],
            &put_behind(device, &self.out, offset),
            &put_behind(device, &self.log_sums, offset),
            &put_behind(device, &self.d_out, offset),
            (&ForestTiles::new(device, layout, heads).unwrap(), &KeyTiles::new(device, layout).unwrap()),
            heads,
            gradients.each_mut(),
        )
        .unwrap();
        gradients.map(|x| x.download().unwrap())
    }

    /// That of chosen tokens.
    fn of(&self, tokens: &[usize], heads: Heads) -> Self {
        let widths = widths(heads);
        Self {
            qkv: [0, 1, 2].map(|i| rows(&self.qkv[i], widths[i], tokens)),
            out: rows(&self.out, widths[0], tokens),
            log_sums: rows(&self.log_sums, heads.heads, tokens),
            d_out: rows(&self.d_out, widths[0], tokens),
        }
    }
}

fn parity<A: Element + stored::Element<f32>>(device: &Device, heads: Heads, layout: &Layout, seed: u32) {
    let pass = Pass::<A>::new(layout, heads, seed);
    let (found, expected) = (pass.found(device, layout, heads), pass.expected(layout, heads));
    for (i, what) in NAMES.into_iter().enumerate() {
        let what = format!("{what} of {heads:?} over {} tokens", layout.positions.len());
        close(&what, &found[i], &expected[i], tolerance::<A>());
    }
}

#[test]
fn the_cpu_gives_the_same_over_random_forests() {
    let Some(device) = device() else { return };
    let shapes = [
        (heads(2, 1, 8), 6),
        (heads(1, 3, 40), 5),
        (heads(2, 7, 5), 3),
        (heads(3, 1, 64), 4),
        (heads(1, 2, 128), 3),
        (heads(1, 64, 4), 15),
    ];
    for (heads, seed) in shapes {
        let layout = random_forest(seed);
        parity::<f32>(&device, heads, &layout, seed);
        parity::<bf16>(&device, heads, &layout, seed);
    }
}

#[test]
fn one_token_sends_nothing_to_its_query_and_key() {
    let Some(device) = device() else { return };
    let (layout, heads) = (layout(&[1], &[-1]), heads(2, 3, 16));
    let pass = Pass::<f32>::new(&layout, heads, 3);
    let [d_q, d_k, d_v] = pass.found(&device, &layout, heads);
    assert!(d_q.iter().chain(&d_k).all(|x| x.abs() < 1e-5));
    let sum = |i: usize| (0..3).map(|g| pass.d_out[(i / 16 * 3 + g) * 16 + i % 16]).sum();
    close("d_v", &d_v, &(0..32).map(sum).collect::<Vec<f32>>(), 1e-5);
}

#[test]
fn a_forest_of_no_tokens_has_no_gradients() {
    let Some(device) = device() else { return };
    let qkv = [(); 3].map(|()| Vec::new());
    let pass = Pass::<bf16> { qkv, out: Vec::new(), log_sums: Vec::new(), d_out: Vec::new() };
    let found = pass.found(&device, &layout(&[], &[]), heads(2, 3, 128));
    assert!(found.iter().all(Vec::is_empty));
}

/// Bits are the same from run to run, behind any address, and whatever other trees the forest has.
fn same_bits<A: Element + stored::Element<f32>>(heads: Heads) {
    let Some(device) = device() else { return };
    // A prompt with two children and a grandchild; the trees of segments 1 and 4 stand among it.
    let among = layout(&[90, 7, 30, 5, 66, 1], &[-1, -1, 0, 2, 1, 0]);
    let alone = layout(&[90, 30, 5, 1], &[-1, 0, 1, 0]);
    let tokens: Vec<usize> =
        [0, 2, 3, 5].into_iter().flat_map(|s: usize| among.segments[s].tokens.clone()).collect();
    let pass = Pass::<A>::new(&among, heads, 11);
    let found = pass.found(&device, &among, heads);
    for other in [pass.found(&device, &among, heads), pass.found_behind(&device, &among, heads, 3)] {
        for (i, what) in NAMES.into_iter().enumerate() {
            same(what, &other[i], &found[i]);
        }
    }
    let single = pass.of(&tokens, heads).found(&device, &alone, heads);
    for (i, what) in NAMES.into_iter().enumerate() {
        same(what, &single[i], &rows(&found[i], widths(heads)[i], &tokens));
    }
}

#[test]
fn bits_do_not_depend_on_the_run_the_address_or_other_trees() {
    same_bits::<f32>(heads(2, 3, 32));
    same_bits::<bf16>(heads(2, 3, 32));
}

/// A shared prompt gets what its copies in a flat batch get together.
fn shared_prompt<A: Element + stored::Element<f32>>(heads: Heads) {
    let Some(device) = device() else { return };
    let (prompt, children) = (70, [3, 20, 9]);
    let lengths = [prompt as u32].into_iter().chain(children).collect::<Vec<_>>();
    let forest = layout(&lengths, &[-1, 0, 0, 0]);
    let flat = layout(&children.map(|n| prompt as u32 + n), &[-1; 3]);
    let pass = Pass::<A>::new(&forest, heads, 5);
    let own = |child: usize| forest.segments[child + 1].tokens.clone();
    let tokens: Vec<usize> = (0..3).flat_map(|child| (0..prompt).chain(own(child))).collect();
    let mut copies = pass.of(&tokens, heads);
    // The prompt's own outputs count once.
    for copy in &flat.segments[1..] {
        let width = heads.heads * heads.head_dim;
        copies.d_out[copy.tokens.start * width..][..prompt * width].fill(0.0);
    }
    let (shared, copied) = (pass.found(&device, &forest, heads), copies.found(&device, &flat, heads));
    let part = |x: &[A], tokens: Range<usize>, width: usize| -> Vec<f32> {
        x[tokens.start * width..tokens.end * width].iter().map(|x| x.widen()).collect()
    };
    for (i, what) in NAMES.into_iter().enumerate() {
        let width = widths(heads)[i];
        let mut sum = vec![0.0; prompt * width];
        for (child, copy) in flat.segments.iter().enumerate() {
            let start = copy.tokens.start;
            let of_prompt = part(&copied[i], start..start + prompt, width);
            sum.iter_mut().zip(of_prompt).for_each(|(sum, x)| *sum += x);
            let of_child = part(&copied[i], start + prompt..copy.tokens.end, width);
            close(what, &part(&shared[i], own(child), width), &of_child, tolerance::<A>());
            if i == 0 {
                // A query's path is cut differently here and there.
                assert_eq!(part(&shared[i], own(child), width), of_child, "bits of {what}");
            }
        }
        close(what, &part(&shared[i], 0..prompt, width), &sum, tolerance::<A>());
    }
}

#[test]
fn a_shared_prompt_gets_the_sum_of_its_copies() {
    shared_prompt::<f32>(heads(1, 3, 24));
    shared_prompt::<bf16>(heads(1, 3, 24));
}

/// Σ out · c in f64, every score by itself.
fn loss([q, k, v]: &[Vec<f64>; 3], c: &[f32], layout: &Layout, heads: Heads) -> f64 {
    let d = heads.head_dim;
    let mut loss = 0.0;
    for segment in &layout.segments {
        let above = segment.ancestors.iter().flat_map(|&a| layout.segments[a].tokens.clone());
        let path: Vec<usize> = above.chain(segment.tokens.clone()).collect();
        for (i, row) in segment.tokens.clone().enumerate() {
            let seen = &path[..=segment.position + i];
            for h in 0..heads.heads {
                let from = (row * heads.heads + h) * d;
                let key = |row: usize| (row * heads.kv_heads + h / heads.group()) * d;
                let score = |&row: &usize| {
                    let dot: f64 = (0..d).map(|j| q[from + j] * k[key(row) + j]).sum();
                    (dot / (d as f64).sqrt()).exp()
                };
                let scores: Vec<f64> = seen.iter().map(score).collect();
                let sum: f64 = scores.iter().sum();
                for (p, &row) in scores.iter().zip(seen) {
                    loss += (0..d).map(|j| p / sum * v[key(row) + j] * f64::from(c[from + j])).sum::<f64>();
                }
            }
        }
    }
    loss
}

#[test]
fn a_loss_changes_along_random_directions_as_its_gradient_says() {
    const STEP: f64 = 1e-4;
    let Some(device) = device() else { return };
    let (layout, heads) = (layout(&[40, 5, 70, 3], &[-1, 0, 0, 1]), heads(2, 3, 12));
    let pass = Pass::<f32>::new(&layout, heads, 9);
    let at = pass.qkv.each_ref().map(|x| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>());
    for (i, gradient) in pass.found(&device, &layout, heads).iter().enumerate() {
        for seed in 0..2 {
            let direction = values(gradient.len(), 100 + seed);
            let moved = |by: f64| {
                let mut there = at.clone();
                there[i].iter_mut().zip(&direction).for_each(|(x, &u)| *x += by * f64::from(u));
                loss(&there, &pass.d_out, &layout, heads)
            };
            let slope = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            let parts = || gradient.iter().zip(&direction).map(|(&g, &u)| f64::from(g) * f64::from(u));
            let (sum, size) = (parts().sum::<f64>(), parts().map(f64::abs).sum::<f64>());
            let (what, off) = (NAMES[i], (sum - slope).abs());
            assert!(off <= 1e-6 * size, "{what}: {sum} along a direction, {slope} by differences, of {size}");
        }
    }
}
