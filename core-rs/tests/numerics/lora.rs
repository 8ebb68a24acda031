//! Low-rank adapters: against PEFT, in sampling and training, and in their files.

use crate::fixture::{CAUSAL, Reference, fixtures, folder, read, tokens};
use crate::sampler_trainer::{batch, check};
use crate::support::{PRECISIONS, adapt, bits, generate, load, load_at, logprobs, train};
use crate::tiny_model_parity::{check_causal, check_scores};
use rmr1_core::Error;
use rmr1_core::backend::InferencePrecision;
use rmr1_core::cancel::Cancel;
use rmr1_core::forest::Forest;
use rmr1_core::model::{
    ForwardOptions, LanguageModel, LoraShape, Model, Precision, SaveOptions, SavedAdapters, Target,
};
use rmr1_core::weights::Dtype;
use std::path::Path;

const SOME: [Target; 3] = [Target::V, Target::O, Target::Up];
const MERGED: SaveOptions =
    SaveOptions { dtype: Dtype::F32, optimizer: false, adapters: Some(SavedAdapters::Merged) };
const WITH_OPTIMIZER: SaveOptions = SaveOptions { dtype: Dtype::F32, optimizer: true, adapters: None };

/// Names and bits of all tensors.
fn tensors(model: &Model) -> Vec<(String, Vec<u32>)> {
    model.tensors().unwrap().into_iter().map(|(name, x)| (name, bits(&x))).collect()
}

/// The tensors that are not trained.
fn frozen(model: &Model) -> Vec<(String, Vec<u32>)> {
    let kept = |(name, _): &(String, _)| !name.contains(".lora_") && name != "score.weight";
    tensors(model).into_iter().filter(kept).collect()
}

fn text() -> Vec<u32> {
    tokens("adapters", 30, 97)
}

fn adapted(name: &str, precision: Precision) -> Model {
    let mut model = load_at(&folder(name), precision);
    adapt(&mut model, 3, &Target::ALL, &text());
    model
}

fn refusal<T>(result: Result<T, Error>) -> String {
    result.err().expect("it should have been refused").to_string()
}

#[test]
fn adapters_of_peft_are_what_peft_says() {
    for (name, base) in [("causal", "llama_biases_llama3_f32"), ("score", "score_f32")] {
        let dir = fixtures().join("adapters").join(name);
        let Reference { cases } = read(&dir.with_extension("json"));
        let mut model = load(&folder(base));
        model.restore(&dir).unwrap();
        match name {
            "score" => check_scores(&mut model, name, cases),
            _ => check_causal(&mut model, name, cases),
        }
    }
}

#[test]
fn the_sampler_is_the_trainer_with_adapters_on() {
    for (name, precision) in CAUSAL.into_iter().flat_map(|name| PRECISIONS.map(|p| (name, p))) {
        let mut model = load_at(&folder(name), precision);
        // Ranks that are no multiple of what a product takes at a time, and one that is.
        let (rank, targets) = match name.len() % 3 {
            0 => (1, &SOME[..]),
            1 => (3, &Target::ALL[..]),
            _ => (16, &Target::ALL[..]),
        };
        adapt(&mut model, rank, targets, &text());
        for size in [1, 3, 16] {
            let requests = batch(size, 0.7, 20, 97, 30);
            let what = format!("{name} at {precision:?}, rank {rank}, batch {size}");
            check(&model, &requests, &generate(&*model, &requests), 0.7, &what);
        }
    }
}

#[test]
fn new_adapters_change_no_bit_and_trained_ones_leave_the_weights() {
    for precision in PRECISIONS {
        let mut model = load_at(&folder(CAUSAL[0]), precision);
        let forest = Forest::flat(&[text()]).unwrap();
        let (before, weights) = (logprobs(&*model, &forest, 1.0), tensors(&model));
        adapt(&mut model, 2, &SOME, &text());
        let reference = model.snapshot(None).unwrap();
        assert_eq!(bits(&logprobs(&*reference, &forest, 1.0)), bits(&before));
        let first = logprobs(&*model, &forest, 1.0);
        let likelihood = |logprobs: &[f32]| logprobs[1..].iter().map(|&x| f64::from(x)).sum::<f64>();
        assert!(likelihood(&first) > likelihood(&before));
        for step in 2..6 {
            train(&mut model, &text(), step);
        }
        assert!(likelihood(&logprobs(&*model, &forest, 1.0)) > likelihood(&first));
        assert_eq!(frozen(&model), weights);
        assert_eq!(bits(&logprobs(&*reference, &forest, 1.0)), bits(&before));
        // It draws what the model without adapters draws.
        let requests = batch(3, 1.0, 10, 97, 12);
        let plain = load_at(&folder(CAUSAL[0]), precision);
        for (a, b) in generate(&*reference, &requests).iter().zip(generate(&*plain, &requests)) {
            assert_eq!((&a.tokens, bits(&a.logprobs)), (&b.tokens, bits(&b.logprobs)));
        }
        drop(model);
        assert_eq!(bits(&logprobs(&*reference, &forest, 1.0)), bits(&before));
    }
    let mut fresh = load(&folder(CAUSAL[1]));
    let forest = Forest::flat(&[text()]).unwrap();
    let before = bits(&logprobs(&*fresh, &forest, 1.0));
    fresh.add_lora(LoraShape::new(4, 8.0, 0.5, Target::ALL.to_vec()).unwrap(), 1).unwrap();
    assert_eq!(bits(&logprobs(&*fresh, &forest, 1.0)), before);
}

