//! Whole models: passes, steps, generation, files and memory.

use super::super::device::Device;
use super::super::emulator::{Emulator, emulator_of};
use crate::backend::{Arithmetic, Found, Precision};
use crate::cancel::Cancel;
use crate::config::{Family, ModelConfig};
use crate::forest::Forest;
use crate::generate::{DrawKey, Event, Options, Request};
use crate::model::{AdamW, Coefficients, Dropout, ForwardOptions, Host, Model, SaveOptions};
use crate::weights::TextAssets;
use crate::{Error, Result};
use std::sync::Arc;

/// Every optional part of a layer, and heads in groups.
pub(super) fn configs() -> [ModelConfig; 3] {
    let llama = ModelConfig {
        family: Family::Llama,
        vocab_size: 53,
        hidden_size: 24,
        intermediate_size: 40,
        num_layers: 2,
        num_heads: 6,
        num_kv_heads: 2,
        head_dim: 8,
        max_position: 512,
        rope_theta: 100.0,
        rope_scaling: crate::config::RopeScaling::Default,
        rms_norm_eps: 1e-5,
        tie_word_embeddings: true,
        attention_bias: false,
        mlp_bias: false,
        bos_token_id: None,
        eos_token_ids: vec![2],
        pad_token_id: None,
    };
    [
        ModelConfig { family: Family::Qwen2, attention_bias: true, ..llama.clone() },
        ModelConfig { family: Family::Qwen3, tie_word_embeddings: false, ..llama.clone() },
        llama,
    ]
}

/// A model with the same random weights on whichever device.
fn open(found: Found, arithmetic: Arithmetic, precision: Precision, config: &ModelConfig) -> Model {
    let host = Host::init(config.clone(), TextAssets::default(), 5).unwrap();
    Model::on(found, arithmetic, precision, host).unwrap()
}

pub(super) fn cpu(precision: Precision, config: &ModelConfig) -> Model {
    open(Found::Cpu(None), Arithmetic::Exact, precision, config)
}

pub(super) fn cuda(
    device: &Device,
    arithmetic: Arithmetic,
    precision: Precision,
    config: &ModelConfig,
) -> Model {
    open(Found::Cuda(device.clone()), arithmetic, precision, config)
}

/// A shared prompt with two answers, one of which has a child, and a root of its own.
pub(super) fn forest() -> Forest {
    let lengths = vec![70, 9, 20, 3, 11];
    let tokens = (0..113_u32).map(|i| (i * 29 + 7) % 53).collect();
    Forest::new(tokens, lengths, vec![-1, 0, 0, 2, -1]).unwrap()
}

/// What a training step gives: log-probabilities, entropies, the gradients' norm, and the weights behind it.
pub(super) struct Stepped {
    pub logprobs: Vec<f32>,
    pub entropies: Vec<f32>,
    pub gradients: Vec<(String, Vec<f32>)>,
    pub norm: f64,
    pub weights: Vec<(String, Vec<f32>)>,
}

pub(super) fn step(model: &mut Model, recompute: bool) -> Result<Stepped> {
    let (forest, never) = (forest(), Cancel::new());
    let dropout = Some(Dropout { seed: 3, step: 1, batch: 4 });
    let options =
        ForwardOptions { entropy: true, temperature: 0.8, recompute, dropout, ..Default::default() };
    let tape = model.forward(&forest, &options, &never)?;
    let seen = |scale: f32| -> Vec<f32> {
        let value = |(i, p): (usize, &f32)| if p.is_nan() { 0.0 } else { (i as f32 * 1.3).sin() * scale };
        tape.logprobs.iter().enumerate().map(value).collect()
    };
    let coefficients =
        Coefficients { d_logprobs: seen(1.0), d_entropies: seen(0.2), ..Coefficients::default() };
    model.backward(&tape, &coefficients, &never)?;
    let owned = |tensors: Vec<(String, std::borrow::Cow<[f32]>)>| {
        tensors.into_iter().map(|(name, x)| (name, x.into_owned())).collect()
    };
    let gradients = owned(model.gradients()?);
    let norm = model.step(&AdamW {
        learning_rate: 0.01,
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-6,
        weight_decay: 0.1,
        max_grad_norm: 1.0,
    })?;
    let weights = owned(model.tensors()?);
    Ok(Stepped { logprobs: tape.logprobs, entropies: tape.entropies, gradients, norm, weights })
}

