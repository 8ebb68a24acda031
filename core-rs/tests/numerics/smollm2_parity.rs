//! SmolLM2-135M-Instruct, from its Q4_1 GGUF, against transformers in float32.

use crate::fixture::{fixtures, read};
use crate::support::{differentiate, dot, generate, request, smollm2};
use rmr1_core::forest::Forest;
use rmr1_core::generate::Request;
use rmr1_core::model::{Coefficients, ForwardOptions, LanguageModel};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Reference {
    ids: Vec<u32>,
    last_top20_ids: Vec<usize>,
    last_top20_logits: Vec<f64>,
    token_nll: Vec<f64>,
    mean_nll: f64,
    gradient_norm: f64,
    gradient_norms: BTreeMap<String, f64>,
    greedy_tokens: Vec<u32>,
}

fn reference() -> Reference {
    read(&fixtures().join("smollm2_reference.json"))
}

fn assert_relative(got: f64, wanted: f64, tolerance: f64, what: &str) {
    assert!((got - wanted).abs() <= tolerance * wanted.abs(), "{what}: got {got}, expected {wanted}");
}

#[test]
fn smollm2_logits() {
    let Some(model) = smollm2("smollm2_logits") else { return };
    let reference = reference();
    let forest = Forest::flat(std::slice::from_ref(&reference.ids)).unwrap();
    let logits = model.logits(&forest, &[reference.ids.len() as u32 - 1]).unwrap();
    for (&id, &wanted) in reference.last_top20_ids.iter().zip(&reference.last_top20_logits) {
        assert!(
            (f64::from(logits[id]) - wanted).abs() <= 1e-3,
            "logit {id}: got {}, expected {wanted}",
            logits[id]
        );
    }
    let twentieth = reference.last_top20_logits[19] as f32;
    let above = logits.iter().filter(|&&x| x > twentieth + 1e-3).count();
    assert!(above <= 19, "{above} logits exceed the twentieth of the reference, expected at most 19");
}

#[test]
fn smollm2_nll_and_gradients() {
    let Some(mut model) = smollm2("smollm2_nll_and_gradients") else { return };
    let reference = reference();
    let forest = Forest::flat(std::slice::from_ref(&reference.ids)).unwrap();
    let targets = reference.ids.len() - 1;
    let mut d_logprobs = vec![-1.0 / targets as f32; reference.ids.len()];
    d_logprobs[0] = 0.0;
    let coefficients = Coefficients { d_logprobs, ..Coefficients::default() };
    let pass = differentiate(&mut model, &forest, &ForwardOptions::default(), &coefficients);
    for (t, (&logprob, &nll)) in pass.logprobs[1..].iter().zip(&reference.token_nll).enumerate() {
        assert!(
            (f64::from(-logprob) - nll).abs() <= 1e-3,
            "NLL of token {}: got {}, expected {nll}",
            t + 1,
            -logprob
        );
    }
    let mean = -pass.logprobs[1..].iter().map(|&x| f64::from(x)).sum::<f64>() / targets as f64;
    assert!(
        (mean - reference.mean_nll).abs() <= 1e-4,
        "mean NLL: got {mean}, expected {}",
        reference.mean_nll
    );

    assert!(pass.gradients.keys().eq(reference.gradient_norms.keys()), "tensors differ");
    let mut square = 0.0;
    for (name, &wanted) in &reference.gradient_norms {
        let g = &pass.gradients[name];
        square += dot(g, g);
        assert_relative(dot(g, g).sqrt(), wanted, 1e-3, &format!("gradient norm of {name}"));
    }
    assert_relative(square.sqrt(), reference.gradient_norm, 1e-3, "gradient norm of all tensors");
}

#[test]
fn smollm2_greedy_tokens() {
    let Some(model) = smollm2("smollm2_greedy_tokens") else { return };
    let reference = reference();
    let wanted = &reference.greedy_tokens;
    let greedy = Request { max_tokens: wanted.len(), ignore_eos: true, ..request(&reference.ids, 0.0, 0) };
    assert_eq!(&generate(&*model, &[greedy])[0].tokens, wanted);
}
