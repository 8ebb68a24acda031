//! The whole decoder in f64: gradients by differences, and a forest against its sequences written out.

use super::decoder::{Coefficients, Decoder};
use super::lora::{Adapters, Lora, LoraShape, Target};
use super::params::{Params, Spec};
use super::reader::{Dropout, ForwardOptions};
use super::trainables::{Tensors, Trainables};
use crate::backend::cpu::Cpu;
use crate::backend::cpu::pool::Buffer;
use crate::backend::{Backend, Mask};
use crate::cancel::Cancel;
use crate::config::{Family, ModelConfig, RopeScaling, Yarn};
use crate::forest::{Forest, Layout};

fn config(tied: bool) -> ModelConfig {
    ModelConfig {
        family: Family::Llama,
        vocab_size: 11,
        hidden_size: 6,
        intermediate_size: 7,
        num_layers: 2,
        num_heads: 4,
        num_kv_heads: 2,
        head_dim: 4,
        max_position: 64,
        rope_theta: 100.0,
        rope_scaling: RopeScaling::Default,
        rms_norm_eps: 1e-5,
        tie_word_embeddings: tied,
        attention_bias: false,
        mlp_bias: false,
        bos_token_id: None,
        eos_token_ids: vec![],
        pad_token_id: None,
    }
}

/// Every optional part of a layer, and scaled positions.
fn configs() -> [ModelConfig; 5] {
    let yarn = RopeScaling::Yarn(Yarn { beta_fast: 2.0, ..Yarn::new(4.0, 16) });
    let llama3 = RopeScaling::Llama3 {
        factor: 4.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position: 16,
    };
    [
        config(true),
        config(false),
        ModelConfig { attention_bias: true, mlp_bias: true, rope_scaling: llama3, ..config(false) },
        ModelConfig { family: Family::Qwen2, attention_bias: true, rope_scaling: yarn, ..config(true) },
        ModelConfig { family: Family::Qwen3, attention_bias: true, ..config(false) },
    ]
}

/// A model's shape and weights.
struct Model {
    config: ModelConfig,
    weights: Params<Buffer<f64>>,
    lora: Option<Lora<Buffer<f64>>>,
    score: Buffer<f64>,
}

impl Model {
    fn tensors(&self) -> Tensors<'_, Buffer<f64>> {
        Tensors { weights: &self.weights, lora: self.lora.as_ref(), score: Some(&self.score) }
    }

    fn decoder(&self) -> Decoder<'_, Cpu<f64>> {
        Decoder { backend: Cpu::new(), config: &self.config, tensors: self.tensors() }
    }

    /// What is trained, to be moved.
    fn trained(&mut self) -> Vec<&mut Buffer<f64>> {
        match &mut self.lora {
            Some(lora) => lora.adapters.iter_mut().chain([&mut self.score]).collect(),
            None => self.weights.iter_mut().chain([&mut self.score]).collect(),
        }
    }
}

/// Deterministic values for tensors, each another row of numbers.
fn filler() -> impl FnMut(&Spec) -> Buffer<f64> {
    let mut seed = 0.0;
    move |spec| {
        seed += 1.0;
        let norm = spec.name.ends_with("norm.weight");
        (0..spec.len())
            .map(|i| if norm { 1.0 } else { 0.0 } + 0.4 * (seed * 3.7 + i as f64 * 1.9).sin())
            .collect::<Vec<_>>()
            .into()
    }
}

fn model(config: ModelConfig) -> Model {
    config.validate().unwrap();
    let mut fill = filler();
    let weights = Params::specs(&config, true).map(&mut fill);
    let score = fill(&Spec::of_score(&config));
    Model { config, weights, lora: None, score }
}

/// A model with adapters of another rank than any width, on these linear layers.
fn adapted(config: ModelConfig, targets: &[Target]) -> Model {
    let shape = LoraShape::new(3, 4.5, 0.4, targets.to_vec()).unwrap();
    let specs = Adapters::specs(&config, &shape);
    let mut fill = filler();
    let adapters = specs.try_map(|spec| Ok::<_, std::convert::Infallible>(fill(spec))).unwrap();
    Model { lora: Some(Lora { shape, adapters }), ..model(config) }
}

/// Models whose weights are trained, and models whose adapters are: on every linear layer, and on some.
fn models() -> Vec<Model> {
    let some = [Target::K, Target::O, Target::Up];
    let trained = configs().into_iter().map(model);
    trained
        .chain(configs().into_iter().map(|config| adapted(config, &Target::ALL)))
        .chain(configs().into_iter().take(1).map(|config| adapted(config, &some)))
        .collect()
}

