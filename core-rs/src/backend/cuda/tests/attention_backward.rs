//! Gradients of attention over a forest.

use super::super::attention_backward::{BackwardTiles, attention_backward};
use super::super::device::{Array, Device};
use super::super::element::Element;
use super::{activations, close, device, put, tolerance, values};
use crate::backend::cpu::pool::Buffer;
use crate::backend::cpu::{Cpu, stored};
use crate::backend::{Backend, Heads};
use crate::forest::{Forest, Layout};
use half::bf16;

fn layout(lengths: &[u32], parents: &[i32]) -> Layout {
    let tokens = vec![0; lengths.iter().sum::<u32>() as usize];
    Layout::new(&Forest::new(tokens, lengths.to_vec(), parents.to_vec()).unwrap())
}

/// What attention reads and, by the CPU, gives.
struct Pass<A> {
    qkv: [Vec<A>; 3],
    out: Vec<A>,
    log_sums: Vec<f32>,
    d_out: Vec<f32>,
}

fn pass<A: Element + stored::Element<f32>>(layout: &Layout, heads: Heads, seed: u32) -> Pass<A> {
    let tokens = layout.positions.len();
    let [wide, narrow] = [heads.heads, heads.kv_heads].map(|n| tokens * n * heads.head_dim);
    let input = |n, part| activations::<A>(&values(n, seed * 5 + part));
    let qkv = [input(wide, 1), input(narrow, 2), input(narrow, 3)];
    let cpu = Cpu::<f32, A>::new();
    let (mut out, mut log_sums) = (cpu.activation(wide), cpu.unspecified(tokens * heads.heads));
    let [q, k, v] = qkv.clone().map(Into::into);
    cpu.attention([&q, &k, &v], layout, heads, &mut out, &mut log_sums);
    Pass { qkv, out: out.to_vec(), log_sums: log_sums.to_vec(), d_out: values(wide, seed * 5 + 4) }
}

impl<A: Element + stored::Element<f32>> Pass<A> {
    /// d_q, d_k, d_v by the CPU.
    fn expected(&self, layout: &Layout, heads: Heads) -> [Vec<A>; 3] {
        let cpu = Cpu::<f32, A>::new();
        let [q, k, v]: [Buffer<A>; 3] = self.qkv.clone().map(Into::into);
        let mut gradients = [&q, &k, &v].map(|x| cpu.activation(x.len()));
        let (out, log_sums, d_out) =
            (self.out.clone().into(), self.log_sums.clone().into(), self.d_out.clone().into());
        let d_qkv = gradients.each_mut();
        cpu.attention_backward([&q, &k, &v], &out, &log_sums, &d_out, layout, heads, d_qkv);
        gradients.map(|x| x.to_vec())
    }

    /// d_q, d_k, d_v by the kernels.
    fn found(&self, device: &Device, layout: &Layout, heads: Heads) -> [Vec<A>; 3] {
        let [q, k, v] = self.qkv.each_ref().map(|x| put(device, x));
        let mut gradients = [&q, &k, &v].map(|x| Array::unspecified(device, x.len()).unwrap());
        attention_backward(
            [&q, &k, &v],
            &put(device, &self.out),
            &put(device, &self.log_sums),
            &put(device, &self.d_out),
            &BackwardTiles::new(device, layout, heads).unwrap(),
            heads,
            gradients.each_mut(),
        )
        .unwrap();
        gradients.map(|x| x.download().unwrap())
    }
}

/// A forest of up to eight segments: most are short, one in five is longer than two tiles of keys.
fn random_forest(seed: u32) -> Layout {
    let random = values(24, seed);
    let pick = |i: usize, n: usize| ((random[i] + 1.0) / 2.0 * n as f32) as usize;
    let segments = 1 + pick(0, 8);
    let lengths: Vec<u32> = (0..segments)
        .map(|i| if pick(1 + i, 5) == 0 { 130 + pick(9 + i, 40) } else { 1 + pick(9 + i, 30) } as u32)
        .collect();
    let parents: Vec<i32> = (0..segments).map(|i| pick(16 + i, i + 1) as i32 - 1).collect();
    layout(&lengths, &parents)
}

fn heads(kv_heads: usize, group: usize, head_dim: usize) -> Heads {
    Heads { heads: kv_heads * group, kv_heads, head_dim }
}

fn parity<A: Element + stored::Element<f32>>(heads: Heads, layout: &Layout) {
    let Some(device) = device() else { return };
    let pass = pass::<A>(layout, heads, 7);
    let found = pass.found(&device, layout, heads);
    for (what, (found, expected)) in
        ["d_q", "d_k", "d_v"].into_iter().zip(found.iter().zip(&pass.expected(layout, heads)))
    {
        let what = format!("{what} of {heads:?} over {:?}", layout.segments.len());
        close(&what, found, expected, tolerance::<A>());
    }
}

#[test]
fn the_cpu_gives_the_same_over_random_forests() {
    for (i, heads) in
        [heads(2, 1, 8), heads(1, 3, 40), heads(2, 7, 5), heads(3, 1, 64), heads(1, 2, 128), heads(1, 70, 4)]
            .into_iter()
            .enumerate()
    {
        for seed in 0..3 {
            let layout = random_forest(i as u32 * 3 + seed);
            parity::<f32>(heads, &layout);
            parity::<bf16>(heads, &layout);
        }
    }
}
