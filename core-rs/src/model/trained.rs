//! A model that is trained, on any backend: weights, gradients, optimizer state and the files they live in.

use super::base::Base;
use super::decoder::{Coefficients, Decoder};
use super::frozen_model::{Freeze, FrozenModel, Source};
use super::host::Host;
use super::language_model::{LanguageModel, generate_by, logprobs, scores};
use super::lora::{Adapters, Lora, LoraShape};
use super::memory::{self, TrainingMemory};
use super::params::{Params, Spec, infallible};
use super::reader::{ForwardOptions, Pass};
use super::trainables::{Tensors, Trainables};
use super::{AdamW, SaveOptions, Tape, Trainable};
use crate::backend::{AdamWStep, Backend, InferencePrecision, Precision, Updated};
use crate::cancel::Cancel;
use crate::config::ModelConfig;
use crate::forest::Forest;
use crate::generate::{self, Event, Request};
use crate::turns::Turns;
use crate::weights::{self, TextAssets};
use crate::{Error, Result};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// First and second moments, and the steps taken.
pub(super) struct Moments<B: Backend> {
    pub(super) first: Trainables<B::Buffer>,
    pub(super) second: Trainables<B::Buffer>,
    pub(super) steps: u64,
}

/// A model with its gradients and its optimizer on a backend.
pub struct Trained<B: Backend> {
    pub(super) backend: B,
    precision: Precision,
    pub(super) config: ModelConfig,
    pub(super) text: TextAssets,
    /// Where the weights were read from.
    pub(super) source: Option<PathBuf>,
    /// Shared with references where adapters are trained, and then never changed.
    pub(super) weights: Arc<Params<B::Buffer>>,
    pub(super) lora: Option<Lora<B::Buffer>>,
    pub(super) score: Option<B::Buffer>,
    pub(super) gradients: Option<Trainables<B::Buffer>>,
    pub(super) moments: Option<Moments<B>>,
    /// Grows with every change of what passes read.
    pub(super) version: u64,
}

impl<B: Freeze> Trained<B> {
    /// Takes a model to the backend, which multiplies at this precision.
    pub fn new(backend: B, precision: Precision, host: Host) -> Result<Self> {
        let Host { config, text, source, weights, score } = host;
        let (weights, score) = backend.install(|| {
            let (weights, score) = (tensors(&backend, weights)?, score.map(|x| backend.parameters(vec![x])));
            Ok::<_, Error>((weights, score.transpose()?.and_then(|x| x.into_iter().next())))
        })?;
        let weights = Arc::new(weights);
        let (lora, gradients, moments) = (None, None, None);
        Ok(Self {
            backend,
            precision,
            config,
            text,
            source,
            weights,
            lora,
            score,
            gradients,
            moments,
            version: 0,
        })
    }

    /// What passes read.
    pub(super) fn tensors(&self) -> Tensors<'_, B::Buffer> {
        Tensors { weights: &self.weights, lora: self.lora.as_ref(), score: self.score.as_ref() }
    }

    pub(super) fn decoder(&self) -> Decoder<'_, B> {
        Decoder { backend: self.backend.clone(), config: &self.config, tensors: self.tensors() }
    }

    /// Zeros for each tensor that is trained.
    fn zeros(&self) -> Result<Trainables<B::Buffer>> {
        let trained = self.tensors().trainable();
        let zeros = self.backend.zeros_like(&trained.iter().copied().collect::<Vec<_>>())?;
        Ok(trained.replaced(zeros))
    }

    /// Values of tensors by name.
    fn named<'a>(
        &'a self,
        specs: impl IntoIterator<Item = Spec>,
        values: impl IntoIterator<Item = &'a B::Buffer>,
    ) -> Result<Vec<(String, Cow<'a, [f32]>)>> {
        let named = specs.into_iter().zip(values);
        named.map(|(spec, x)| Ok((spec.name, self.backend.download(x)?))).collect()
    }

    /// Names and shapes of all tensors.
    fn specs(&self) -> Vec<Spec> {
        let tensors = self.tensors();
        let weights = tensors.weight_specs(&self.config);
        let trained = tensors.trainable_specs(&self.config);
        let own = trained.adapters.iter().flat_map(Adapters::iter).chain(&trained.score);
        weights.iter().chain(own).cloned().collect()
    }

    /// What was trained is another set of tensors from now on.
    pub(super) fn forget(&mut self) {
        (self.gradients, self.moments) = (None, None);
        self.version += 1;
    }

    /// Puts adapters on.
    pub(super) fn adapt(&mut self, shape: LoraShape, adapters: Adapters<Vec<f32>>) -> Result<()> {
        let values: Vec<Vec<f32>> = adapters.iter().cloned().collect();
        let mut values = self.backend.parameters(values)?.into_iter();
        let adapters = infallible(adapters.try_map(|_| Ok(values.next().expect("as many as there were"))));
        self.lora = Some(Lora { shape, adapters });
        Ok(())
    }
}

/// Takes all weights of a model to a backend at once.
pub(super) fn tensors<B: Backend<Scalar = f32>>(
    backend: &B,
    mut host: Params<Vec<f32>>,
) -> Result<Params<B::Buffer>> {
    let all = host.iter_mut().map(std::mem::take).collect();
    Ok(host.replaced(backend.parameters(all)?))
}

