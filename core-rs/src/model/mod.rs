//! A trainable model on the CPU: weights, gradients, optimizer state and the files they live in.

pub mod decoder;
#[cfg(test)]
mod decoder_tests;
mod init;
pub mod layer;
pub mod params;

use crate::backend::cpu::{Cpu, pool};
use crate::backend::{AdamWStep, Backend, threads};
use crate::cancel::Cancel;
use crate::config::ModelConfig;
use crate::forest::Forest;
use crate::generate::{self, Event, Generation, Request};
use crate::weights::{self, Checkpoint, Dtype, Tensor, TensorRef, TextAssets};
use crate::{Error, Result};
pub use decoder::{Coefficients, ForwardOptions};
use decoder::{Decoder, Pass};
use params::{Params, Spec};
use std::collections::BTreeMap;
use std::path::Path;

type Buffer = pool::Buffer<f32>;

/// File of the optimizer's state beside the weights.
const OPTIMIZER_FILE: &str = "optimizer.safetensors";

/// Options of [`Model::step`]: AdamW with decoupled weight decay on matrices.
#[derive(Debug, Clone, Copy)]
pub struct AdamW {
    /// Step size.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// A matrix loses `learning_rate · weight_decay` of itself.
    pub weight_decay: f64,
    /// Largest global norm of the gradients; 0 does not clip.
    pub max_grad_norm: f64,
}

/// First and second moments, and the steps taken.
struct Moments {
    first: Params<Buffer>,
    second: Params<Buffer>,
    steps: u64,
}

/// A finished forward pass. It holds what its backward needs, and knows the weights it belongs to.
pub struct Tape {
    /// Log-probability of each token; NaN for those not selected and for the first token of a root.
    pub logprobs: Vec<f32>,
    /// Entropy of the distribution each token was drawn from; empty when not asked for.
    pub entropies: Vec<f32>,
    /// One a requested score.
    pub scores: Vec<f32>,
    pass: Pass<Cpu<f32>>,
    version: u64,
}

/// A model with its gradients and its optimizer.
pub struct Model {
    decoder: Decoder<Cpu<f32>>,
    text: TextAssets,
    gradients: Option<Params<Buffer>>,
    moments: Option<Moments>,
    /// Grows with every change of the weights.
    version: u64,
}

impl Model {
    /// Opens a Hugging Face directory, a directory with one GGUF file, or a GGUF file.
    pub fn load(path: &Path) -> Result<Self> {
        let Checkpoint { config, tensors, text } = weights::load(path)?;
        Self::from_tensors(path, config, tensors, text)
    }

    /// A new model with random weights: matrices from N(0, 0.02²), those that write to the residual stream from
    /// N(0, 0.02² / (2 · layers)) (Radford et al. 2019, section 2.3), norms 1.
    pub fn init(config: ModelConfig, text: TextAssets, seed: u64) -> Result<Self> {
        config.validate()?;
        let weights = init::random(&config, seed).map(|w| w.clone().into());
        Ok(Self::new(config, weights, text))
    }

    fn new(config: ModelConfig, weights: Params<Buffer>, text: TextAssets) -> Self {
        let decoder = Decoder { backend: Cpu::new(), config, weights };
        Self { decoder, text, gradients: None, moments: None, version: 0 }
    }

    fn from_tensors(
        path: &Path,
        config: ModelConfig,
        mut tensors: BTreeMap<String, Tensor>,
        text: TextAssets,
    ) -> Result<Self> {
        let score = tensors.contains_key("score.weight");
        let lm_head = !score || tensors.contains_key("lm_head.weight");
        let weights = take(path, &Params::specs(&config, score, lm_head), &mut tensors)?;
        Ok(Self::new(config, weights, text))
    }

    /// Its shape.
    pub fn config(&self) -> &ModelConfig {
        &self.decoder.config
    }

    /// Its tokenizer and template.
    pub fn text(&self) -> &TextAssets {
        &self.text
    }

    /// Elements of all tensors.
    pub fn num_parameters(&self) -> usize {
        self.decoder.weights.iter().map(|w| w.len()).sum()
    }

    /// Whether it has a score head.
    pub fn has_score_head(&self) -> bool {
        self.decoder.weights.score.is_some()
    }

    /// Adds a score head of zeros, unless there is one. Moments of the optimizer are forgotten.
    pub fn add_score_head(&mut self) {
        if self.decoder.weights.score.is_none() {
            self.decoder.weights.score = Some(Buffer::zeros(self.decoder.config.hidden_size));
            (self.gradients, self.moments) = (None, None);
            self.version += 1;
        }
    }

