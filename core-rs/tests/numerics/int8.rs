//! A model in 8-bit integers: as deterministic as the others, near the model that it rounds, and for inference alone.

use crate::fixture::{CAUSAL, folder, tokens};
use crate::support::{bits, dot, generate, load, logprobs, request, smollm2, smollm2_path};
use rmr1_core::backend::{Device, set_threads};
use rmr1_core::forest::Forest;
use rmr1_core::model::{FrozenModel, InferencePrecision, LanguageModel};

/// Half a unit of an 8-bit integer with a sign, relative to the largest number of its run.
const ROUNDING: f64 = 1.0 / 254.0;

/// Log-probabilities of a forest do not depend on the batch, and what the sampler records is what a forward pass
/// gives.
fn check(model: &FrozenModel, vocab: usize, what: &str) {
    assert_eq!(model.precision(), InferencePrecision::Int8);
    let prompt = tokens("int8", 9, vocab);
    let requests: Vec<_> = (0..7).map(|i| request(&prompt, 1.0, i)).collect();
    let all = generate(model, &requests);
    for (i, rollout) in all.iter().enumerate() {
        let alone = &generate(model, &requests[i..=i])[0];
        assert_eq!((&rollout.tokens, bits(&rollout.logprobs)), (&alone.tokens, bits(&alone.logprobs)));
        let forest = Forest::flat(&[[&prompt[..], &rollout.tokens].concat()]).unwrap();
        let forward = logprobs(model, &forest, 1.0);
        assert_eq!(bits(&forward[prompt.len()..]), bits(&rollout.logprobs), "{what}: rollout {i}");
    }
}

/// Distance of log-probabilities, relative to their size.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let defined = |x: &[f32]| x.iter().copied().filter(|x| !x.is_nan()).collect::<Vec<f32>>();
    let (a, b) = (defined(a), defined(b));
    let gap: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
    (dot(&gap, &gap) / dot(&a, &a)).sqrt()
}

#[test]
fn tiny_models_are_near_what_they_round() {
    for name in CAUSAL {
        let model = load(&folder(name));
        let snapshot = model.snapshot(Some(InferencePrecision::Int8)).unwrap();
        check(&snapshot, 97, name);
        let file = FrozenModel::load(&folder(name), Device::Cpu, InferencePrecision::Int8).unwrap();
        let forest = Forest::flat(&[tokens("int8", 60, 97)]).unwrap();
        let [full, rounded, loaded] =
            [&model as &dyn LanguageModel, &snapshot, &file].map(|model| logprobs(model, &forest, 1.0));
        assert_eq!(bits(&rounded), bits(&loaded), "{name}: a snapshot and the file");
        let apart = distance(&full, &rounded);
        assert!(apart > 0.0 && apart < 8.0 * ROUNDING, "{name}: {apart:.5} apart");
    }
}

#[test]
fn smollm2_is_near_what_it_rounds() {
    let Some(model) = smollm2("smollm2_is_near_what_it_rounds") else { return };
    let forest = Forest::flat(&[tokens("int8", 200, 49152)]).unwrap();
    let full = logprobs(&*model, &forest, 1.0);
    // The file's own integers of 4 bits, and f32 weights rounded to 8.
    let quantised =
        FrozenModel::load(&smollm2_path().unwrap(), Device::Cpu, InferencePrecision::Int8).unwrap();
    let snapshot = model.snapshot(Some(InferencePrecision::Int8)).unwrap();
    for (what, rounded) in [("the file", quantised), ("a snapshot", snapshot)] {
        check(&rounded, 49152, what);
        let apart = distance(&full, &logprobs(&rounded, &forest, 1.0));
        assert!(apart > 0.0 && apart < 8.0 * ROUNDING, "{what}: {apart:.5} apart");
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    let model = load(&folder(CAUSAL[0])).snapshot(Some(InferencePrecision::Int8)).unwrap();
    let forest = Forest::flat(&[tokens("int8", 300, 97), tokens("threads", 80, 97)]).unwrap();
    let [one, two] = [1, 2].map(|threads| {
        set_threads(threads);
        bits(&logprobs(&model, &forest, 1.0))
    });
    set_threads(0);
    assert_eq!(one, two);
}
