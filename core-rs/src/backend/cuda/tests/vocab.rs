//! The vocabulary head.

use super::super::device::Device;
use super::super::element::Element;
use super::super::vocab;
use super::{activations, close, device, put, tolerance, values};
use crate::backend::cpu::{Cpu, stored};
use crate::backend::{Arithmetic, Backend, Matrix, VocabHead, VocabRows};
use half::bf16;

struct Inputs<A> {
    head: VocabHead,
    hidden: Vec<A>,
    weight: Vec<A>,
    targets: Vec<u32>,
}

fn inputs<A: Element>(rows: usize, head: VocabHead) -> Inputs<A> {
    let hidden: Vec<f32> = values(rows * head.width, 3).iter().map(|x| 3.0 * x).collect();
    Inputs {
        head,
        hidden: activations(&hidden),
        weight: activations(&values(head.vocab * head.width, 4)),
        targets: (0..rows).map(|row| ((row * 7919 + 13) % head.vocab) as u32).collect(),
    }
}

fn forward<A: Element>(device: &Device, given: &Inputs<A>, rows: usize) -> VocabRows<f32> {
    let hidden = put(device, &given.hidden[..rows * given.head.width]);
    let weight = put(device, &given.weight);
    vocab::forward(Arithmetic::Exact, &hidden, &weight, &given.targets[..rows], given.head).unwrap()
}

/// Rows, and heads of less than a chunk, of odd width, and of several chunks.
const CASES: [(usize, VocabHead); 4] = [
    (0, VocabHead { width: 8, vocab: 16, temperature: 1.0 }),
    (1, VocabHead { width: 8, vocab: 5, temperature: 1.0 }),
    (19, VocabHead { width: 33, vocab: 301, temperature: 0.7 }),
    (3, VocabHead { width: 8, vocab: 8195, temperature: 1.3 }),
];

fn parity<A: Element + stored::Element<f32>>() {
    let Some(device) = device() else { return };
    for (rows, head) in CASES {
        let given = inputs::<A>(rows, head);
        let cpu = Cpu::<f32, A>::new();
        let wide: Vec<f32> = given.weight.iter().map(|x| Element::widen(*x)).collect();
        let wide = cpu.upload(&wide).unwrap();
        let hidden = given.hidden.clone().into();
        let expected = cpu.vocab_forward(&hidden, Matrix::Plain(&wide), &given.targets, head).unwrap();
        let found = forward(&device, &given, rows);
        close("logprobs", &found.logprobs, &expected.logprobs, 1e-5);
        close("entropies", &found.entropies, &expected.entropies, 1e-5);
        close("log sums", &found.log_sums, &expected.log_sums, 1e-5);

        let coefficients = (values(rows, 5), values(rows, 6));
        let coefficients = (&coefficients.0[..], &coefficients.1[..]);
        let (start_hidden, start_weight) = (values(rows * head.width, 7), values(head.vocab * head.width, 8));
        let (mut d_hidden, mut d_weight) =
            (cpu.upload(&start_hidden).unwrap(), cpu.upload(&start_weight).unwrap());
        cpu.vocab_backward(
            &hidden,
            &wide,
            &given.targets,
            head,
            &expected,
            coefficients,
            &mut d_hidden,
            Some(&mut d_weight),
        )
        .unwrap();
        let mut found_hidden = put(&device, &start_hidden);
        let mut found_weight = put(&device, &start_weight);
        for arithmetic in [Arithmetic::Exact, Arithmetic::Fast] {
            found_hidden.set(&start_hidden).unwrap();
            found_weight.set(&start_weight).unwrap();
            vocab::backward(
                arithmetic,
                &put(&device, &given.hidden),
                &put(&device, &given.weight),
                &given.targets,
                head,
                &found,
                coefficients,
                &mut found_hidden,
                Some(&mut found_weight),
            )
            .unwrap();
            let change = |after: &[f32], before: &[f32]| -> Vec<f32> {
                after.iter().zip(before).map(|(a, b)| a - b).collect()
            };
            for (what, found, expected, start) in [
                ("d_hidden", &found_hidden, &d_hidden, &start_hidden),
                ("d_weight", &found_weight, &d_weight, &start_weight),
            ] {
                let found = change(&found.download().unwrap(), start);
                close(what, &found, &change(expected, start), tolerance::<A>());
            }
        }
    }
}

#[test]
fn heads_of_f32() {
    parity::<f32>();
}

#[test]
fn heads_of_bf16() {
    parity::<bf16>();
}

fn alone<A: Element>() {
    let Some(device) = device() else { return };
    let (rows, head) = CASES[2];
    let given = inputs::<A>(rows, head);
    let (one, all) = (forward(&device, &given, 1), forward(&device, &given, rows));
    let bits =
        |rows: &VocabRows<f32>| [rows.logprobs[0], rows.entropies[0], rows.log_sums[0]].map(f32::to_bits);
    assert_eq!(bits(&one), bits(&all));
}

#[test]
fn a_row_has_its_bits_among_any_others() {
    alone::<f32>();
    alone::<bf16>();
}