    /// Runs a forest through the model and keeps what backward needs.
    pub fn forward(&self, forest: &Forest, options: &ForwardOptions, cancel: &Cancel) -> Result<Tape> {
        threads::install(|| {
            let pass = self.decoder.forward(forest, options, cancel)?;
            let entropies = if options.entropy { pass.entropies() } else { Vec::new() };
            let scores = pass.scores.clone();
            Ok(Tape { logprobs: pass.logprobs(), entropies, scores, pass, version: self.version })
        })
    }

    /// Log-probability of each token as [`Tape::logprobs`], keeping nothing else.
    pub fn logprobs(
        &self,
        forest: &Forest,
        temperature: f32,
        select: Option<&[u8]>,
        cancel: &Cancel,
    ) -> Result<Vec<f32>> {
        let select = select.map(<[u8]>::to_vec);
        let options = ForwardOptions { temperature, select, ..ForwardOptions::default() };
        threads::install(|| Ok(self.decoder.score_only(forest, &options, cancel)?.logprobs()))
    }

    /// Raw logits behind each of the given tokens, rows × vocab.
    pub fn logits(&self, forest: &Forest, rows: &[u32]) -> Result<Vec<f32>> {
        threads::install(|| self.decoder.logits(forest, rows, &Cancel::new()))
    }

    /// Adds a pass's gradients to the model's. The weights must be those of the pass.
    pub fn backward(&mut self, tape: &Tape, coefficients: &Coefficients<f32>, cancel: &Cancel) -> Result<()> {
        if tape.version != self.version {
            return Err(Error::Input(
                "The weights changed since this forward pass: run it again before backward".into(),
            ));
        }
        let zeros = || self.decoder.weights.map(|w| Buffer::zeros(w.len()));
        let gradients = self.gradients.get_or_insert_with(zeros);
        let done = threads::install(|| self.decoder.backward(&tape.pass, coefficients, gradients, cancel));
        if matches!(done, Err(Error::Cancelled)) {
            // Half of a pass has been added: nobody can use the sum.
            self.gradients = None;
        }
        done
    }

    /// Names and accumulated gradients of all tensors; empty when there are none.
    pub fn gradients(&self) -> Vec<(String, &[f32])> {
        let specs = self.decoder.specs();
        let gradients = self.gradients.iter().flat_map(Params::iter).map(|w| &w[..]);
        specs.iter().map(|s| s.name.clone()).zip(gradients).collect()
    }

    /// Names and values of all tensors.
    pub fn tensors(&self) -> Vec<(String, &[f32])> {
        let specs = self.decoder.specs();
        specs.iter().map(|s| s.name.clone()).zip(self.decoder.weights.iter().map(|w| &w[..])).collect()
    }

