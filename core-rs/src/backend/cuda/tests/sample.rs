//! Drawing tokens.

use super::super::device::Array;
use super::super::product::linear;
use super::super::{sample, vocab};
use super::{activations, device, put, values};
use crate::backend::cpu::Cpu;
use crate::backend::{Arithmetic, Backend, SampleRow, Sampled, Store, VocabHead};
use half::bf16;

const PLAIN: SampleRow =
    SampleRow { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, bias: &[], banned: &[], draw: 0.0 };

/// Every way to draw, each filter alone and together.
fn rows(vocab: usize) -> Vec<SampleRow<'static>> {
    const BIAS: &[(u32, f32)] = &[(4, 1.5), (1, -2.0), (4, 0.3), (2, f32::NEG_INFINITY)];
    let mut rows = vec![
        SampleRow { temperature: 0.0, ..PLAIN },
        SampleRow { temperature: 0.0, bias: BIAS, banned: &[0, 3, u32::MAX], ..PLAIN },
        SampleRow { temperature: 0.0, bias: &[(1, 50.0), (3, 50.0)], ..PLAIN },
        SampleRow { draw: 1.0 - f64::EPSILON, ..PLAIN },
        SampleRow { top_p: 0.0, ..PLAIN },
    ];
    for i in 0..6 {
        let plain =
            SampleRow { temperature: 0.5 + f64::from(i) * 0.2, draw: (f64::from(i) + 0.37) / 6.0, ..PLAIN };
        rows.extend([
            plain,
            SampleRow { top_k: 1, ..plain },
            SampleRow { top_k: 3 + i as usize * 5, ..plain },
            SampleRow { top_k: vocab + 1, ..plain },
            SampleRow { top_p: 0.2 + f64::from(i) * 0.13, ..plain },
            SampleRow { top_k: 40, top_p: 0.9, min_p: 0.02, ..plain },
            SampleRow { min_p: 0.05, ..plain },
            SampleRow { min_p: 1.0, ..plain },
            SampleRow { bias: BIAS, banned: &[0], top_p: 0.6, ..plain },
        ]);
    }
    rows
}

/// Whether the CPU draws this token at a draw so near that the roundings of exponentials decide.
fn near_border(logits: &[f32], row: &SampleRow, found: u32) -> bool {
    let cpu = Cpu::<f32>::new();
    let logits = cpu.upload(logits).unwrap();
    [-1e-6, 1e-6].into_iter().any(|d| {
        let draw = (row.draw + d).clamp(0.0, 1.0 - f64::EPSILON);
        cpu.sample(&logits, &[SampleRow { draw, ..*row }]).unwrap()[0].token == found
    })
}

/// Logits in steps, so that many are equal.
fn stepped(rows: usize, vocab: usize, steps: f32) -> Vec<f32> {
    values(rows * vocab, 11).iter().map(|x| (x * 6.0 * steps).round() / steps).collect()
}

fn draws(vocab: usize, steps: f32) {
    let Some(device) = device() else { return };
    let rows = rows(vocab);
    let logits = stepped(rows.len(), vocab, steps);
    let cpu = Cpu::<f32>::new();
    let expected = cpu.sample(&cpu.upload(&logits).unwrap(), &rows).unwrap();
    let found = sample::sample(&put(&device, &logits), &rows).unwrap();
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let (row, own) = (&rows[i], &logits[i * vocab..][..vocab]);
        if found.token != expected.token {
            assert!(near_border(own, row, found.token), "{row:?}: {found:?}, on the CPU {expected:?}");
        } else {
            let off = (found.logprob - expected.logprob).abs();
            assert!(
                off <= 1e-5 * expected.logprob.abs().max(1.0),
                "{row:?}: {found:?}, on the CPU {expected:?}"
            );
        }
    }
}

#[test]
fn draws_of_a_small_vocabulary() {
    draws(7, 2.0);
    draws(301, 2.0);
}

#[test]
fn draws_of_several_chunks() {
    draws(8203, 1000.0);
}

#[test]
fn filters_keep_the_set_of_the_cpu() {
    let Some(device) = device() else { return };
    let vocab = 60;
    let own = stepped(1, vocab, 1.0);
    let grid = 40;
    let cpu = Cpu::<f32>::new();
    for filter in [
        SampleRow { top_k: 7, ..PLAIN },
        SampleRow { top_p: 0.7, ..PLAIN },
        SampleRow { min_p: 0.2, ..PLAIN },
        SampleRow { top_k: 12, top_p: 0.8, min_p: 0.1, ..PLAIN },
    ] {
        let rows: Vec<SampleRow> =
            (0..grid).map(|i| SampleRow { draw: (f64::from(i) + 0.5) / f64::from(grid), ..filter }).collect();
        let logits = own.repeat(rows.len());
        let tokens = |drawn: &[Sampled]| drawn.iter().map(|s| s.token).collect::<Vec<u32>>();
        let expected = tokens(&cpu.sample(&cpu.upload(&logits).unwrap(), &rows).unwrap());
        let found = tokens(&sample::sample(&put(&device, &logits), &rows).unwrap());
        for ((found, expected), row) in found.iter().zip(&expected).zip(&rows) {
            assert!(
                found == expected || near_border(&own, row, *found),
                "{row:?}: {found}, on the CPU {expected}"
            );
        }
    }
}

#[test]
fn logprobs_have_the_bits_of_the_head() {
    let Some(device) = device() else { return };
    let (rows, width, vocab) = (5, 16, 8203);
    let hidden = put(&device, &activations::<bf16>(&values(rows * width, 1)));
    let weight = put(&device, &activations::<bf16>(&values(vocab * width, 2)));
    let mut logits = Array::<f32>::unspecified(&device, rows * vocab).unwrap();
    linear(Arithmetic::Exact, &hidden, &weight, width, &mut logits, Store::Replace).unwrap();
    for temperature in [1.0, 0.6] {
        let row = |i: usize| SampleRow { temperature, draw: i as f64 / rows as f64, ..PLAIN };
        let drawn = sample::sample(&logits, &(0..rows).map(row).collect::<Vec<_>>()).unwrap();
        let targets: Vec<u32> = drawn.iter().map(|s| s.token).collect();
        let head = VocabHead { width, vocab, temperature };
        let scored = vocab::forward(Arithmetic::Exact, &hidden, &weight, &targets, head).unwrap();
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
        let drawn: Vec<f32> = drawn.iter().map(|s| s.logprob).collect();
        assert_eq!(bits(&drawn), bits(&scored.logprobs));
        let last = hidden.part((rows - 1) * width..rows * width);
        let alone = vocab::forward(Arithmetic::Exact, &last, &weight, &targets[rows - 1..], head).unwrap();
        assert_eq!(drawn[rows - 1].to_bits(), alone.logprobs[0].to_bits());
    }
}

#[test]
fn no_rows() {
    let Some(device) = device() else { return };
    assert!(sample::sample(&put(&device, &[]), &[]).unwrap().is_empty());
}
