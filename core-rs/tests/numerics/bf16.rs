//! bfloat16 beside f32: rounding to 8 bits of precision, and nothing else.

use crate::fixture::{CAUSAL, folder, numbers, tokens};
use crate::support::{PRECISIONS, Pass, differentiate, dot, load_at, masked, smollm2_at};
use rmr1_core::cancel::Cancel;
use rmr1_core::forest::Forest;
use rmr1_core::model::{Coefficients, ForwardOptions, Model};

/// Half a unit in the last place of a number in \[1, 2): what rounding changes at most, relative to the number.
const ROUNDING: f64 = 1.0 / 256.0;

fn pass(model: &mut Model, vocab: usize) -> Pass {
    let lengths = vec![40_u32, 20, 7, 30];
    let total = lengths.iter().sum::<u32>() as usize;
    let forest = Forest::new(tokens("bf16", total, vocab), lengths, vec![-1, 0, 0, -1]).unwrap();
    let d_logprobs = masked(&forest, &numbers("bf16", total));
    let coefficients = Coefficients { d_logprobs, ..Coefficients::default() };
    differentiate(model, &forest, &ForwardOptions { entropy: true, ..Default::default() }, &coefficients)
}

/// Holds log-probabilities to some roundings of their size, and each gradient to an angle.
fn compare(f32: &Pass, bf16: &Pass, depth: f64, what: &str) {
    let defined = |p: &Pass| p.logprobs.iter().copied().filter(|x| !x.is_nan()).collect::<Vec<f32>>();
    let (exact, rounded) = (defined(f32), defined(bf16));
    let gap: Vec<f32> = exact.iter().zip(&rounded).map(|(a, b)| a - b).collect();
    let apart = (dot(&gap, &gap) / dot(&exact, &exact)).sqrt();
    assert!(apart > 0.0, "{what}: bf16 gives the bits of f32");
    assert!(apart < depth * ROUNDING, "{what}: log-probabilities are {apart:.5} of their size apart");
    for (name, x) in &f32.gradients {
        let y = &bf16.gradients[name];
        let cosine = dot(x, y) / (dot(x, x) * dot(y, y)).sqrt();
        assert!(cosine > 1.0 - 8.0 * ROUNDING, "{what}: the gradient of {name} turns: cosine {cosine:.5}");
    }
}

#[test]
fn tiny_models_agree_with_f32_up_to_rounding() {
    for name in CAUSAL {
        let [f32, bf16] = PRECISIONS.map(|precision| pass(&mut load_at(&folder(name), precision), 97));
        compare(&f32, &bf16, 4.0, name);
    }
}

#[test]
fn smollm2_agrees_with_f32_up_to_rounding() {
    let passes = PRECISIONS.map(|precision| {
        smollm2_at("smollm2_agrees_with_f32_up_to_rounding", precision)
            .map(|mut model| pass(&mut model, 49152))
    });
    let [Some(f32), Some(bf16)] = passes else { return };
    compare(&f32, &bf16, 30.0, "SmolLM2");
}

#[test]
fn a_tape_is_of_its_models_precision() {
    let [f32, mut bf16] = PRECISIONS.map(|precision| load_at(&folder(CAUSAL[0]), precision));
    let forest = Forest::flat(&[tokens("tape", 5, 97)]).unwrap();
    let tape = f32.forward(&forest, &ForwardOptions::default(), &Cancel::new()).unwrap();
    let refused = bf16.backward(&tape, &Coefficients::default(), &Cancel::new()).unwrap_err().to_string();
    assert!(refused.contains("another precision"), "{refused}");
}
