//! A model that is trained, on any backend: weights, gradients, optimizer state and the files they live in.

use super::decoder::{Coefficients, Decoder};
use super::frozen_model::{Freeze, FrozenModel, Source};
use super::init;
use super::language_model::{LanguageModel, generate_all, logprobs};
use super::memory::{self, TrainingMemory};
use super::params::{Params, Spec};
use super::reader::{ForwardOptions, Pass};
use super::{AdamW, Tape, Trainable};
use crate::backend::{AdamWStep, Backend, InferencePrecision, Precision, Updated};
use crate::cancel::Cancel;
use crate::config::ModelConfig;
use crate::forest::Forest;
use crate::generate::{self, Event, Request};
use crate::weights::{self, Checkpoint, Dtype, Tensor, TensorRef, TextAssets};
use crate::{Error, Result};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

/// File of the optimizer's state beside the weights.
const OPTIMIZER_FILE: &str = "optimizer.safetensors";
/// Prefixes of the moments' names in it.
const FIRST: &str = "first.";
const SECOND: &str = "second.";

/// A model in the host's memory, on its way to a device.
pub struct Host {
    config: ModelConfig,
    text: TextAssets,
    weights: Params<Vec<f32>>,
}

impl Host {
    /// Reads what [`super::Model::load`] opens.
    pub fn load(path: &Path) -> Result<Self> {
        let Checkpoint { config, mut tensors, text } = weights::load(path)?;
        let score = tensors.contains_key(weights::SCORE);
        let lm_head = !score || tensors.contains_key(weights::LM_HEAD);
        let weights = take(path, &Params::specs(&config, score, lm_head), &mut tensors)?;
        Ok(Self { config, text, weights })
    }

    /// See [`super::Model::init`].
    pub fn init(config: ModelConfig, text: TextAssets, seed: u64) -> Result<Self> {
        config.validate()?;
        let weights = init::random(&config, seed);
        Ok(Self { config, text, weights })
    }
}

/// First and second moments, and the steps taken.
struct Moments<B: Backend> {
    first: Params<B::Buffer>,
    second: Params<B::Buffer>,
    steps: u64,
}

/// A model with its gradients and its optimizer on a backend.
pub struct Trained<B: Backend> {
    backend: B,
    precision: Precision,
    config: ModelConfig,
    text: TextAssets,
    weights: Params<B::Buffer>,
    gradients: Option<Params<B::Buffer>>,
    moments: Option<Moments<B>>,
    /// Grows with every change of the weights.
    version: u64,
}

impl<B: Freeze> Trained<B> {
    /// Takes a model to the backend, which multiplies at this precision.
    pub fn new(backend: B, precision: Precision, host: Host) -> Result<Self> {
        let Host { config, text, weights } = host;
        let weights = backend.install(|| together(weights, |all| backend.parameters(all)))?;
        Ok(Self { backend, precision, config, text, weights, gradients: None, moments: None, version: 0 })
    }

    fn decoder(&self) -> Decoder<'_, B> {
        Decoder { backend: self.backend.clone(), config: &self.config, weights: &self.weights }
    }

    /// Names and shapes of the tensors.
    fn specs(&self) -> Params<Spec> {
        Params::specs(&self.config, self.weights.score.is_some(), self.weights.lm_head.is_some())
    }

    /// Zeros for each weight.
    fn zeros(&self) -> Result<Params<B::Buffer>> {
        let zeros = self.backend.zeros_like(&self.weights.iter().collect::<Vec<_>>())?;
        Ok(self.weights.replaced(zeros))
    }

    /// Values of tensors by name.
    fn named<'a>(&'a self, values: &'a Params<B::Buffer>) -> Result<Vec<(String, Cow<'a, [f32]>)>> {
        let specs = self.specs();
        let named = specs.iter().zip(values.iter());
        named.map(|(spec, x)| Ok((spec.name.clone(), self.backend.download(x)?))).collect()
    }

    /// Tensors to be written, each downloaded when it is.
    fn references<'a>(&'a self, prefix: &str, values: &'a Params<B::Buffer>) -> Vec<TensorRef<'a>> {
        let names = prefixed(&self.specs(), prefix);
        let values = names.iter().zip(values.iter()).map(|(spec, x)| {
            TensorRef::with(spec.name.clone(), spec.shape.clone(), || self.backend.download(x))
        });
        values.collect()
    }
}

impl<B: Freeze> Trainable for Trained<B> {
    fn add_score_head(&mut self) -> Result<()> {
        if self.weights.score.is_none() {
            let head = self.backend.parameters(vec![vec![0.0; self.config.hidden_size]])?;
            self.weights.score = head.into_iter().next();
            (self.gradients, self.moments) = (None, None);
            self.version += 1;
        }
        Ok(())
    }