#[test]
fn values_of_a_new_a_are_uniform_within_its_bound() {
    let mut model = load(&folder(CAUSAL[1]));
    let again = |seed| {
        let mut model = load(&folder(CAUSAL[1]));
        model.add_lora(LoraShape::new(32, 32.0, 0.0, Target::ALL.to_vec()).unwrap(), seed).unwrap();
        tensors(&model)
    };
    model.add_lora(LoraShape::new(32, 32.0, 0.0, Target::ALL.to_vec()).unwrap(), 5).unwrap();
    assert_eq!(tensors(&model), again(5));
    assert_ne!(tensors(&model), again(6));
    for (name, x) in model.tensors().unwrap() {
        if name.contains("lora_B") {
            assert!(x.iter().all(|&x| x == 0.0), "{name}");
        } else if name.contains("lora_A") {
            let bound = 1.0 / (x.len() as f64 / 32.0).sqrt();
            assert!(x.iter().all(|&x| f64::from(x).abs() < bound), "{name}");
            let variance = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / x.len() as f64;
            assert!((variance / (bound * bound / 3.0) - 1.0).abs() < 0.15, "{name}: {variance}");
        }
    }
}

#[test]
fn merged_adapters_say_what_they_said() {
    let forest = Forest::flat(&[text()]).unwrap();
    for name in [CAUSAL[0], CAUSAL[3], CAUSAL[8]] {
        let dir = tempfile::tempdir().unwrap();
        let model = adapted(name, Precision::F32);
        let expected = logprobs(&*model, &forest, 1.0);
        model.save(dir.path(), &MERGED).unwrap();
        let whole = load(dir.path());
        assert!(whole.lora().is_none());
        let copies =
            [Precision::F32.into(), InferencePrecision::Int8].map(|p| model.snapshot(Some(p)).unwrap());
        let near = |found: Vec<f32>, tolerance: f32| {
            for (i, (f, e)) in found.iter().zip(&expected).enumerate().skip(1) {
                assert!((f - e).abs() < tolerance, "{name}[{i}]: {f}, unmerged {e}");
            }
        };
        near(logprobs(&*whole, &forest, 1.0), 1e-5);
        near(logprobs(&*copies[0], &forest, 1.0), 1e-5);
        // Rounded to 8 bits it is another policy, yet nearer to this one than to that without adapters.
        let gap =
            |a: &[f32]| a.iter().zip(&expected).skip(1).map(|(a, e)| f64::from((a - e).abs())).sum::<f64>();
        let base = gap(&logprobs(&*model.snapshot(None).unwrap(), &forest, 1.0));
        assert!(gap(&logprobs(&*copies[1], &forest, 1.0)) < base / 2.0, "{name}");
    }
}

#[test]
fn adapters_that_were_saved_go_on_with_the_same_bits() {
    for (name, precision) in [(CAUSAL[1], Precision::F32), (CAUSAL[6], Precision::Bf16)] {
        let dir = tempfile::tempdir().unwrap();
        let mut whole = adapted(name, precision);
        whole.save(dir.path(), &WITH_OPTIMIZER).unwrap();
        // Onto a model that has none, and onto one that has others.
        let mut resumed = [load_at(&folder(name), precision), adapted(name, precision)];
        train(&mut resumed[1], &text(), 77);
        for model in &mut resumed {
            model.restore(dir.path()).unwrap();
            assert_eq!(tensors(model), tensors(&whole));
        }
        let norm = train(&mut whole, &text(), 2);
        for model in &mut resumed {
            assert_eq!(train(model, &text(), 2).to_bits(), norm.to_bits());
            assert_eq!(tensors(model), tensors(&whole));
        }
    }
}

#[test]
fn a_score_head_is_trained_and_saved_beside_adapters() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = load(&folder(CAUSAL[0]));
    model.add_score_head().unwrap();
    adapt(&mut model, 2, &SOME, &text());
    let weights = frozen(&model);
    let forest = Forest::flat(&[text()]).unwrap();
    let options = ForwardOptions { scores: vec![3, 29], ..ForwardOptions::default() };
    let step = |model: &mut Model| {
        let tape = model.forward(&forest, &options, &Cancel::new()).unwrap();
        let c = rmr1_core::model::Coefficients { d_scores: vec![1.0, -0.5], ..Default::default() };
        model.backward(&tape, &c, &Cancel::new()).unwrap();
        train(model, &text(), 5);
        model.forward(&forest, &options, &Cancel::new()).unwrap().scores
    };
    let before = step(&mut model);
    assert!(before.iter().all(|&x| x != 0.0));
    model.save(dir.path(), &WITH_OPTIMIZER).unwrap();
    let config = std::fs::read_to_string(dir.path().join("adapter_config.json")).unwrap();
    assert!(config.contains("\"SEQ_CLS\"") && config.contains("\"score\""), "{config}");
    let mut resumed = load(&folder(CAUSAL[0]));
    resumed.restore(dir.path()).unwrap();
    assert!(resumed.has_score_head());
    assert_eq!(bits(&step(&mut resumed)), bits(&step(&mut model)));
    assert_eq!(frozen(&model), weights);
    // Whole again, it is a classifier.
    let merged = tempfile::tempdir().unwrap();
    model.save(merged.path(), &MERGED).unwrap();
    assert!(load(merged.path()).has_score_head());
}

