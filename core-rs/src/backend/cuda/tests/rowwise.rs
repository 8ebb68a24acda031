//! Operations on rows, elements and indices, and the optimizer's, by the [`Backend`] of both devices.

use super::super::Cuda;
use super::super::buffer;
use super::super::device::Array;
use super::super::element::Element;
use super::{close, device, tolerance, values};
use crate::backend::cpu::{Cpu, pool, stored};
use crate::backend::{AdamWStep, Arithmetic, Backend, Mask, Matrix, Store, Updated};
use crate::config::Rotary;
use half::bf16;

/// A backend whose activations a test can look at.
trait Open: Backend<Scalar = f32> {
    fn read(&self, x: &Self::Activation) -> Vec<f32>;

    fn put(&self, x: &[f32]) -> Self::Buffer {
        self.upload(x).unwrap()
    }

    fn rounded(&self, x: &[f32]) -> Self::Activation {
        self.round(&self.put(x), 1.0).unwrap()
    }

    fn get(&self, x: &Self::Buffer) -> Vec<f32> {
        self.download(x).unwrap().into_owned()
    }
}

impl<A: Element> Open for Cuda<A> {
    fn read(&self, x: &Array<A>) -> Vec<f32> {
        x.download().unwrap().into_iter().map(A::widen).collect()
    }
}

impl<A: stored::Element<f32> + Element> Open for Cpu<f32, A> {
    fn read(&self, x: &pool::Buffer<A>) -> Vec<f32> {
        x.iter().map(|&x| Element::widen(x)).collect()
    }
}