    fn forward(&self, forest: &Forest, options: &ForwardOptions, cancel: &Cancel) -> Result<Tape> {
        let pass = self.backend.install(|| self.decoder().forward(forest, options, cancel))?;
        Ok(Tape {
            logprobs: pass.logprobs(),
            entropies: if options.entropy { pass.entropies() } else { Vec::new() },
            scores: pass.scores.clone(),
            pass: Box::new(pass),
            version: self.version,
        })
    }

    fn backward(&mut self, tape: &Tape, coefficients: &Coefficients<f32>, cancel: &Cancel) -> Result<()> {
        let Some(pass) = tape.pass.downcast_ref::<Pass<B>>() else {
            return Err(Error::Input(format!(
                "The tape is of a model on another device or at another precision than \"{}\"",
                self.device()
            )));
        };
        if tape.version != self.version {
            return Err(Error::Input(
                "The weights changed since this forward pass: run it again before backward".into(),
            ));
        }
        let mut gradients = match self.gradients.take() {
            Some(gradients) => gradients,
            None => self.zeros()?,
        };
        let done =
            self.backend.install(|| self.decoder().backward(pass, coefficients, &mut gradients, cancel));
        // Coefficients are refused before anything is added. What ended later has been added in part: nobody can use
        // the sum.
        if matches!(done, Ok(()) | Err(Error::Input(_))) {
            self.gradients = Some(gradients);
        }
        done
    }

    fn gradients(&self) -> Result<Vec<(String, Cow<'_, [f32]>)>> {
        self.gradients.as_ref().map_or(Ok(Vec::new()), |gradients| self.named(gradients))
    }

    fn save_gradients(&self, file: &Path) -> Result<()> {
        let Some(gradients) = &self.gradients else {
            return Err(Error::Input("There are no gradients to save: call backward first".into()));
        };
        weights::save_tensors(file, &self.references("", gradients), &BTreeMap::new())
    }

    fn tensors(&self) -> Result<Vec<(String, Cow<'_, [f32]>)>> {
        self.named(&self.weights)
    }

    fn step(&mut self, options: &AdamW) -> Result<f64> {
        options.check()?;
        let Some(gradients) = self.gradients.take() else {
            return Err(Error::Input("There are no gradients to step with: call backward first".into()));
        };
        let backend = self.backend.clone();
        backend.install(|| {
            let norm = backend.sum_squares(&gradients.iter().collect::<Vec<_>>())?.sqrt();
            if !norm.is_finite() {
                return Err(Error::Input(format!("The gradient norm is \"{norm}\": the step was not taken")));
            }
            let specs = self.specs();
            let mut moments = match self.moments.take() {
                Some(moments) => moments,
                None => Moments { first: self.zeros()?, second: self.zeros()?, steps: 0 },
            };
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
            let tensors = self.weights.iter_mut().zip(gradients.iter()).zip(state).zip(specs.iter());
            let updated = tensors.map(|(((weight, gradient), (first, second)), spec)| {
                let decays = spec.shape.len() > 1;
                Updated { weight, gradient, first, second, decays }
            });
            let done = backend.adamw(&step, updated.collect());
            self.moments = Some(moments);
            self.version += 1;
            done.map(|()| norm)
        })
    }

    fn training_memory(&self) -> Result<TrainingMemory> {
        let (config, specs) = (&self.config, self.specs());
        let weights: usize = specs.iter().map(Spec::len).sum();
        let missing = usize::from(self.gradients.is_none()) + 2 * usize::from(self.moments.is_none());
        let element = self.backend.activation_bytes();
        let (token, recomputed_token) = memory::token_bytes(config, element);
        Ok(TrainingMemory {
            free: self.backend.free_memory()?,
            state: missing * weights * size_of::<f32>(),
            reference: memory::reference_bytes(config, &specs, element),
            pass: self.backend.vocab_bytes(config.vocab_size),
            token,
            recomputed_token,
        })
    }

    fn discard_gradients(&mut self) {
        self.gradients = None;
    }

    fn snapshot(&self, precision: Option<InferencePrecision>) -> Result<FrozenModel> {
        let precision = precision.unwrap_or(self.precision.into());
        let source = Source::Copy { config: &self.config, text: &self.text, weights: &self.weights };
        self.backend.freeze(precision, source)
    }

    fn save(&self, dir: &Path, dtype: Dtype, optimizer: bool) -> Result<()> {
        weights::save(dir, &self.config, &self.references("", &self.weights), &self.text, dtype)?;
        if !optimizer {
            return Ok(());
        }
        let mut tensors = Vec::new();
        let mut steps = 0;
        if let Some(moments) = &self.moments {
            tensors.extend(self.references(FIRST, &moments.first));
            tensors.extend(self.references(SECOND, &moments.second));
            steps = moments.steps;
        }
        let metadata = BTreeMap::from([("steps".to_string(), steps.to_string())]);
        weights::save_tensors(&dir.join(OPTIMIZER_FILE), &tensors, &metadata)
    }

