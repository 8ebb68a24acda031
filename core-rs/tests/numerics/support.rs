//! Models, passes and comparisons that the tests share.

use rmr1_core::backend::Device;
use rmr1_core::cancel::Cancel;
use rmr1_core::forest::{Forest, Layout};
use rmr1_core::generate::{DrawKey, Event, Finish, Options, Request, Summary};
use rmr1_core::model::{
    AdamW, Coefficients, Dropout, ForwardOptions, LanguageModel, LoraShape, Model, Precision, Target,
};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard};

/// Gradients by the tensor's Hugging Face name.
pub type Gradients = BTreeMap<String, Vec<f32>>;

/// A forward and backward pass.
pub struct Pass {
    pub logprobs: Vec<f32>,
    pub entropies: Vec<f32>,
    pub scores: Vec<f32>,
    pub gradients: Gradients,
}

/// What promises on bits are held at.
pub const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

/// Loads a model at f32 or fails the test.
pub fn load(path: &Path) -> Model {
    load_at(path, Precision::F32)
}

/// Loads a model or fails the test.
pub fn load_at(path: &Path, precision: Precision) -> Model {
    Model::load(path, Device::Cpu, precision).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// One forward and backward pass; the model's gradients are empty afterwards.
pub fn differentiate(
    model: &mut Model,
    forest: &Forest,
    options: &ForwardOptions,
    coefficients: &Coefficients<f32>,
) -> Pass {
    let tape = model.forward(forest, options, &Cancel::new()).unwrap();
    model.backward(&tape, coefficients, &Cancel::new()).unwrap();
    let gradients = take_gradients(model);
    Pass { logprobs: tape.logprobs, entropies: tape.entropies, scores: tape.scores, gradients }
}

/// A training step that raises the log-probabilities of these tokens, with the gradients' norm. Adapters drop by the
/// step's number.
pub fn train(model: &mut Model, tokens: &[u32], step: u32) -> f64 {
    let forest = Forest::flat(&[tokens.to_vec()]).unwrap();
    let dropout = Some(Dropout { seed: 9, step, batch: 0 });
    let options = ForwardOptions { dropout, ..ForwardOptions::default() };
    let tape = model.forward(&forest, &options, &Cancel::new()).unwrap();
    let d_logprobs = masked(&forest, &vec![-1.0; tokens.len()]);
    model.backward(&tape, &Coefficients { d_logprobs, ..Coefficients::default() }, &Cancel::new()).unwrap();
    let options = AdamW {
        learning_rate: 0.02,
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-8,
        weight_decay: 0.01,
        max_grad_norm: 1.0,
    };
    model.step(&options).unwrap()
}

/// Adds adapters to a model and takes two steps, so that they say something.
pub fn adapt(model: &mut Model, rank: usize, targets: &[Target], tokens: &[u32]) {
    model.add_lora(LoraShape::new(rank, 2.5 * rank as f64, 0.2, targets.to_vec()).unwrap(), 7).unwrap();
    for step in 0..2 {
        assert!(train(model, tokens, step) > 0.0);
    }
}

/// Copies the accumulated gradients and discards them.
pub fn take_gradients(model: &mut Model) -> Gradients {
    let gradients = model.gradients().unwrap().into_iter().map(|(name, g)| (name, g.into_owned())).collect();
    model.discard_gradients();
    gradients
}

/// Log-probabilities of a forest.
pub fn logprobs(model: &dyn LanguageModel, forest: &Forest, temperature: f32) -> Vec<f32> {
    model.logprobs(forest, temperature, None, &Cancel::new()).unwrap()
}

/// Coefficients with zeros where a path begins: there is no log-probability.
pub fn masked(forest: &Forest, values: &[f32]) -> Vec<f32> {
    let previous = Layout::new(forest).previous;
    values.iter().zip(previous).map(|(&v, p)| if p.is_some() { v } else { 0.0 }).collect()
}

/// A rollout as it was sampled.
pub struct Rollout {
    pub tokens: Vec<u32>,
    pub logprobs: Vec<f32>,
    pub finish: Finish,
}

/// A request of 24 tokens whose draws are named by its rollout.
pub fn request(prompt: &[u32], temperature: f32, rollout: usize) -> Request {
    Request {
        prompt: prompt.to_vec(),
        max_tokens: 24,
        temperature,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        logit_bias: Vec::new(),
        stop: Vec::new(),
        ignore_eos: false,
        key: DrawKey { seed: 11, step: 3, prompt: 5, rollout: rollout as u32 },
    }
}

/// Rollouts in the order of their requests. What was told token by token must be what was told at the end.
pub fn generate(model: &dyn LanguageModel, requests: &[Request]) -> Vec<Rollout> {
    generate_with(model, requests, &Options::default()).0
}

/// As [`generate`], scheduled as told.
pub fn generate_with(
    model: &dyn LanguageModel,
    requests: &[Request],
    options: &Options,
) -> (Vec<Rollout>, Summary) {
    let mut streamed = vec![(Vec::new(), Vec::new()); requests.len()];
    let mut rollouts: Vec<Option<Rollout>> = requests.iter().map(|_| None).collect();
    let mut sink = |event| {
        match event {
            Event::Tokens { requests, tokens, logprobs } => {
                for ((i, token), logprob) in requests.into_iter().zip(tokens).zip(logprobs) {
                    assert!(rollouts[i as usize].is_none(), "request {i} goes on after its end");
                    streamed[i as usize].0.push(token);
                    streamed[i as usize].1.push(logprob);
                }
            }
            Event::Done { request, tokens, logprobs, finish, .. } => {
                let before = rollouts[request as usize].replace(Rollout { tokens, logprobs, finish });
                assert!(before.is_none(), "request {request} ended twice");
            }
        }
        Ok(())
    };
    let summary = model.generate(requests, options, &Cancel::new(), &mut sink).unwrap();
    let finished =
        rollouts.into_iter().zip(streamed).enumerate().map(|(i, (rollout, (tokens, logprobs)))| {
            let rollout = rollout.unwrap_or_else(|| panic!("request {i} never ended"));
            assert_eq!((&rollout.tokens, bits(&rollout.logprobs)), (&tokens, bits(&logprobs)), "request {i}");
            rollout
        });
    (finished.collect(), summary)
}

/// Σ a·b in f64.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
}