    /// Applies the accumulated gradients and clears them. Gives their global norm before clipping.
    pub fn step(&mut self, options: &AdamW) -> Result<f64> {
        for (name, value) in [
            ("learningRate", options.learning_rate),
            ("epsilon", options.epsilon),
            ("weightDecay", options.weight_decay),
            ("maxGradNorm", options.max_grad_norm),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::Input(format!("{name} is \"{value}\", expected a number of at least 0")));
            }
        }
        for (name, value) in [("beta1", options.beta1), ("beta2", options.beta2)] {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::Input(format!("{name} is \"{value}\", expected at least 0 and below 1")));
            }
        }
        let Some(gradients) = self.gradients.take() else {
            return Err(Error::Input("There are no gradients to step with: call backward first".into()));
        };
        let decoder = &mut self.decoder;
        let backend = decoder.backend;
        threads::install(|| {
            let norm = gradients.iter().map(|g| backend.sum_squares(g)).sum::<f64>().sqrt();
            if !norm.is_finite() {
                return Err(Error::Input(format!("The gradient norm is \"{norm}\": the step was not taken")));
            }
            let zeros = || decoder.weights.map(|w| Buffer::zeros(w.len()));
            let moments =
                self.moments.get_or_insert_with(|| Moments { first: zeros(), second: zeros(), steps: 0 });
            moments.steps += 1;
            let clip = options.max_grad_norm > 0.0 && norm > options.max_grad_norm;
            let specs = decoder.specs();
            let state = moments.first.iter_mut().zip(moments.second.iter_mut());
            for (((w, g), (m, v)), spec) in
                decoder.weights.iter_mut().zip(gradients.iter()).zip(state).zip(specs.iter())
            {
                let step = AdamWStep {
                    learning_rate: options.learning_rate,
                    beta1: options.beta1,
                    beta2: options.beta2,
                    epsilon: options.epsilon,
                    weight_decay: if spec.shape.len() > 1 { options.weight_decay } else { 0.0 },
                    gradient_scale: if clip { options.max_grad_norm / norm } else { 1.0 },
                    step: moments.steps,
                };
                backend.adamw(&step, w, g, m, v);
            }
            self.version += 1;
            Ok(norm)
        })
    }

    /// Throws accumulated gradients away.
    pub fn discard_gradients(&mut self) {
        self.gradients = None;
    }

    /// A copy of the weights as they are now, without gradients and moments.
    pub fn snapshot(&self) -> Model {
        Self::new(self.decoder.config.clone(), self.decoder.weights.clone(), self.text.clone())
    }

    /// Generates all requests, as many at once as memory allows, telling `sink` of each token and each end. An error
    /// of the sink ends it.
    pub fn generate(
        &self,
        requests: &[Request],
        options: &generate::Options,
        cancel: &Cancel,
        sink: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<generate::Summary> {
        if requests.is_empty() {
            return Ok(generate::Summary::default());
        }
        let tokenizer = self.text.tokenizer.as_ref();
        let start = || Generation::start(&self.decoder, tokenizer, requests, options);
        let mut generation = threads::install(start)?;
        // A sink that waits for a slow reader must not hold a thread of the pool meanwhile.
        while let Some(events) = threads::install(|| generation.advance(cancel))? {
            events.into_iter().try_for_each(&mut *sink)?;
        }
        Ok(generation.summary())
    }

    /// Writes a Hugging Face directory, and the optimizer's state beside it if asked.
    pub fn save(&self, dir: &Path, dtype: Dtype, optimizer: bool) -> Result<()> {
        let specs = self.decoder.specs();
        weights::save(
            dir,
            &self.decoder.config,
            &references(&specs, "", &self.decoder.weights),
            &self.text,
            dtype,
        )?;
        if !optimizer {
            return Ok(());
        }
        let mut tensors = Vec::new();
        let mut steps = 0;
        if let Some(moments) = &self.moments {
            tensors.extend(references(&specs, FIRST, &moments.first));
            tensors.extend(references(&specs, SECOND, &moments.second));
            steps = moments.steps;
        }
        let metadata = BTreeMap::from([("steps".to_string(), steps.to_string())]);
        weights::save_tensors(&dir.join(OPTIMIZER_FILE), &tensors, &metadata)
    }

    /// Replaces the weights, and the optimizer's state if the directory has one, by what [`Model::save`] wrote.
    /// Nothing changes unless everything could be read.
    pub fn restore(&mut self, dir: &Path) -> Result<()> {
        let loaded = Self::load(dir)?;
        if loaded.decoder.config != self.decoder.config || loaded.has_score_head() != self.has_score_head() {
            return Err(Error::format(dir, "holds a model of another shape than the one to be restored"));
        }
        let file = dir.join(OPTIMIZER_FILE);
        let mut moments = None;
        if file.exists() {
            let (mut tensors, metadata) = weights::load_tensors(&file)?;
            let found = metadata.get("steps").map_or("", String::as_str);
            let steps: u64 = found.parse().map_err(|_| {
                Error::format(&file, format!("metadata \"steps\" is \"{found}\", expected a count"))
            })?;
            if steps > 0 {
                let specs = loaded.decoder.specs();
                let first = take(&file, &prefixed(&specs, FIRST), &mut tensors)?;
                let second = take(&file, &prefixed(&specs, SECOND), &mut tensors)?;
                moments = Some(Moments { first, second, steps });
            }
        }
        self.decoder.weights = loaded.decoder.weights;
        self.moments = moments;
        self.gradients = None;
        self.version += 1;
        Ok(())
    }
}

/// Prefixes of the moments' names.
const FIRST: &str = "first.";
const SECOND: &str = "second.";

fn prefixed(specs: &Params<Spec>, prefix: &str) -> Params<Spec> {
    specs.map(|s| Spec { name: format!("{prefix}{}", s.name), shape: s.shape.clone() })
}

fn references<'a>(specs: &Params<Spec>, prefix: &str, values: &'a Params<Buffer>) -> Vec<TensorRef<'a>> {
    let names = prefixed(specs, prefix);
    names
        .iter()
        .zip(values.iter())
        .map(|(s, data)| TensorRef { name: s.name.clone(), shape: s.shape.clone(), data })
        .collect()
}

/// Takes the tensors of a model out of those that a file holds.
fn take(path: &Path, specs: &Params<Spec>, tensors: &mut BTreeMap<String, Tensor>) -> Result<Params<Buffer>> {
    specs.try_map(|spec| {
        let Some(tensor) = tensors.remove(&spec.name) else {
            return Err(Error::format(path, format!("tensor \"{}\" is missing", spec.name)));
        };
        if tensor.shape != spec.shape {
            let reason =
                format!("tensor \"{}\" has shape {:?}, expected {:?}", spec.name, tensor.shape, spec.shape);
            return Err(Error::format(path, reason));
        }
        Ok(tensor.data.into())
    })
}