    fn restore(&mut self, dir: &Path) -> Result<()> {
        let Host { config, weights, .. } = Host::load(dir)?;
        if config != self.config || weights.score.is_some() != self.weights.score.is_some() {
            return Err(Error::format(dir, "holds a model of another shape than the one to be restored"));
        }
        let specs = Params::specs(&config, weights.score.is_some(), weights.lm_head.is_some());
        let file = dir.join(OPTIMIZER_FILE);
        let mut moments = None;
        if file.exists() {
            let (mut tensors, metadata) = weights::load_tensors(&file)?;
            let found = metadata.get("steps").map_or("", String::as_str);
            let steps: u64 = found.parse().map_err(|_| {
                Error::format(&file, format!("metadata \"steps\" is \"{found}\", expected a count"))
            })?;
            if steps > 0 {
                let first = take(&file, &prefixed(&specs, FIRST), &mut tensors)?;
                let second = take(&file, &prefixed(&specs, SECOND), &mut tensors)?;
                moments = Some((first, second, steps));
            }
        }
        // Everything could be read: what is forgotten makes room on the device for what comes.
        (self.gradients, self.moments) = (None, None);
        let b = &self.backend;
        self.weights = together(weights, |all| b.parameters(all))?;
        self.version += 1;
        if let Some((first, second, steps)) = moments {
            let first = together(first, |all| b.upload_all(all))?;
            let second = together(second, |all| b.upload_all(all))?;
            self.moments = Some(Moments { first, second, steps });
        }
        Ok(())
    }
}

impl<B: Freeze> LanguageModel for Trained<B> {
    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn device(&self) -> String {
        self.backend.describe(self.precision.into())
    }

    fn precision(&self) -> InferencePrecision {
        self.precision.into()
    }

    fn text(&self) -> &TextAssets {
        &self.text
    }

    fn num_parameters(&self) -> usize {
        self.specs().iter().map(Spec::len).sum()
    }

    fn has_score_head(&self) -> bool {
        self.weights.score.is_some()
    }

    fn is_frozen(&self) -> bool {
        false
    }

    fn is_exact(&self) -> bool {
        self.backend.is_exact()
    }

    fn logprobs(
        &self,
        forest: &Forest,
        temperature: f32,
        select: Option<&[u8]>,
        cancel: &Cancel,
    ) -> Result<Vec<f32>> {
        self.backend.install(|| logprobs(&self.decoder().reader(), forest, temperature, select, cancel))
    }

    fn logits(&self, forest: &Forest, rows: &[u32]) -> Result<Vec<f32>> {
        self.backend.install(|| self.decoder().reader().logits(forest, rows, &Cancel::new()))
    }

    fn generate(
        &self,
        requests: &[Request],
        options: &generate::Options,
        cancel: &Cancel,
        sink: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<generate::Summary> {
        let decoder = self.decoder();
        let packed = B::PACKS.then(|| self.backend.install(|| decoder.pack())).transpose()?;
        let reader = match &packed {
            Some(packed) => decoder.packed_reader(packed),
            None => decoder.reader(),
        };
        generate_all(reader, &self.text, (requests, options), cancel, sink)
    }
}

fn prefixed(specs: &Params<Spec>, prefix: &str) -> Params<Spec> {
    specs.map(|s| Spec { name: format!("{prefix}{}", s.name), shape: s.shape.clone() })
}

/// Takes the tensors of a model out of those that a file holds.
fn take(
    path: &Path,
    specs: &Params<Spec>,
    tensors: &mut BTreeMap<String, Tensor>,
) -> Result<Params<Vec<f32>>> {
    specs.try_map(|spec| {
        let Some(tensor) = tensors.remove(&spec.name) else {
            return Err(Error::format(path, format!("tensor \"{}\" is missing", spec.name)));
        };
        if tensor.shape != spec.shape {
            let reason =
                format!("tensor \"{}\" has shape {:?}, expected {:?}", spec.name, tensor.shape, spec.shape);
            return Err(Error::format(path, reason));
        }
        Ok(tensor.data)
    })
}

/// Takes all tensors somewhere at once.
fn together<T>(
    mut host: Params<Vec<f32>>,
    upload: impl FnOnce(Vec<Vec<f32>>) -> Result<Vec<T>>,
) -> Result<Params<T>> {
    let all = host.iter_mut().map(std::mem::take).collect();
    Ok(host.replaced(upload(all)?))
}