/// |a − b| / |b| over whole vectors, NaN where both have it left out.
pub(super) fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().zip(b).filter(|(a, b)| {
        assert_eq!(a.is_nan(), b.is_nan());
        !a.is_nan()
    });
    let (mut gap, mut norm) = (0.0, f64::MIN_POSITIVE);
    for (&a, &b) in pairs {
        gap += (f64::from(a) - f64::from(b)).powi(2);
        norm += f64::from(b).powi(2);
    }
    (gap / norm).sqrt()
}

/// The model families, each by an arithmetic.
pub(super) fn cases() -> impl Iterator<Item = (ModelConfig, Arithmetic)> {
    configs().into_iter().zip([Arithmetic::Exact, Arithmetic::Fast, Arithmetic::Exact])
}

#[test]
fn steps_are_the_cpus() {
    let Some(device) = super::device() else { return };
    for (config, arithmetic) in cases() {
        let mut expected = cpu(Precision::F32, &config);
        let mut found = cuda(&device, arithmetic, Precision::F32, &config);
        for recompute in [false, true] {
            let what = format!("{:?} {arithmetic:?}", config.family);
            let (e, f) = (step(&mut expected, recompute).unwrap(), step(&mut found, recompute).unwrap());
            assert!(distance(&f.logprobs, &e.logprobs) < 1e-5, "{what}: log-probabilities");
            assert!(distance(&f.entropies, &e.entropies) < 1e-5, "{what}: entropies");
            assert!((f.norm / e.norm - 1.0).abs() < 1e-5, "{what}: norm {} and {}", f.norm, e.norm);
            for ((name, f), (_, e)) in f.gradients.iter().zip(&e.gradients) {
                let gap = distance(f, e);
                assert!(gap < 5e-5, "{what}: gradient of {name} is {gap:e} off");
            }
            for ((name, f), (_, e)) in f.weights.iter().zip(&e.weights) {
                let gap = distance(f, e);
                assert!(gap < 5e-5, "{what}: {name} is {gap:e} off after the step");
            }
        }
    }
}

/// Both round where they please within a product, so they are held by how far each is from f32.
#[test]
fn rounded_steps_are_as_near_to_f32_as_the_cpus() {
    let Some(device) = super::device() else { return };
    for (config, arithmetic) in cases() {
        let what = format!("{:?} {arithmetic:?}", config.family);
        let all = |step: &Stepped| step.gradients.iter().flat_map(|(_, x)| x.clone()).collect::<Vec<f32>>();
        let exact = step(&mut cpu(Precision::F32, &config), false).unwrap();
        let there = step(&mut cpu(Precision::Bf16, &config), false).unwrap();
        let here = step(&mut cuda(&device, arithmetic, Precision::Bf16, &config), false).unwrap();
        for (part, exact, there, here) in [
            ("log-probabilities", &exact.logprobs, &there.logprobs, &here.logprobs),
            ("entropies", &exact.entropies, &there.entropies, &here.entropies),
            ("gradients", &all(&exact), &all(&there), &all(&here)),
        ] {
            let (cpu, cuda) = (distance(there, exact), distance(here, exact));
            assert!(cuda < 1.25 * cpu, "{what}: {part} are {cuda:e} off, on the CPU {cpu:e}");
        }
        for (((name, e), (_, t)), (_, h)) in exact.gradients.iter().zip(&there.gradients).zip(&here.gradients)
        {
            let (cpu, cuda) = (distance(t, e), distance(h, e));
            assert!(cuda < 2.0 * cpu, "{what}: gradient of {name} is {cuda:e} off, on the CPU {cpu:e}");
        }
    }
}

