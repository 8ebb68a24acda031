//! Every backward against central differences in f64.

use super::Cpu;
use super::pool::Buffer;
use crate::backend::{AdamWStep, Backend, Heads, Mask, Matrix, Store, Updated, VocabHead};
use crate::config::Rotary;
use crate::forest::{Forest, Layout};

const B: fn() -> Cpu<f64> = Cpu::<f64>::new;

/// Deterministic values in (−1, 1).
fn values(n: usize, seed: u32) -> Buffer<f64> {
    (0..n).map(|i| (f64::from(seed) * 12.9898 + i as f64 * 78.233).sin() * 0.99).collect::<Vec<_>>().into()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Holds `gradient` against the central difference of `loss` in each element of `x`.
fn check(what: &str, x: &[f64], gradient: &[f64], mut loss: impl FnMut(&Buffer<f64>) -> f64) {
    const H: f64 = 1e-5;
    assert_eq!(x.len(), gradient.len(), "{what}");
    let mut moved = Buffer::from(x.to_vec());
    for i in 0..x.len() {
        moved[i] = x[i] + H;
        let up = loss(&moved);
        moved[i] = x[i] - H;
        let down = loss(&moved);
        moved[i] = x[i];
        let slope = (up - down) / (2.0 * H);
        let error = (slope - gradient[i]).abs() / (1.0 + slope.abs());
        assert!(error < 1e-8, "{what}[{i}]: {} against {slope} by differences", gradient[i]);
    }
}

#[test]
fn gather_and_scatter() {
    let (width, rows) = (3, [2_u32, 0, 2]);
    let (table, c) = (values(12, 1), values(9, 2));
    let mut d = B().zeros(12).unwrap();
    B().scatter_add(&c, &rows, width, &mut d).unwrap();
    check("table", &table, &d, |table| {
        let mut out = B().zeros(9).unwrap();
        B().gather(table, &rows.to_vec(), width, &mut out).unwrap();
        dot(&out, &c)
    });
}

#[test]
fn rms_norm() {
    let (rows, width, epsilon) = (3, 5, 1e-3);
    let (x, w, c) = (values(rows * width, 1), values(width, 2), values(rows * width, 3));
    let run = |x: &Buffer<f64>, w: &Buffer<f64>| {
        let (mut y, mut rstd) = (B().zeros(rows * width).unwrap(), B().zeros(rows).unwrap());
        B().rms_norm(x, w, epsilon, &mut y, &mut rstd).unwrap();
        (y, rstd)
    };
    let (mut d_x, mut d_w) = (B().zeros(rows * width).unwrap(), B().zeros(width).unwrap());
    B().rms_norm_backward(&x, &w, &run(&x, &w).1, &c, &mut d_x, Some(&mut d_w)).unwrap();
    check("x", &x, &d_x, |x| dot(&run(x, &w).0, &c));
    check("weight", &w, &d_w, |w| dot(&run(&x, w).0, &c));
}

#[test]
fn linear() {
    let (rows, inputs, outputs) = (4, 5, 3);
    let (x, w, c) = (values(rows * inputs, 1), values(outputs * inputs, 2), values(rows * outputs, 3));
    let run = |x: &Buffer<f64>, w: &Buffer<f64>| {
        let mut y = B().zeros(rows * outputs).unwrap();
        B().linears(x, [Matrix::Plain(w)], inputs, [&mut y], Store::Replace).unwrap();
        y
    };
    let (mut d_x, mut d_w) = (B().zeros(rows * inputs).unwrap(), B().zeros(outputs * inputs).unwrap());
    B().linear_dx(&c, &w, inputs, &mut d_x, Store::Replace).unwrap();
    B().linear_dw(&x, &c, inputs, &mut d_w).unwrap();
    check("x", &x, &d_x, |x| dot(&run(x, &w), &c));
    check("weight", &w, &d_w, |w| dot(&run(&x, w), &c));
    let mut packed = B().zeros(rows * outputs).unwrap();
    B().linears(&x, [Matrix::Packed(&B().pack(&w, inputs).unwrap())], inputs, [&mut packed], Store::Replace)
        .unwrap();
    assert_eq!(packed, run(&x, &w));
}

#[test]
fn dropout() {
    // More elements than a task has, and no whole number of runs.
    let n = (1 << 14) + 7;
    let mask = Mask::new([1, 2], [3, 4], 0.4);
    let (x, c) = (values(n, 1), values(n, 2));
    let mut d_x = values(n, 3);
    B().dropout_backward(&c, &mask, &mut d_x).unwrap();
    let (start, y) = (values(n, 3), B().dropout(&x, &mask).unwrap());
    for i in 0..n {
        let factor = if y[i] == 0.0 { 0.0 } else { 1.0 / 0.6 };
        assert_eq!(y[i], x[i] * factor, "{i}");
        assert!((d_x[i] - start[i] - c[i] * factor).abs() < 1e-12, "{i}");
    }
}

#[test]
fn frozen_weights_change_no_gradient_of_what_they_multiply() {
    let (rows, width, vocab) = (3, 4, 9);
    let (x, w, d_y) = (values(rows * width, 1), values(width, 2), values(rows * width, 3));
    let (mut y, mut rstd) = (B().zeros(rows * width).unwrap(), B().zeros(rows).unwrap());
    B().rms_norm(&x, &w, 1e-3, &mut y, &mut rstd).unwrap();
    let norm = |d_w: Option<&mut Buffer<f64>>| {
        let mut d_x = values(rows * width, 4);
        B().rms_norm_backward(&x, &w, &rstd, &d_y, &mut d_x, d_w).unwrap();
        d_x
    };
    let head_norm = |d_w: Option<&mut Buffer<f64>>| {
        let mut d = d_y.clone();
        B().head_norm_backward(&x, &w, &rstd, &mut d, d_w).unwrap();
        d
    };
    let head = VocabHead { width, vocab, temperature: 0.7 };
    let (table, targets) = (values(vocab * width, 5), [0, 8, 4]);
    let forward = B().vocab_forward(&x, Matrix::Plain(&table), &targets, head).unwrap();
    let coefficients = (&values(rows, 6)[..], &values(rows, 7)[..]);
    let vocab_head = |d_w: Option<&mut Buffer<f64>>| {
        let mut d_x = values(rows * width, 4);
        B().vocab_backward(&x, &table, &targets, head, &forward, coefficients, &mut d_x, d_w).unwrap();
        d_x
    };
    assert_eq!(norm(None), norm(Some(&mut w.clone())));
    assert_eq!(head_norm(None), head_norm(Some(&mut w.clone())));
    assert_eq!(vocab_head(None), vocab_head(Some(&mut table.clone())));
}

#[test]
fn bias() {
    // More columns than a task has.
    let (rows, width) = (5, 70);
    let (x, bias, c) = (values(rows * width, 1), values(width, 2), values(rows * width, 3));
    let mut d_bias = B().zeros(width).unwrap();
    B().bias_backward(&c, &mut d_bias).unwrap();
    check("bias", &bias, &d_bias, |bias| {
        let mut y = x.clone();
        B().add_bias(bias, &mut y).unwrap();
        dot(&y, &c)
    });
}

#[test]
fn rope() {
    let (heads, head_dim, positions) = (2, 4, [0_u32, 3, 11]);
    let n = positions.len() * heads * head_dim;
    let (x, c) = (values(n, 1), values(n, 2));
    let rotations =
        B().rotations(&positions.to_vec(), &Rotary { frequencies: vec![1.0, 0.1], scale: 1.3 }).unwrap();
    let mut d = c.clone();
    B().rope(&mut d, &rotations, heads, true).unwrap();
    check("x", &x, &d, |x| {
        let mut y = x.clone();
        B().rope(&mut y, &rotations, heads, false).unwrap();
        dot(&y, &c)
    });
}

#[test]
fn swiglu() {
    let n = 9;
    let (gate, up, c) = (values(n, 1), values(n, 2), values(n, 3));
    let run = |gate: &Buffer<f64>, up: &Buffer<f64>| {
        let mut out = B().zeros(n).unwrap();
        B().swiglu(gate, up, &mut out).unwrap();
        dot(&out, &c)
    };
    let (mut d_gate, mut d_up) = (gate.clone(), up.clone());
    B().swiglu_backward(&mut d_gate, &mut d_up, &c).unwrap();
    check("gate", &gate, &d_gate, |gate| run(gate, &up));
    check("up", &up, &d_up, |up| run(&gate, up));
}

/// A shared prompt, two rollouts, a child of the second, and a root of its own; one segment is longer than a tile.
fn forest() -> Layout {
    let lengths = vec![5, 3, 40, 2, 4];
    let n: u32 = lengths.iter().sum();
    Layout::new(&Forest::new(vec![0; n as usize], lengths, vec![-1, 0, 0, 2, -1]).unwrap())
}

const HEADS: Heads = Heads { heads: 4, kv_heads: 2, head_dim: 3 };

fn attend(q: &Buffer<f64>, k: &Buffer<f64>, v: &Buffer<f64>) -> (Buffer<f64>, Buffer<f64>) {
    let n = q.len() / (HEADS.heads * HEADS.head_dim);
    let (mut out, mut log_sums) = (B().zeros(q.len()).unwrap(), B().zeros(n * HEADS.heads).unwrap());
    B().attention([q, k, v], &forest(), HEADS, &mut out, &mut log_sums).unwrap();
    (out, log_sums)
}

/// The definition, one query and one key at a time.
#[test]
fn attention_is_its_definition() {
    let layout = forest();
    let n = layout.positions.len();
    let Heads { heads, kv_heads, head_dim } = HEADS;
    let q = values(n * heads * head_dim, 1);
    let (k, v) = (values(n * kv_heads * head_dim, 2), values(n * kv_heads * head_dim, 3));
    let (out, log_sums) = attend(&q, &k, &v);
    for t in 0..n {
        let mut path = vec![t];
        while let Some(before) = layout.previous[*path.last().unwrap()] {
            path.push(before as usize);
        }
        for h in 0..heads {
            let query = &q[(t * heads + h) * head_dim..][..head_dim];
            let at = |j: usize| (j * kv_heads + h / HEADS.group()) * head_dim;
            let score = |j: usize| dot(query, &k[at(j)..at(j) + head_dim]) / (head_dim as f64).sqrt();
            let sum: f64 = path.iter().map(|&j| score(j).exp()).sum();
            assert!((log_sums[t * heads + h] - sum.ln()).abs() < 1e-12);
            for i in 0..head_dim {
                let expected: f64 = path.iter().map(|&j| score(j).exp() / sum * v[at(j) + i]).sum();
                assert!((out[(t * heads + h) * head_dim + i] - expected).abs() < 1e-12);
            }
        }
    }
}

#[test]
fn attention() {
    let layout = forest();
    let n = layout.positions.len();
    let Heads { heads, kv_heads, head_dim } = HEADS;
    let q = values(n * heads * head_dim, 1);
    let (k, v) = (values(n * kv_heads * head_dim, 2), values(n * kv_heads * head_dim, 3));
    let c = values(q.len(), 4);
    let (out, log_sums) = attend(&q, &k, &v);
    let (mut d_q, mut d_k, mut d_v) =
        (B().zeros(q.len()).unwrap(), B().zeros(k.len()).unwrap(), B().zeros(v.len()).unwrap());
    B().attention_backward([&q, &k, &v], &out, &log_sums, &c, &layout, HEADS, [&mut d_q, &mut d_k, &mut d_v])
        .unwrap();
    check("q", &q, &d_q, |q| dot(&attend(q, &k, &v).0, &c));
    check("k", &k, &d_k, |k| dot(&attend(&q, k, &v).0, &c));
    check("v", &v, &d_v, |v| dot(&attend(&q, &k, v).0, &c));
}

#[test]
fn vocab_head() {
    let (rows, width) = (3, 4);
    // More columns than a chunk, so that sums are carried over.
    let vocab = 2050;
    let head = VocabHead { width, vocab, temperature: 0.7 };
    let (x, w) = (values(rows * width, 1), values(vocab * width, 2));
    let targets = [0, 2049, 2047];
    let (c, e) = (values(rows, 3), values(rows, 4));
    let loss = |x: &Buffer<f64>, w: &Buffer<f64>| {
        let y = B().vocab_forward(x, Matrix::Plain(w), &targets, head).unwrap();
        dot(&y.logprobs, &c) + dot(&y.entropies, &e)
    };
    let forward = B().vocab_forward(&x, Matrix::Plain(&w), &targets, head).unwrap();
    let (mut d_x, mut d_w) = (B().zeros(x.len()).unwrap(), B().zeros(w.len()).unwrap());
    B().vocab_backward(&x, &w, &targets, head, &forward, (&c, &e), &mut d_x, Some(&mut d_w)).unwrap();
    check("hidden", &x, &d_x, |x| loss(x, &w));
    // The targets' rows and a few others.
    let some = |v: &[f64]| [&v[..8], &v[2046 * width..]].concat();
    check("weight", &some(&w), &some(&d_w), |part| {
        let mut whole = w.clone();
        whole[..8].copy_from_slice(&part[..8]);
        whole[2046 * width..].copy_from_slice(&part[8..]);
        loss(&x, &whole)
    });
    for r in 0..rows {
        let logits: Vec<f64> = (0..vocab)
            .map(|j| dot(&x[r * width..(r + 1) * width], &w[j * width..(j + 1) * width]) / 0.7)
            .collect();
        let sum: f64 = logits.iter().map(|z| z.exp()).sum();
        let entropy: f64 = logits.iter().map(|z| -(z.exp() / sum) * (z - sum.ln())).sum();
        assert!((forward.logprobs[r] - (logits[targets[r] as usize] - sum.ln())).abs() < 1e-12);
        assert!((forward.entropies[r] - entropy).abs() < 1e-12);
    }
}

/// The rule as the paper writes it (Loshchilov & Hutter 2019, algorithm 2), for a tensor that decays and one that does
/// not.
#[test]
fn adamw_is_its_definition() {
    let sizes = [7, 4];
    let mut tensors = sizes.map(|n| [values(n, 1), B().zeros(n).unwrap(), B().zeros(n).unwrap()]);
    let mut expected = tensors.clone();
    for step in 1..=5 {
        let gradients = sizes.map(|n| values(n, 10 + step));
        let s = AdamWStep {
            learning_rate: 0.1,
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-3,
            weight_decay: 0.2,
            gradient_scale: 0.5,
            step: u64::from(step),
        };
        let updated =
            tensors.iter_mut().zip(&gradients).enumerate().map(|(t, ([weight, first, second], gradient))| {
                Updated { weight, gradient, first, second, decays: t == 0 }
            });
        B().adamw(&s, updated.collect()).unwrap();
        for (t, ([w, m, v], g)) in expected.iter_mut().zip(&gradients).enumerate() {
            let decay = if t == 0 { 0.2 } else { 0.0 };
            for i in 0..w.len() {
                let g = g[i] * 0.5;
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.95 * v[i] + 0.05 * g * g;
                let (mean, square) =
                    (m[i] / (1.0 - 0.9_f64.powi(step as i32)), v[i] / (1.0 - 0.95_f64.powi(step as i32)));
                w[i] -= 0.1 * (mean / (square.sqrt() + 1e-3) + decay * w[i]);
                assert!((tensors[t][0][i] - w[i]).abs() < 1e-12);
            }
        }
    }
}

#[test]
fn the_norm_is_that_of_all_tensors_together() {
    let (a, b) = (values(5, 1), values(40_000, 2));
    let squares = B().sum_squares(&[&a, &b]).unwrap();
    assert!((squares - dot(&a, &a) - dot(&b, &b)).abs() < 1e-9 * squares);
}
