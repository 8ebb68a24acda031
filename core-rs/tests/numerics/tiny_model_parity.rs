//! Tiny random models of each family, and scaled rotary embeddings, against transformers in float64.

use crate::fixture::{CAUSAL, Case, Run, SCORE, fixtures, folder, numbers, read, reference};
use crate::support::{Gradients, differentiate, dot, load, masked};
use rmr1_core::config::{ModelConfig, Rotary};
use rmr1_core::forest::Forest;
use rmr1_core::model::{Coefficients, ForwardOptions, Model};
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

/// Float32 rounding alone comes to 2e-5 at 1,100 tokens.
const VALUE: f64 = 1e-4;
/// Of a tensor's gradient norm, for the norm and for the projection.
const GRADIENT: f64 = 2e-4;

fn close(got: f32, wanted: f64, what: &str) {
    assert!((f64::from(got) - wanted).abs() <= VALUE, "{what}: got {got}, expected {wanted}");
}

fn check_gradients(got: &Gradients, run: &Run, what: &str) {
    let names = |keys: Vec<&String>| keys.into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(names(got.keys().collect()), names(run.gradients.keys().collect()), "{what}: tensors");
    for (name, &[norm, projection]) in &run.gradients {
        let g = &got[name];
        let ours = dot(g, g).sqrt();
        assert!((ours - norm).abs() <= GRADIENT * norm, "{what}: norm of {name} is {ours}, expected {norm}");
        let ours = dot(g, &numbers(&format!("projection:{name}"), g.len()));
        assert!(
            (ours - projection).abs() <= GRADIENT * norm,
            "{what}: projection of {name} is {ours}, expected {projection} (norm {norm})"
        );
    }
}

fn bits(gradients: &Gradients) -> Vec<(&str, Vec<u32>)> {
    gradients.iter().map(|(n, g)| (n.as_str(), g.iter().map(|x| x.to_bits()).collect())).collect()
}

fn forest_of(case: &Case) -> Forest {
    Forest::new(case.tokens.clone(), case.lengths.clone(), case.parents.clone()).unwrap()
}

/// Holds a language model against what transformers, or PEFT, says of it.
pub fn check_causal(model: &mut Model, name: &str, cases: Vec<Case>) {
    for case in cases {
        let forest = forest_of(&case);
        let d_logprobs = masked(&forest, &numbers(&format!("logprob:{}", case.name), case.tokens.len()));
        let d_entropies = masked(&forest, &numbers(&format!("entropy:{}", case.name), case.tokens.len()));
        let coefficients = Coefficients { d_logprobs, d_entropies, ..Coefficients::default() };
        for run in &case.runs {
            let what = format!("{name}, {} at temperature {}", case.name, run.temperature);
            let options =
                ForwardOptions { temperature: run.temperature, entropy: true, ..ForwardOptions::default() };
            let pass = differentiate(model, &forest, &options, &coefficients);
            for (&at, (&logprob, &entropy)) in case.listed.iter().zip(run.logprobs.iter().zip(&run.entropies))
            {
                close(pass.logprobs[at], logprob, &format!("{what}: log-probability of token {at}"));
                close(pass.entropies[at], entropy, &format!("{what}: entropy at token {at}"));
            }
            let mut start = 0;
            for (&length, &parent) in case.lengths.iter().zip(&case.parents) {
                assert_eq!(
                    pass.logprobs[start].is_nan(),
                    parent == -1,
                    "{what}: NaN where a path begins, token {start}"
                );
                start += length as usize;
            }
            check_gradients(&pass.gradients, run, &what);

            let recomputed =
                differentiate(model, &forest, &ForwardOptions { recompute: true, ..options }, &coefficients);
            assert_eq!(
                bits(&recomputed.gradients),
                bits(&pass.gradients),
                "{what}: recomputation changes gradients"
            );
        }
    }
}

#[test]
fn every_language_model() {
    for name in CAUSAL {
        check_causal(&mut load(&folder(name)), name, reference(name).cases);
    }
}

#[derive(Deserialize)]
struct Ropes {
    cases: Vec<RopeCase>,
}

/// A `config.json` and the rotary embedding that transformers makes of it.
#[derive(Deserialize)]
struct RopeCase {
    config: Value,
    frequencies: Vec<f64>,
    scale: f64,
}

#[test]
fn scaled_rotary_embeddings() {
    let ropes: Ropes = read(&fixtures().join("rope.json"));
    for RopeCase { config, frequencies, scale } in ropes.cases {
        let bytes = config.to_string().into_bytes();
        let ours = ModelConfig::from_hf_json(Path::new("rope.json"), &bytes).unwrap().rotary();
        let Rotary { frequencies: found, scale: found_scale } = ours;
        assert_eq!(found.len(), frequencies.len(), "{config}");
        for (i, (found, wanted)) in found.iter().zip(&frequencies).enumerate() {
            let error = (found / wanted - 1.0).abs();
            assert!(error < 1e-12, "{config}: frequency {i} is {found}, expected {wanted}");
        }
        assert!((found_scale - scale).abs() < 1e-12, "{config}: scale is {found_scale}, expected {scale}");
    }
}

/// As [`check_causal`], of a model with a score head.
pub fn check_scores(model: &mut Model, name: &str, cases: Vec<Case>) {
    for case in cases {
        let forest = forest_of(&case);
        let count = case.tokens.len();
        for recompute in [false, true] {
            let what = format!("{name}, {}, recompute {recompute}", case.name);
            let options = ForwardOptions {
                select: Some(vec![0; count]),
                scores: (0..count as u32).collect(),
                recompute,
                ..ForwardOptions::default()
            };
            let d_scores = numbers(&format!("score:{}", case.name), count);
            let coefficients = Coefficients { d_scores, ..Coefficients::default() };
            let pass = differentiate(model, &forest, &options, &coefficients);
            assert_eq!(pass.scores.len(), count, "{what}: scores");
            for (&at, &score) in case.listed.iter().zip(&case.runs[0].scores) {
                close(pass.scores[at], score, &format!("{what}: score at token {at}"));
            }
            check_gradients(&pass.gradients, &case.runs[0], &what);
        }
    }
}

#[test]
fn score_head() {
    check_scores(&mut load(&folder(SCORE)), SCORE, reference(SCORE).cases);
}
