//! A trainable model on the CPU: weights, gradients, optimizer state and the files they live in.

pub mod decoder;
#[cfg(test)]
mod decoder_tests;
mod frozen;
mod frozen_model;
mod init;
mod language_model;
pub mod layer;
pub mod params;
pub mod reader;

use crate::backend::cpu::{Cpu, pool};
use crate::backend::{AdamWStep, Backend, Updated, threads};
pub use crate::backend::{InferencePrecision, Precision};
use crate::cancel::Cancel;
use crate::config::ModelConfig;
use crate::forest::Forest;
use crate::generate::{self, Event, Request};
use crate::weights::{self, Checkpoint, Dtype, Tensor, TensorRef, TextAssets};
use crate::{Error, Result};
pub use decoder::Coefficients;
use decoder::Decoder;
pub use frozen_model::FrozenModel;
use half::bf16;
pub use language_model::LanguageModel;
use language_model::{generate_all, logprobs};
use params::{Params, Spec};
pub use reader::ForwardOptions;
use reader::Pass;
use std::collections::BTreeMap;
use std::path::Path;

type Buffer = pool::Buffer<f32>;

/// File of the optimizer's state beside the weights.
const OPTIMIZER_FILE: &str = "optimizer.safetensors";

/// A pass at either precision.
enum AnyPass {
    F32(Pass<Cpu<f32>>),
    Bf16(Pass<Cpu<f32, bf16>>),
}

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
    pass: AnyPass,
    version: u64,
}

/// A model with its gradients and its optimizer.
pub struct Model {
    precision: Precision,
    config: ModelConfig,
    weights: Params<Buffer>,
    text: TextAssets,
    gradients: Option<Params<Buffer>>,
    moments: Option<Moments>,
    /// Grows with every change of the weights.
    version: u64,
}

impl Model {
    /// Opens a Hugging Face directory, a directory with one GGUF file, or a GGUF file.
    pub fn load(path: &Path, precision: Precision) -> Result<Self> {
        let Checkpoint { config, tensors, text } = weights::load(path)?;
        Self::from_tensors(path, config, tensors, text, precision)
    }

    /// A new model with random weights: matrices from N(0, 0.02²), those that write to the residual stream from
    /// N(0, 0.02² / (2 · layers)) (Radford et al. 2019, section 2.3), norms 1, biases 0.
    pub fn init(config: ModelConfig, text: TextAssets, seed: u64, precision: Precision) -> Result<Self> {
        config.validate()?;
        let weights = init::random(&config, seed).map(|w| w.clone().into());
        Ok(Self::new(config, weights, text, precision))
    }

    fn new(config: ModelConfig, weights: Params<Buffer>, text: TextAssets, precision: Precision) -> Self {
        Self { precision, config, weights, text, gradients: None, moments: None, version: 0 }
    }