pub(super) fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn two_runs_of_a_step_have_the_same_bits() {
    let Some(device) = super::device() else { return };
    let config = &configs()[0];
    for arithmetic in [Arithmetic::Exact, Arithmetic::Fast] {
        let run = || step(&mut cuda(&device, arithmetic, Precision::Bf16, config), false).unwrap();
        let (a, b) = (run(), run());
        assert_eq!(bits(&a.logprobs), bits(&b.logprobs));
        assert_eq!(a.norm.to_bits(), b.norm.to_bits());
        for ((name, a), (_, b)) in a.weights.iter().zip(&b.weights) {
            assert_eq!(bits(a), bits(b), "{name}");
        }
    }
}

/// Requests of two prompts, the second of which begins like the first, with rollouts of uneven lengths.
pub(super) fn requests(n: usize) -> Vec<Request> {
    let first: Vec<u32> = (0..75).map(|i| (i * 31 + 3) % 53).collect();
    let second = [&first[..40], &[5, 6, 7]].concat();
    let request = |i: usize| Request {
        prompt: if i % 3 == 2 { second.clone() } else { first.clone() },
        max_tokens: 3 + i * 5 % 14,
        temperature: 0.8,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        logit_bias: Vec::new(),
        stop: Vec::new(),
        ignore_eos: true,
        key: DrawKey { seed: 1, step: 2, prompt: 3, rollout: i as u32 },
    };
    (0..n).map(request).collect()
}

pub(super) fn generate(model: &Model, requests: &[Request], options: &Options) -> Vec<(Vec<u32>, Vec<f32>)> {
    let mut done = vec![(Vec::new(), Vec::new()); requests.len()];
    let mut sink = |event| {
        if let Event::Done { request, tokens, logprobs, .. } = event {
            done[request as usize] = (tokens, logprobs);
        }
        Ok(())
    };
    model.generate(requests, options, &Cancel::new(), &mut sink).unwrap();
    done
}

/// Holds what a model records as it samples against its forward pass, and a rollout in a batch against one alone.
pub(super) fn check_sampler(model: &Model, what: &str) {
    assert!(model.is_exact());
    let requests = requests(7);
    let options = Options { prefill_rows: 33, ..Options::default() };
    let rollouts = generate(model, &requests, &options);
    let sequences: Vec<Vec<u32>> =
        requests.iter().zip(&rollouts).map(|(q, (tokens, _))| [&q.prompt[..], tokens].concat()).collect();
    let flat = model.logprobs(&Forest::flat(&sequences).unwrap(), 0.8, None, &Cancel::new()).unwrap();
    let mut start = 0;
    for (i, (q, (tokens, logprobs))) in requests.iter().zip(&rollouts).enumerate() {
        assert_eq!(tokens.len(), q.max_tokens);
        let own = &flat[start + q.prompt.len()..][..tokens.len()];
        assert_eq!(bits(logprobs), bits(own), "{what}: request {i}");
        start += q.prompt.len() + tokens.len();
    }
    let alone = generate(model, &requests[3..4], &Options::default());
    assert_eq!((&alone[0].0, bits(&alone[0].1)), (&rollouts[3].0, bits(&rollouts[3].1)), "{what}");
}

#[test]
fn the_sampler_is_the_trainer_bit_for_bit() {
    let Some(device) = super::device() else { return };
    for (config, precision) in configs().iter().zip([Precision::F32, Precision::Bf16, Precision::Bf16]) {
        let model = cuda(&device, Arithmetic::Exact, precision, config);
        check_sampler(&model, &format!("{:?} {precision:?}", config.family));
    }
}