/// Asserts that each tensor's difference has a norm of at most `tolerance` of the tensor's.
pub fn assert_near(a: &Gradients, b: &Gradients, tolerance: f64, what: &str) {
    assert!(a.keys().eq(b.keys()), "{what}: tensors differ");
    for (name, x) in a {
        let difference: Vec<f32> = x.iter().zip(&b[name]).map(|(p, q)| p - q).collect();
        let (gap, norm) = (dot(&difference, &difference).sqrt(), dot(x, x).sqrt());
        assert!(gap <= tolerance * norm, "{what}: {name} differs by {gap:.3e} of norm {norm:.3e}");
    }
}

/// The bits of floats, so that equality is exact and NaN equals itself.
pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// SmolLM2-135M-Instruct as GGUF, by `RMR1_SMOLLM2` or where `deno task fetch` puts it.
pub fn smollm2_path() -> Option<PathBuf> {
    let path = match std::env::var_os("RMR1_SMOLLM2") {
        Some(path) => PathBuf::from(path),
        None => {
            let home = PathBuf::from(std::env::var_os("HOME")?);
            home.join(".cache/rm-r1/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf")
        }
    };
    path.exists().then_some(path)
}

/// The real model, one test at a time; `None`, said on standard error past the test harness's capture, where it is
/// not to be had.
pub fn smollm2(test: &str) -> Option<MutexGuard<'static, Model>> {
    smollm2_at(test, Precision::F32)
}

/// As [`smollm2`], at either precision.
pub fn smollm2_at(test: &str, precision: Precision) -> Option<MutexGuard<'static, Model>> {
    type Shared = LazyLock<Option<Mutex<Model>>>;
    static FULL: Shared = LazyLock::new(|| smollm2_path().map(|p| Mutex::new(load_at(&p, Precision::F32))));
    static ROUNDED: Shared =
        LazyLock::new(|| smollm2_path().map(|p| Mutex::new(load_at(&p, Precision::Bf16))));
    let model = match precision {
        Precision::F32 => &FULL,
        Precision::Bf16 => &ROUNDED,
    };
    let model = model.as_ref().map(|m| m.lock().unwrap_or_else(|e| e.into_inner()));
    if model.is_none() {
        let why = "SKIPPED: no SmolLM2 GGUF; set RMR1_SMOLLM2 or run `deno task fetch smollm2-135m`";
        std::io::stderr().write_all(format!("{test}: {why}\n").as_bytes()).unwrap();
    }
    model
}