fn forest() -> Forest {
    Forest::new(vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 3], vec![3, 2, 1, 3, 2], vec![-1, 0, 0, 2, -1]).unwrap()
}

fn coefficients(forest: &Forest, scores: usize) -> Coefficients<f64> {
    let layout = Layout::new(forest);
    let wave = |phase: f64| {
        let at = |(i, p): (usize, &Option<u32>)| p.map_or(0.0, |_| (phase + i as f64 * 1.3).sin());
        layout.previous.iter().enumerate().map(at).collect()
    };
    Coefficients {
        d_logprobs: wave(0.2),
        d_entropies: wave(1.1),
        d_scores: (0..scores).map(|i| 0.5 - i as f64).collect(),
    }
}

fn options(recompute: bool) -> ForwardOptions {
    let dropout = Some(Dropout { seed: 1 << 40, step: 2, batch: 3 });
    ForwardOptions { temperature: 0.7, scores: vec![4, 8, 8], recompute, dropout, ..entropies() }
}

fn entropies() -> ForwardOptions {
    ForwardOptions { entropy: true, ..ForwardOptions::default() }
}

fn loss(decoder: &Decoder<Cpu<f64>>, forest: &Forest, c: &Coefficients<f64>) -> f64 {
    let pass = decoder.forward(forest, &options(false), &Cancel::new()).unwrap();
    let sum =
        |a: &[f64], b: &[f64]| a.iter().zip(b).filter(|(a, _)| !a.is_nan()).map(|(a, b)| a * b).sum::<f64>();
    sum(&pass.logprobs(), &c.d_logprobs)
        + sum(&pass.entropies(), &c.d_entropies)
        + sum(&pass.scores, &c.d_scores)
}

fn gradients(
    decoder: &Decoder<Cpu<f64>>,
    forest: &Forest,
    options: &ForwardOptions,
    c: &Coefficients<f64>,
) -> Trainables<Buffer<f64>> {
    let pass = decoder.forward(forest, options, &Cancel::new()).unwrap();
    let mut gradients = zeros(decoder);
    decoder.backward(&pass, c, &mut gradients, &Cancel::new()).unwrap();
    gradients
}

fn zeros(decoder: &Decoder<Cpu<f64>>) -> Trainables<Buffer<f64>> {
    decoder.tensors.trainable().map(|w| Buffer::zeros(w.len()))
}

#[test]
fn every_tensor_agrees_with_differences() {
    const H: f64 = 1e-5;
    for mut model in models() {
        let forest = forest();
        let c = coefficients(&forest, 3);
        let analytic = gradients(&model.decoder(), &forest, &options(false), &c);
        let names: Vec<String> =
            model.tensors().trainable_specs(&model.config).iter().map(|s| s.name.clone()).collect();
        assert_eq!(names.len(), analytic.iter().count());
        for (t, gradient) in analytic.iter().enumerate() {
            for i in (0..gradient.len()).step_by(gradient.len() / 8 + 1) {
                let mut moved = |by: f64| {
                    model.trained()[t][i] += by;
                    loss(&model.decoder(), &forest, &c)
                };
                let (up, down) = (moved(H), moved(-2.0 * H));
                moved(H);
                let slope = (up - down) / (2.0 * H);
                let error = (slope - gradient[i]).abs() / (1.0 + slope.abs());
                assert!(error < 1e-7, "{}[{i}]: {} against {slope}", names[t], gradient[i]);
            }
        }
    }
}

#[test]
fn recomputation_changes_no_bit() {
    for model in models() {
        let forest = forest();
        let d = model.decoder();
        let c = coefficients(&forest, 3);
        let (kept, again) =
            (gradients(&d, &forest, &options(false), &c), gradients(&d, &forest, &options(true), &c));
        assert!(kept.iter().eq(again.iter()));
    }
}

#[test]
fn a_forest_is_its_sequences() {
    models().iter().for_each(check_sequences);
}