#[test]
fn a_model_that_was_saved_goes_on_with_the_same_bits() {
    let Some(device) = super::device() else { return };
    let config = &configs()[0];
    let folder = tempfile::tempdir().unwrap();
    let mut whole = cuda(&device, Arithmetic::Exact, Precision::Bf16, config);
    step(&mut whole, false).unwrap();
    whole.save(folder.path(), &SaveOptions { optimizer: true, ..SaveOptions::default() }).unwrap();
    let mut resumed = cuda(&device, Arithmetic::Exact, Precision::Bf16, config);
    resumed.restore(folder.path()).unwrap();
    let (a, b) = (step(&mut whole, false).unwrap(), step(&mut resumed, false).unwrap());
    for ((name, a), (_, b)) in a.weights.iter().zip(&b.weights) {
        assert_eq!(bits(a), bits(b), "{name}");
    }
    // The CPU opens the same files.
    let mut there = cpu(Precision::F32, config);
    there.restore(folder.path()).unwrap();
}

#[test]
fn a_frozen_copy_keeps_its_weights() {
    let Some(device) = super::device() else { return };
    let config = &configs()[2];
    let (forest, never) = (forest(), Cancel::new());
    let mut model = cuda(&device, Arithmetic::Exact, Precision::Bf16, config);
    let before = model.logprobs(&forest, 1.0, None, &never).unwrap();
    let copy = model.snapshot(None).unwrap();
    step(&mut model, false).unwrap();
    assert_eq!(bits(&copy.logprobs(&forest, 1.0, None, &never).unwrap()), bits(&before));
    assert_ne!(bits(&model.logprobs(&forest, 1.0, None, &never).unwrap()), bits(&before));
    let wider = model.snapshot(Some(Precision::F32.into())).unwrap();
    assert!(wider.device().contains("f32"), "{}", wider.device());
    let error = model.snapshot(Some(crate::backend::InferencePrecision::Int8)).err().unwrap();
    assert!(error.to_string().contains("\"int8\""), "{error}");
}

/// An emulated device of a size, whose memory can be watched.
pub(super) fn watched(capacity: usize) -> Option<(Arc<Emulator>, Device)> {
    let emulator = emulator_of(capacity)?;
    Some((emulator.clone(), emulator))
}

#[test]
fn what_is_told_of_a_steps_memory_is_what_it_takes() {
    let Some((emulator, device)) = watched(1 << 30) else { return };
    let config = ModelConfig { hidden_size: 64, intermediate_size: 160, ..configs()[0].clone() };
    let tokens = forest().tokens.len();
    for recompute in [false, true] {
        let mut model = cuda(&device, Arithmetic::Exact, Precision::Bf16, &config);
        let told = model.training_memory().unwrap();
        let held = emulator.in_use();
        assert_eq!(told.free, (1 << 30) - held);
        emulator.forget_peak();
        step(&mut model, recompute).unwrap();
        let took = emulator.peak() - held;
        let token = if recompute { told.recomputed_token } else { told.token };
        let expected = told.state + told.pass.min(tokens * (config.vocab_size + 3) * 6) + tokens * token;
        let ratio = took as f64 / expected as f64;
        assert!((0.7..=1.05).contains(&ratio), "recompute {recompute}: {took} bytes, {expected} were told");
    }
    drop(device);
    assert_eq!(emulator.in_use(), 0);
}

#[test]
fn memory_that_runs_out_ends_a_step_and_spares_the_model() {
    let config = &configs()[2];
    let Some((emulator, device)) = watched(1 << 30) else { return };
    let mut model = cuda(&device, Arithmetic::Exact, Precision::F32, config);
    emulator.forget_peak();
    step(&mut model, false).unwrap();
    let (held, peak) = (emulator.in_use(), emulator.peak());
    let forest = forest();
    let logprobs = |model: &Model| bits(&model.logprobs(&forest, 1.0, None, &Cancel::new()).unwrap());
    let before = logprobs(&model);
    let mut refused = 0;
    for left in (0..peak - held).step_by((peak - held) / 24) {
        emulator.set_capacity(held + left);
        let error = step(&mut model, false).err().expect("there is too little memory for a step");
        assert!(matches!(error, Error::Memory { .. }), "{error}");
        refused += 1;
        emulator.set_capacity(1 << 30);
        model.discard_gradients();
        assert_eq!(logprobs(&model), before, "the weights changed with {left} bytes left");
    }
    assert!(refused > 20);
    step(&mut model, false).unwrap();
}