    fn f32(&self) -> Decoder<'_, Cpu<f32>> {
        Decoder { backend: Cpu::new(), config: &self.config, weights: &self.weights }
    }

    fn bf16(&self) -> Decoder<'_, Cpu<f32, bf16>> {
        Decoder { backend: Cpu::new(), config: &self.config, weights: &self.weights }
    }

    /// Names and shapes of the tensors.
    fn specs(&self) -> Params<Spec> {
        Params::specs(&self.config, self.weights.score.is_some(), self.weights.lm_head.is_some())
    }

    fn from_tensors(
        path: &Path,
        config: ModelConfig,
        mut tensors: BTreeMap<String, Tensor>,
        text: TextAssets,
        precision: Precision,
    ) -> Result<Self> {
        let score = tensors.contains_key("score.weight");
        let lm_head = !score || tensors.contains_key("lm_head.weight");
        let weights = take(path, &Params::specs(&config, score, lm_head), &mut tensors)?;
        Ok(Self::new(config, weights, text, precision))
    }

    /// Adds a score head of zeros, unless there is one. Moments of the optimizer are forgotten.
    pub fn add_score_head(&mut self) {
        if self.weights.score.is_none() {
            self.weights.score = Some(Buffer::zeros(self.config.hidden_size));
            (self.gradients, self.moments) = (None, None);
            self.version += 1;
        }
    }

    /// Runs a forest through the model and keeps what backward needs.
    pub fn forward(&self, forest: &Forest, options: &ForwardOptions, cancel: &Cancel) -> Result<Tape> {
        fn tape<B: Backend<Scalar = f32>>(
            pass: Pass<B>,
            options: &ForwardOptions,
            version: u64,
            wrap: fn(Pass<B>) -> AnyPass,
        ) -> Tape {
            let entropies = if options.entropy { pass.entropies() } else { Vec::new() };
            let (logprobs, scores) = (pass.logprobs(), pass.scores.clone());
            Tape { logprobs, entropies, scores, pass: wrap(pass), version }
        }
        threads::install(|| match self.precision {
            Precision::F32 => {
                let pass = self.f32().forward(forest, options, cancel)?;
                Ok(tape(pass, options, self.version, AnyPass::F32))
            }
            Precision::Bf16 => {
                let pass = self.bf16().forward(forest, options, cancel)?;
                Ok(tape(pass, options, self.version, AnyPass::Bf16))
            }
        })
    }

    /// Adds a pass's gradients to the model's. The weights must be those of the pass.
    pub fn backward(&mut self, tape: &Tape, coefficients: &Coefficients<f32>, cancel: &Cancel) -> Result<()> {
        if tape.version != self.version {
            return Err(Error::Input(
                "The weights changed since this forward pass: run it again before backward".into(),
            ));
        }
        let zeros = || self.weights.map(|w| Buffer::zeros(w.len()));
        let mut gradients = self.gradients.take().unwrap_or_else(zeros);
        let done = threads::install(|| match &tape.pass {
            AnyPass::F32(pass) => self.f32().backward(pass, coefficients, &mut gradients, cancel),
            AnyPass::Bf16(pass) => self.bf16().backward(pass, coefficients, &mut gradients, cancel),
        });
        // A pass that was cancelled has been added in part: nobody can use the sum.
        if !matches!(done, Err(Error::Cancelled)) {
            self.gradients = Some(gradients);
        }
        done
    }

    /// Names and accumulated gradients of all tensors; empty when there are none.
    pub fn gradients(&self) -> Vec<(String, &[f32])> {
        let specs = self.specs();
        let gradients = self.gradients.iter().flat_map(Params::iter).map(|w| &w[..]);
        specs.iter().map(|s| s.name.clone()).zip(gradients).collect()
    }

    /// Names and values of all tensors.
    pub fn tensors(&self) -> Vec<(String, &[f32])> {
        let specs = self.specs();
        specs.iter().map(|s| s.name.clone()).zip(self.weights.iter().map(|w| &w[..])).collect()
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
        let backend = Cpu::<f32>::new();
        let specs = self.specs();
        threads::install(|| {
            let norm = backend.sum_squares(&gradients.iter().collect::<Vec<_>>())?.sqrt();
            if !norm.is_finite() {
                return Err(Error::Input(format!("The gradient norm is \"{norm}\": the step was not taken")));
            }
            let zeros = || self.weights.map(|w| Buffer::zeros(w.len()));
            let moments =
                self.moments.get_or_insert_with(|| Moments { first: zeros(), second: zeros(), steps: 0 });
            moments.steps += 1;
            let clip = options.max_grad_norm > 0.0 && norm > options.max_grad_norm;
            let step = AdamWStep {
                learning_rate: options.learning_rate,
                beta1: options.beta1,
                beta2: options.beta2,
                epsilon: options.epsilon,
                weight_decay: options.weight_decay,
                gradient_scale: if clip { options.max_grad_norm / norm } else { 1.0 },
                step: moments.steps,
            };
            let state = moments.first.iter_mut().zip(moments.second.iter_mut());
            let updated = self.weights.iter_mut().zip(gradients.iter()).zip(state).zip(specs.iter()).map(
                |(((weight, gradient), (first, second)), spec)| Updated {
                    weight,
                    gradient,
                    first,
                    second,
                    decays: spec.shape.len() > 1,
                },
            );
            backend.adamw(&step, updated.collect())?;
            self.version += 1;
            Ok(norm)
        })
    }

    /// Throws accumulated gradients away.
    pub fn discard_gradients(&mut self) {
        self.gradients = None;
    }

    /// A copy of the weights as they are now, for forward passes alone, at the model's own precision or another.
    pub fn snapshot(&self, precision: Option<InferencePrecision>) -> Result<FrozenModel> {
        let precision = precision.unwrap_or(self.precision.into());
        threads::install(|| {
            FrozenModel::copy(self.config.clone(), &self.weights, self.text.clone(), precision)
        })
    }

    /// Writes a Hugging Face directory, and the optimizer's state beside it if asked.
    pub fn save(&self, dir: &Path, dtype: Dtype, optimizer: bool) -> Result<()> {
        let specs = self.specs();
        weights::save(dir, &self.config, &references(&specs, "", &self.weights), &self.text, dtype)?;
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
        let loaded = Self::load(dir, self.precision)?;
        if loaded.config != self.config || loaded.has_score_head() != self.has_score_head() {
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
                let specs = loaded.specs();
                let first = take(&file, &prefixed(&specs, FIRST), &mut tensors)?;
                let second = take(&file, &prefixed(&specs, SECOND), &mut tensors)?;
                moments = Some(Moments { first, second, steps });
            }
        }
        self.weights = loaded.weights;
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