impl<B: Freeze> Trainable for Trained<B> {
    fn add_score_head(&mut self) -> Result<()> {
        if self.score.is_none() {
            let head = self.backend.parameters(vec![vec![0.0; self.config.hidden_size]])?;
            self.score = head.into_iter().next();
            self.forget();
        }
        Ok(())
    }

    fn add_lora(&mut self, shape: LoraShape, seed: u64) -> Result<()> {
        if let Some(Lora { shape, .. }) = &self.lora {
            return Err(Error::Input(format!(
                "The model has adapters of rank \"{}\" already, expected one without",
                shape.rank
            )));
        }
        shape.check(&self.config)?;
        let values = Adapters::specs(&self.config, &shape).random(seed);
        self.adapt(shape, values)?;
        self.forget();
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
        let specs = self.tensors().trainable_specs(&self.config);
        self.gradients
            .as_ref()
            .map_or(Ok(Vec::new()), |gradients| self.named(specs.iter().cloned(), gradients.iter()))
    }

    fn save_gradients(&self, file: &Path) -> Result<()> {
        let Some(gradients) = &self.gradients else {
            return Err(Error::Input("There are no gradients to save: call backward first".into()));
        };
        let specs = self.tensors().trainable_specs(&self.config);
        weights::save_tensors(file, &self.references(specs.iter(), "", gradients.iter()), &BTreeMap::new())
    }

    fn tensors(&self) -> Result<Vec<(String, Cow<'_, [f32]>)>> {
        let adapters = self.lora.iter().flat_map(|lora| lora.adapters.iter());
        self.named(self.specs(), self.weights.iter().chain(adapters).chain(&self.score))
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
                return Err(Error::NotFinite(format!(
                    "The gradient norm is \"{norm}\": the step was not taken"
                )));
            }
            let specs = self.tensors().trainable_specs(&self.config);
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
            let Self { weights, lora, score, .. } = &mut *self;
            let weights = match lora {
                None => Some(Arc::get_mut(weights).ok_or_else(|| {
                    Error::Internal("weights that are trained are shared with a reference".into())
                })?),
                Some(_) => None,
            };
            let adapters = lora.iter_mut().flat_map(|lora| lora.adapters.iter_mut());
            let trained = weights.into_iter().flat_map(Params::iter_mut).chain(adapters).chain(score);
            let tensors = trained.zip(gradients.iter()).zip(state).zip(specs.iter());
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
        let (config, tensors) = (&self.config, self.tensors());
        let trained: usize = tensors.trainable_specs(config).iter().map(Spec::len).sum();
        let missing = usize::from(self.gradients.is_none()) + 2 * usize::from(self.moments.is_none());
        let element = self.backend.activation_bytes();
        let (token, recomputed_token) = memory::token_bytes(config, element);
        let (adapters, reference) = match &self.lora {
            Some(lora) => (memory::adapter_token_bytes(config, &lora.shape, element), 0),
            None => (0, memory::reference_bytes(config, &tensors.weight_specs(config), element)),
        };
        Ok(TrainingMemory {
            free: self.backend.free_memory()?,
            state: missing * trained * size_of::<f32>(),
            reference,
            pass: self.backend.vocab_bytes(config.vocab_size),
            token: token + adapters,
            recomputed_token: recomputed_token + adapters,
        })
    }

    fn discard_gradients(&mut self) {
        self.gradients = None;
    }

    fn snapshot(&self, precision: Option<InferencePrecision>) -> Result<FrozenModel> {
        if self.lora.is_some() && precision.is_none() {
            return Ok(FrozenModel(Box::new(Base {
                backend: self.backend.clone(),
                precision: self.precision.into(),
                config: self.config.clone(),
                text: self.text.clone(),
                weights: self.weights.clone(),
            })));
        }
        let precision = precision.unwrap_or(self.precision.into());
        let source = Source::Copy { config: &self.config, text: &self.text, tensors: self.tensors() };
        self.backend.freeze(precision, source)
    }

    fn save(&self, dir: &Path, options: &SaveOptions) -> Result<()> {
        self.write(dir, options)
    }

    fn restore(&mut self, dir: &Path) -> Result<()> {
        self.read(dir)
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
        self.score.is_some()
    }

    fn lora(&self) -> Option<&LoraShape> {
        self.lora.as_ref().map(|lora| &lora.shape)
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

    fn scores(&self, forest: &Forest, tokens: &[u32], cancel: &Cancel) -> Result<Vec<f32>> {
        self.backend.install(|| scores(&self.decoder().reader(), forest, tokens, cancel))
    }

    fn logits(&self, forest: &Forest, rows: &[u32]) -> Result<Vec<f32>> {
        self.backend.install(|| self.decoder().reader().logits(forest, rows, &Cancel::new()))
    }

    fn generate_in_turns<'a>(
        &'a self,
        requests: &'a [Request],
        options: &'a generate::Options,
        cancel: &'a Cancel,
        sink: &'a mut dyn FnMut(Event) -> Result<()>,
    ) -> Turns<'a, Result<generate::Summary>> {
        Box::pin(generate_by(self.decoder(), &self.text, (requests, options), cancel, sink))
    }
}