/// What is computed on each device; each result is compared under its name.
trait Work {
    fn on<B: Open>(&self, b: &B) -> Vec<(&'static str, Vec<f32>)>;
}

fn agree(work: &impl Work) {
    fn at<A: Element + stored::Element<f32>>(work: &impl Work) {
        let Some(device) = device() else { return };
        let found = work.on(&Cuda::<A>::new(device, Arithmetic::Exact));
        for ((what, found), (_, expected)) in found.iter().zip(work.on(&Cpu::<f32, A>::new())) {
            close(what, found, &expected, tolerance::<A>());
        }
    }
    at::<f32>(work);
    at::<bf16>(work);
}

/// Rows and widths: one of either, more than a block has threads, and neither a multiple of anything.
const SHAPES: [(usize, usize); 5] = [(1, 1), (1, 8), (3, 300), (70, 33), (5, 1030)];

struct Norms;

impl Work for Norms {
    fn on<B: Open>(&self, b: &B) -> Vec<(&'static str, Vec<f32>)> {
        let mut found = Vec::new();
        for (rows, width) in SHAPES {
            let n = rows * width;
            let (x, weight) = (b.put(&values(n, 1)), b.put(&values(width, 2)));
            let (mut y, mut rstd) = (b.activation(n).unwrap(), b.unspecified(rows).unwrap());
            b.rms_norm(&x, &weight, 1e-5, &mut y, &mut rstd).unwrap();
            let (mut d_x, mut d_weight) = (b.put(&values(n, 4)), b.put(&values(width, 5)));
            b.rms_norm_backward(&x, &weight, &rstd, &b.put(&values(n, 3)), &mut d_x, Some(&mut d_weight))
                .unwrap();
            found.extend([("y", b.read(&y)), ("rstd", b.get(&rstd))]);
            found.extend([("d_x", b.get(&d_x)), ("d_weight", b.get(&d_weight))]);
        }
        found
    }
}

#[test]
fn norms_of_rows() {
    agree(&Norms);
}

struct HeadNorms;

impl Work for HeadNorms {
    fn on<B: Open>(&self, b: &B) -> Vec<(&'static str, Vec<f32>)> {
        let mut found = Vec::new();
        for (rows, width) in SHAPES {
            let n = rows * width;
            let (x, weight) = (b.rounded(&values(n, 1)), b.put(&values(width, 2)));
            let (mut y, mut rstd) = (b.activation(n).unwrap(), b.unspecified(rows).unwrap());
            b.head_norm(&x, &weight, 1e-5, &mut y, &mut rstd).unwrap();
            let (mut d, mut d_weight) = (b.rounded(&values(n, 3)), b.put(&values(width, 5)));
            b.head_norm_backward(&x, &weight, &rstd, &mut d, Some(&mut d_weight)).unwrap();
            found.extend([("y", b.read(&y)), ("rstd", b.get(&rstd))]);
            found.extend([("d", b.read(&d)), ("d_weight", b.get(&d_weight))]);
        }
        found
    }
}

#[test]
fn norms_of_heads() {
    agree(&HeadNorms);
}

struct Dropped;

impl Work for Dropped {
    fn on<B: Open>(&self, b: &B) -> Vec<(&'static str, Vec<f32>)> {
        let mut found = Vec::new();
        for (i, n) in [0, 1, 3, 1029, 40_000].into_iter().enumerate() {
            let mask = Mask::new([u32::MAX - 3, 17], [i as u32, 6], [0.0, 0.3, 0.9][i % 3]);
            let y = b.dropout(&b.rounded(&values(n, 1)), &mask).unwrap();
            let mut d_x = b.put(&values(n, 3));
            b.dropout_backward(&b.put(&values(n, 2)), &mask, &mut d_x).unwrap();
            found.extend([("y", b.read(&y)), ("d_x", b.get(&d_x))]);
            found.push(("scaled", b.read(&b.round(&b.put(&values(n, 4)), -1.75).unwrap())));
        }
        found
    }
}

#[test]
fn masks() {
    agree(&Dropped);
}

/// What is dropped is decided by integers, so the CPU's mask is this one.
#[test]
fn the_mask_is_the_cpus() {
    let Some(device) = device() else { return };
    let (mask, x) = (Mask::new([5, 6], [7, 1], 0.5), vec![1.0; 10_001]);
    let there = Cpu::<f32>::new();
    let here = Cuda::<f32>::new(device, Arithmetic::Exact);
    let drawn = there.read(&there.dropout(&there.rounded(&x), &mask).unwrap());
    assert_eq!(here.read(&here.dropout(&here.rounded(&x), &mask).unwrap()), drawn);
    assert!((4_500..5_500).contains(&drawn.iter().filter(|&&y| y == 0.0).count()));
}

/// Where a weight is frozen, what is given back is the same.
#[test]
fn frozen_weights_have_no_gradient() {
    let Some(device) = device() else { return };
    let b = Cuda::<half::bf16>::new(device, Arithmetic::Exact);
    let (rows, width) = (5, 33);
    let [x, d_y] = [1, 2].map(|seed| b.put(&values(rows * width, seed)));
    let weight = b.put(&values(width, 3));
    let (mut y, mut rstd) = (b.activation(rows * width).unwrap(), b.unspecified(rows).unwrap());
    b.rms_norm(&x, &weight, 1e-5, &mut y, &mut rstd).unwrap();
    let given = [false, true].map(|trained| {
        let mut sums = b.put(&values(width, 4));
        let mut d_weight = trained.then_some(&mut sums);
        let mut d_x = b.put(&values(rows * width, 5));
        b.rms_norm_backward(&x, &weight, &rstd, &d_y, &mut d_x, d_weight.as_deref_mut()).unwrap();
        let mut d = b.round(&d_y, 1.0).unwrap();
        b.head_norm_backward(&y, &weight, &rstd, &mut d, d_weight).unwrap();
        (b.get(&d_x), b.read(&d), b.get(&sums) == values(width, 4))
    });
    assert_eq!((&given[0].0, &given[0].1), (&given[1].0, &given[1].1));
    assert_eq!([given[0].2, given[1].2], [true, false]);
}

struct Elementwise;

impl Work for Elementwise {
    fn on<B: Open>(&self, b: &B) -> Vec<(&'static str, Vec<f32>)> {
        let mut found = Vec::new();
        for (rows, width) in SHAPES {
            let n = rows * width;
            let (mut gate, mut up) = (b.rounded(&values(n, 1)), b.rounded(&values(n, 2)));
            let mut out = b.activation(n).unwrap();
            b.swiglu(&gate, &up, &mut out).unwrap();
            b.swiglu_backward(&mut gate, &mut up, &b.put(&values(n, 3))).unwrap();
            let bias = b.put(&values(width, 4));
            let (mut y, mut full) = (b.rounded(&values(n, 5)), b.put(&values(n, 6)));
            b.add_bias(&bias, &mut y).unwrap();
            b.add_bias_into(&bias, &mut full).unwrap();
            let mut d_bias = b.put(&values(width, 7));
            b.bias_backward(&y, &mut d_bias).unwrap();
            found.extend([("swiglu", b.read(&out)), ("d_gate", b.read(&gate)), ("d_up", b.read(&up))]);
            found.extend([("biased", b.read(&y)), ("in full", b.get(&full)), ("d_bias", b.get(&d_bias))]);
        }
        found
    }
}

#[test]
fn gates_and_biases() {
    agree(&Elementwise);
}

struct Rotated;

impl Work for Rotated {
    fn on<B: Open>(&self, b: &B) -> Vec<(&'static str, Vec<f32>)> {
        let mut found = Vec::new();
        for (heads, half) in [(1, 1), (3, 4), (2, 33)] {
            let positions = [0, 1, 7, 8191, 131_071];
            let frequencies = (0..half).map(|i| 10_000_f64.powf(-(i as f64) / half as f64)).collect();
            let rotary = Rotary { frequencies, scale: 1.2 };
            let rotations = b.rotations(&b.indices(&positions).unwrap(), &rotary).unwrap();
            let mut x = b.rounded(&values(positions.len() * heads * half * 2, 1));
            b.rope(&mut x, &rotations, heads, false).unwrap();
            found.push(("rotated", b.read(&x)));
            b.rope(&mut x, &rotations, heads, true).unwrap();
            found.push(("rotated back", b.read(&x)));
        }
        found
    }
}

#[test]
fn rotations() {
    agree(&Rotated);
}

struct Indexed;

impl Work for Indexed {
    fn on<B: Open>(&self, b: &B) -> Vec<(&'static str, Vec<f32>)> {
        let mut found = Vec::new();
        for width in [1, 8, 130, 1028] {
            let rows = [4, 0, 2, 4, 4, 1, 0];
            let table = b.put(&values(5 * width, 1));
            let indices = b.indices(&rows).unwrap();
            let mut out = b.unspecified(rows.len() * width).unwrap();
            b.gather(&table, &indices, width, &mut out).unwrap();
            found.push(("gathered", b.get(&out)));
            b.embed(Matrix::Plain(&table), &indices, width, &mut out).unwrap();
            found.push(("embedded", b.get(&out)));
            b.embed(Matrix::Packed(&b.pack(&table, width).unwrap()), &indices, width, &mut out).unwrap();
            found.push(("embedded from a packed table", b.get(&out)));
            let mut d_table = b.put(&values(5 * width, 2));
            b.scatter_add(&b.put(&values(rows.len() * width, 3)), &rows, width, &mut d_table).unwrap();
            found.push(("scattered", b.get(&d_table)));
        }
        found
    }
}

#[test]
fn rows_by_index() {
    agree(&Indexed);
}

struct Optimized;

impl Work for Optimized {
    fn on<B: Open>(&self, b: &B) -> Vec<(&'static str, Vec<f32>)> {
        let lengths = [300, 7, 70_001, 7, 64];
        let host = |seed: u32| (0..).zip(lengths).map(|(i, n)| values(n, seed + i)).collect::<Vec<_>>();
        let mut weights = b.parameters(host(1)).unwrap();
        let gradients = b.upload_all(host(20)).unwrap();
        let zeros = || b.zeros_like(&weights.iter().collect::<Vec<_>>()).unwrap();
        let (mut first, mut second) = (zeros(), zeros());
        let squares = b.sum_squares(&gradients.iter().collect::<Vec<_>>()).unwrap();
        for number in 1..=3 {
            let step = AdamWStep {
                learning_rate: 0.02,
                beta1: 0.9,
                beta2: 0.95,
                epsilon: 1e-6,
                weight_decay: 0.3,
                gradient_scale: 0.7,
                step: number,
            };
            let moments = first.iter_mut().zip(&mut second);
            let tensors =
                weights.iter_mut().zip(&gradients).zip(moments).map(|((weight, gradient), moments)| {
                    let decays = b.get(gradient).len() > 7;
                    Updated { weight, gradient, first: moments.0, second: moments.1, decays }
                });
            b.adamw(&step, tensors.collect()).unwrap();
        }
        // Products read what the step left.
        let x = b.rounded(&values(64, 9));
        let mut y = b.activation(1).unwrap();
        b.linears(&x, [Matrix::Plain(&weights[4])], 64, [&mut y], Store::Replace).unwrap();
        let all = |tensors: &[B::Buffer]| tensors.iter().flat_map(|t| b.get(t)).collect::<Vec<f32>>();
        vec![
            ("weights", all(&weights)),
            ("first moments", all(&first)),
            ("second moments", all(&second)),
            ("sum of squares", vec![squares as f32]),
            ("product", b.read(&y)),
        ]
    }
}

#[test]
fn steps_of_the_optimizer() {
    agree(&Optimized);
}

#[test]
fn tensors_of_a_model_are_stepped_in_few_launches() {
    let Some(device) = device() else { return };
    let tensors = buffer::upload(&device, &[values(10, 1), values(700, 2), values(10, 3)]).unwrap();
    let arrays: Vec<&Array<f32>> = tensors.iter().map(|t| &t.values).collect();
    let all = arrays[1].joined(arrays[0], buffer::ALIGNMENT).expect("the longest lies first");
    assert_eq!(all.len(), 704 + 10);
    assert!(all.joined(arrays[2], buffer::ALIGNMENT).is_some());
    assert!(arrays[0].joined(arrays[1], buffer::ALIGNMENT).is_none());
    let apart = buffer::upload(&device, &[values(10, 1)]).unwrap();
    assert!(all.joined(&apart[0].values, buffer::ALIGNMENT).is_none());
}

/// What rows become, one kind of work after another, as bits.
fn rows_of_all<A: Element>(b: &Cuda<A>, positions: &[u32], x: &[f32], width: usize) -> Vec<Vec<u32>> {
    let (rows, n) = (positions.len(), x.len());
    let weight = b.put(&values(width, 2));
    let (mut y, mut rstd) = (b.activation(n).unwrap(), b.unspecified(rows).unwrap());
    b.rms_norm(&b.put(x), &weight, 1e-5, &mut y, &mut rstd).unwrap();
    let mut d_x = b.put(x);
    b.rms_norm_backward(&b.put(x), &weight, &rstd, &b.put(x), &mut d_x, Some(&mut b.put(&values(width, 3))))
        .unwrap();
    let (mut heads, mut d) = (b.activation(n).unwrap(), b.rounded(x));
    b.head_norm(&y, &weight, 1e-5, &mut heads, &mut rstd).unwrap();
    b.head_norm_backward(&y, &weight, &rstd, &mut d, Some(&mut b.put(&values(width, 3)))).unwrap();
    let mut gated = b.activation(n).unwrap();
    b.swiglu(&y, &heads, &mut gated).unwrap();
    b.add_bias(&weight, &mut gated).unwrap();
    let frequencies = (0..width / 2).map(|i| 0.9_f64.powi(i as i32)).collect();
    let rotary = Rotary { frequencies, scale: 1.0 };
    let mut turned = b.rounded(x);
    let rotations = b.rotations(&b.indices(positions).unwrap(), &rotary).unwrap();
    b.rope(&mut turned, &rotations, 1, false).unwrap();
    let found = [b.read(&y), b.get(&d_x), b.read(&heads), b.read(&d), b.read(&gated), b.read(&turned)];
    found.map(|x| x.into_iter().map(f32::to_bits).collect()).into()
}

fn rows_alone<A: Element>() {
    let Some(device) = device() else { return };
    let b = Cuda::<A>::new(device, Arithmetic::Exact);
    let positions: Vec<u32> = (0..70).map(|i| i * 37).collect();
    for width in [2, 30, 64, 302, 1032] {
        let x = values(positions.len() * width, 1);
        let all = rows_of_all(&b, &positions, &x, width);
        for row in [0, 33, 69] {
            let own = row * width..(row + 1) * width;
            let alone = rows_of_all(&b, &positions[row..=row], &x[own.clone()], width);
            for (work, (all, alone)) in all.iter().zip(&alone).enumerate() {
                assert!(all[own.clone()] == alone[..], "work {work} on row {row} of {width} has other bits");
            }
        }
    }
}

#[test]
fn a_row_alone_has_its_bits_among_others() {
    rows_alone::<f32>();
    rows_alone::<bf16>();
}

#[test]
fn no_rows_are_no_work() {
    let Some(device) = device() else { return };
    let b = Cuda::<bf16>::new(device, Arithmetic::Exact);
    let weight = b.put(&values(8, 1));
    let (mut y, mut rstd) = (b.activation(0).unwrap(), b.zeros(0).unwrap());
    b.rms_norm(&b.zeros(0).unwrap(), &weight, 1e-5, &mut y, &mut rstd).unwrap();
    let mut d_bias = b.put(&values(8, 1));
    b.bias_backward(&y, &mut d_bias).unwrap();
    b.scatter_add(&b.zeros(0).unwrap(), &[], 8, &mut d_bias).unwrap();
    assert_eq!(b.get(&d_bias), values(8, 1));
}