impl LanguageModel for Model {
    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn precision(&self) -> InferencePrecision {
        self.precision.into()
    }

    fn text(&self) -> &TextAssets {
        &self.text
    }

    fn num_parameters(&self) -> usize {
        self.weights.iter().map(|w| w.len()).sum()
    }

    fn has_score_head(&self) -> bool {
        self.weights.score.is_some()
    }

    fn is_frozen(&self) -> bool {
        false
    }

    fn logprobs(
        &self,
        forest: &Forest,
        temperature: f32,
        select: Option<&[u8]>,
        cancel: &Cancel,
    ) -> Result<Vec<f32>> {
        threads::install(|| match self.precision {
            Precision::F32 => logprobs(&self.f32().reader(), forest, temperature, select, cancel),
            Precision::Bf16 => logprobs(&self.bf16().reader(), forest, temperature, select, cancel),
        })
    }

    fn logits(&self, forest: &Forest, rows: &[u32]) -> Result<Vec<f32>> {
        threads::install(|| match self.precision {
            Precision::F32 => self.f32().reader().logits(forest, rows, &Cancel::new()),
            Precision::Bf16 => self.bf16().reader().logits(forest, rows, &Cancel::new()),
        })
    }

    fn generate(
        &self,
        requests: &[Request],
        options: &generate::Options,
        cancel: &Cancel,
        sink: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<generate::Summary> {
        fn packed<B: Backend>(
            decoder: &Decoder<B>,
            text: &TextAssets,
            (requests, options): (&[Request], &generate::Options),
            cancel: &Cancel,
            sink: &mut dyn FnMut(Event) -> Result<()>,
        ) -> Result<generate::Summary> {
            let packed = threads::install(|| decoder.pack())?;
            generate_all(decoder.packed_reader(&packed), text, (requests, options), cancel, sink)
        }
        let asked = (requests, options);
        match self.precision {
            Precision::F32 => packed(&self.f32(), &self.text, asked, cancel, sink),
            Precision::Bf16 => packed(&self.bf16(), &self.text, asked, cancel, sink),
        }
    }
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