#[test]
fn training_takes_memory_for_adapters_alone() {
    let mut model = load(&folder(CAUSAL[0]));
    let before = model.training_memory().unwrap();
    model.add_lora(LoraShape::new(3, 3.0, 0.1, vec![Target::Q, Target::Down]).unwrap(), 1).unwrap();
    let told = model.training_memory().unwrap();
    let shape = model.config().clone();
    let (width, queries) = (shape.hidden_size, shape.num_heads * shape.head_dim);
    let adapters = shape.num_layers * 3 * (width + queries + shape.intermediate_size + width);
    assert_eq!((told.state, told.reference), (3 * 4 * adapters, 0));
    assert!(before.reference > 0 && told.state < before.state / 4);
    assert!(told.token > before.token && told.recomputed_token > before.recomputed_token);
    train(&mut model, &text(), 0);
    assert_eq!(model.training_memory().unwrap().state, 4 * adapters);
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let shape = |rank, alpha, dropout| LoraShape::new(rank, alpha, dropout, SOME.to_vec());
    for alpha in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(refusal(shape(2, alpha, 0.0)).contains(&format!("alpha is \"{alpha}\"")));
    }
    for dropout in [-0.1, 1.0, f64::NAN] {
        assert!(refusal(shape(2, 1.0, dropout)).contains(&format!("dropout is \"{dropout}\"")));
    }
    assert!(refusal(LoraShape::new(2, 1.0, 0.0, vec![])).contains("at least one"));
    assert!(
        refusal(LoraShape::new(2, 1.0, 0.0, vec![Target::Q, Target::K, Target::Q])).contains("\"q_proj\"")
    );
    assert!(refusal("lm_head".parse::<Target>()).contains("\"lm_head\""));

    let mut model = load(&folder(CAUSAL[0]));
    for rank in [0, 65, usize::MAX] {
        let found = refusal(model.add_lora(shape(rank, 1.0, 0.0).unwrap(), 1));
        assert!(found.contains(&format!("rank is \"{rank}\"")) && found.contains("64"), "{found}");
    }
    let dir = tempfile::tempdir().unwrap();
    let separate = SaveOptions { adapters: Some(SavedAdapters::Separate), ..WITH_OPTIMIZER };
    assert!(refusal(model.save(dir.path(), &separate)).contains("no adapters"));
    model.save(dir.path(), &WITH_OPTIMIZER).unwrap();
    let tape =
        model.forward(&Forest::flat(&[text()]).unwrap(), &ForwardOptions::default(), &Cancel::new()).unwrap();
    model.add_lora(shape(2, 1.0, 0.0).unwrap(), 1).unwrap();
    let stale = model.backward(&tape, &Default::default(), &Cancel::new());
    assert!(refusal(stale).contains("changed"));
    assert!(refusal(model.add_lora(shape(2, 1.0, 0.0).unwrap(), 1)).contains("rank \"2\" already"));
    assert!(refusal(model.restore(dir.path())).contains("no adapters"));
    assert!(refusal(model.save(dir.path(), &SaveOptions::default())).contains("belongs to a model"));
    assert!(
        refusal(model.save(dir.path(), &SaveOptions { optimizer: true, ..MERGED })).contains("\"separate\"")
    );

    let own = tempfile::tempdir().unwrap();
    model.save(own.path(), &SaveOptions::default()).unwrap();
    assert!(refusal(load_refused(own.path())).contains("load them onto it"));
    assert!(refusal(model.save(own.path(), &MERGED)).contains("another model"));
    let mut other = load(&folder(CAUSAL[0]));
    other.add_lora(shape(4, 1.0, 0.0).unwrap(), 1).unwrap();
    let before = tensors(&other);
    let found = refusal(other.restore(own.path()));
    assert!(found.contains("rank \"2\"") && found.contains("rank \"4\""), "{found}");
    let mut narrow = load(&folder(CAUSAL[1]));
    assert!(refusal(narrow.restore(own.path())).contains("has shape"));
    let mut scored = load(&folder(CAUSAL[0]));
    scored.add_score_head().unwrap();
    assert!(refusal(scored.restore(own.path())).contains("no score head"));
    assert!(scored.lora().is_none() && narrow.lora().is_none());
    assert_eq!(tensors(&other), before);
}

fn load_refused(path: &Path) -> Result<Model, Error> {
    Model::load(path, rmr1_core::backend::Device::Cpu, Precision::F32)
}