/// Sequences written out flat; each shared token's coefficient goes to the first sequence that holds it.
fn check_sequences(model: &Model) {
    let forest = forest();
    let d = model.decoder();
    let c = coefficients(&forest, 0);
    let layout = Layout::new(&forest);
    let options = ForwardOptions { temperature: 0.7, ..entropies() };
    let tree = d.forward(&forest, &options, &Cancel::new()).unwrap().logprobs();
    let mut seen = vec![false; forest.tokens.len()];
    let mut total = zeros(&d);
    for leaf in [1, 3, 4] {
        let chain = layout.segments[leaf].ancestors.iter().chain([&leaf]);
        let path: Vec<usize> = chain.flat_map(|&s| layout.segments[s].tokens.clone()).collect();
        let flat = Forest::flat(&[path.iter().map(|&t| forest.tokens[t]).collect()]).unwrap();
        let pass = d.forward(&flat, &options, &Cancel::new()).unwrap();
        let mut own = Coefficients::default();
        for (i, &t) in path.iter().enumerate() {
            assert_eq!(pass.logprobs()[i].to_bits(), tree[t].to_bits());
            let first = !std::mem::replace(&mut seen[t], true);
            own.d_logprobs.push(if first { c.d_logprobs[t] } else { 0.0 });
            own.d_entropies.push(if first { c.d_entropies[t] } else { 0.0 });
        }
        d.backward(&pass, &own, &mut total, &Cancel::new()).unwrap();
    }
    let tree = gradients(&d, &forest, &options, &c);
    for (a, b) in tree.iter().flat_map(|g| g.iter()).zip(total.iter().flat_map(|g| g.iter())) {
        assert!((a - b).abs() < 1e-11 * (1.0 + a.abs()), "{a} against {b}");
    }
}

#[test]
fn bad_arguments_are_refused() {
    let model = model(config(true));
    let d = model.decoder();
    let run = |forest: &Forest, options: &ForwardOptions| d.forward(forest, options, &Cancel::new()).err();
    let flat = |tokens: Vec<u32>| Forest::flat(&[tokens]).unwrap();
    let message = |e: Option<crate::Error>| e.map(|e| e.to_string()).unwrap_or_default();
    assert!(message(run(&flat(vec![1, 11]), &ForwardOptions::default())).contains("\"11\""));
    assert!(message(run(&flat(vec![1; 65]), &ForwardOptions::default())).contains("65"));
    let cold = ForwardOptions { temperature: 0.0, ..Default::default() };
    assert!(message(run(&flat(vec![1, 2]), &cold)).contains("Temperature"));
    let pass = d.forward(&flat(vec![1, 2]), &ForwardOptions::default(), &Cancel::new()).unwrap();
    let mut gradients = zeros(&d);
    let mut back = |d_logprobs: Vec<f64>| {
        let c = Coefficients { d_logprobs, ..Default::default() };
        message(d.backward(&pass, &c, &mut gradients, &Cancel::new()).err())
    };
    assert!(back(vec![0.0]).contains("1 entries"));
    assert!(back(vec![0.0, f64::NAN]).contains("NaN"));
    assert!(back(vec![1.0, 0.0]).contains("dLogprobs[0]"));
    let cancel = Cancel::new();
    cancel.cancel();
    assert!(d.forward(&flat(vec![1, 2]), &ForwardOptions::default(), &cancel).is_err());
}

/// A mask draws by the token's index in the forest, and not in recomputation or in what never drops.
#[test]
fn masks_are_named_by_the_pass() {
    let (model, forest) = (adapted(config(true), &Target::ALL), forest());
    let d = model.decoder();
    let logprobs = |dropout: Option<Dropout>| {
        let options = ForwardOptions { dropout, ..entropies() };
        let pass = d.forward(&forest, &options, &Cancel::new()).unwrap();
        pass.logprobs().iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    let key = Dropout { seed: 5, step: 6, batch: 7 };
    let kept = logprobs(None);
    let names = [key, Dropout { seed: 8, ..key }, Dropout { step: 8, ..key }, Dropout { batch: 8, ..key }];
    let all = names.map(|key| logprobs(Some(key)));
    assert_eq!(all[0], logprobs(Some(key)));
    for (i, some) in all.iter().enumerate() {
        assert!(some != &kept && all[i + 1..].iter().all(|other| other != some), "mask {i}");
    }
}

/// drop(x) is x on average, so many masks together give what none gives.
#[test]
fn dropping_changes_no_sum_on_average() {
    let b = Cpu::<f64>::new();
    let x: Buffer<f64> = (0..50).map(|i| 1.0 + f64::from(i)).collect::<Vec<_>>().into();
    let mut mean = vec![0.0; x.len()];
    let passes = 4000;
    for pass in 0..passes {
        let dropped = b.dropout(&x, &Mask::new([pass, 9], [1, 2], 0.3)).unwrap();
        for ((mean, dropped), x) in mean.iter_mut().zip(dropped.iter()).zip(x.iter()) {
            assert!(*dropped == 0.0 || (dropped - x / 0.7).abs() < 1e-12);
            *mean += dropped / f64::from(passes);
        }
    }
    assert!(mean.iter().zip(x.iter()).all(|(mean, x)| (mean / x - 1.0).abs() < 0.06), "{mean:?}");
}
