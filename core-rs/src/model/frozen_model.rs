//! A model for inference alone: its file's memory where that is quantised, and no gradients or optimizer.

use super::frozen::Frozen;
use super::language_model::{LanguageModel, generate_all, logprobs, scores};
use super::trainables::Tensors;
#[cfg(not(target_family = "wasm"))]
use crate::Error;
use crate::Result;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::stored::Element;
#[cfg(not(target_family = "wasm"))]
use crate::backend::cuda::{self, Cuda};
use crate::backend::{Backend, Found, InferencePrecision, Place, Precision};
use crate::cancel::Cancel;
use crate::config::ModelConfig;
use crate::forest::Forest;
use crate::generate::{self, Event, Request};
use crate::turns::Turns;
use crate::weights::TextAssets;
use half::bf16;
use std::ops::Deref;
use std::path::Path;

/// Where the weights of a frozen model come from.
pub enum Source<'a, Buffer> {
    /// What [`super::Model::load`] opens.
    File(&'a Path),
    /// Weights on the same device that may change.
    Copy {
        /// Their model's shape.
        config: &'a ModelConfig,
        /// Its tokenizer and template.
        text: &'a TextAssets,
        /// Its tensors.
        tensors: Tensors<'a, Buffer>,
    },
}

/// A device that models are opened on, at any precision that it has.
pub trait Freeze: Backend<Scalar = f32> {
    /// A frozen model on this device.
    fn freeze(&self, precision: InferencePrecision, source: Source<Self::Buffer>) -> Result<FrozenModel>;
}

impl<A: Element<f32>> Freeze for Cpu<f32, A> {
    fn freeze(&self, precision: InferencePrecision, source: Source<Self::Buffer>) -> Result<FrozenModel> {
        let note = self.note();
        match precision {
            InferencePrecision::Trained(Precision::F32) => {
                FrozenModel::open(Cpu::<f32>::new().noting(note), precision, source)
            }
            InferencePrecision::Trained(Precision::Bf16) => {
                FrozenModel::open(Cpu::<f32, bf16>::new().noting(note), precision, source)
            }
            // Sums and activations are f32.
            InferencePrecision::Int8 => {
                FrozenModel::open(Cpu::<f32>::with_integers().noting(note), precision, source)
            }
        }
    }
}

#[cfg(not(target_family = "wasm"))]
impl<A: cuda::Element> Freeze for Cuda<A> {
    fn freeze(&self, precision: InferencePrecision, source: Source<Self::Buffer>) -> Result<FrozenModel> {
        match precision {
            InferencePrecision::Trained(Precision::F32) => {
                FrozenModel::open(self.at::<f32>(), precision, source)
            }
            InferencePrecision::Trained(Precision::Bf16) => {
                FrozenModel::open(self.at::<bf16>(), precision, source)
            }
            InferencePrecision::Int8 => Err(Error::Input(
                "Precision \"int8\" is the CPU's alone, expected \"f32\" or \"bf16\" on a CUDA device".into(),
            )),
        }
    }
}

/// A model that cannot be trained, on whichever device. Quantised weights stay quantised. At the precisions of training
/// they are expanded in the processor's cache, and results have the bits of the same file opened for training.
pub struct FrozenModel(pub(super) Box<dyn LanguageModel>);

impl FrozenModel {
    /// Opens what [`super::Model::load`] opens.
    pub fn load(
        path: &Path,
        place: impl Into<Place>,
        precision: impl Into<InferencePrecision>,
    ) -> Result<Self> {
        let place = place.into();
        let precision = precision.into();
        match place.device.find()? {
            Found::Cpu(note) => Cpu::<f32>::new().noting(note).freeze(precision, Source::File(path)),
            #[cfg(not(target_family = "wasm"))]
            Found::Cuda(gpu) => Cuda::<f32>::new(gpu, place.arithmetic).freeze(precision, Source::File(path)),
        }
    }

    /// On a backend that multiplies at this precision.
    fn open<B: Backend<Scalar = f32>>(
        backend: B,
        precision: InferencePrecision,
        source: Source<B::Buffer>,
    ) -> Result<Self> {
        let (config, text, weights) = backend.install(|| match source {
            Source::File(path) => Frozen::load(&backend, path),
            Source::Copy { config, text, tensors } => {
                Ok((config.clone(), text.clone(), Frozen::copy(&backend, config, tensors)?))
            }
        })?;
        Ok(Self(Box::new(Fixed { backend, precision, config, text, weights })))
    }
}

impl Deref for FrozenModel {
    type Target = dyn LanguageModel;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

/// A frozen model on a backend.
struct Fixed<B: Backend> {
    backend: B,
    precision: InferencePrecision,
    config: ModelConfig,
    text: TextAssets,
    weights: Frozen<B>,
}

impl<B: Backend<Scalar = f32>> LanguageModel for Fixed<B> {
    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn device(&self) -> String {
        self.backend.describe(self.precision)
    }

    fn precision(&self) -> InferencePrecision {
        self.precision
    }

    fn text(&self) -> &TextAssets {
        &self.text
    }

    fn num_parameters(&self) -> usize {
        self.weights.num_parameters(&self.config)
    }

    fn has_score_head(&self) -> bool {
        self.weights.has_score_head()
    }

    fn is_frozen(&self) -> bool {
        true
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
        let reader = self.weights.reader(&self.backend, &self.config);
        self.backend.install(|| logprobs(&reader, forest, temperature, select, cancel))
    }

    fn scores(&self, forest: &Forest, tokens: &[u32], cancel: &Cancel) -> Result<Vec<f32>> {
        let reader = self.weights.reader(&self.backend, &self.config);
        self.backend.install(|| scores(&reader, forest, tokens, cancel))
    }

    fn logits(&self, forest: &Forest, rows: &[u32]) -> Result<Vec<f32>> {
        let reader = self.weights.reader(&self.backend, &self.config);
        self.backend.install(|| reader.logits(forest, rows, &Cancel::new()))
    }

    fn generate_in_turns<'a>(
        &'a self,
        requests: &'a [Request],
        options: &'a generate::Options,
        cancel: &'a Cancel,
        sink: &'a mut dyn FnMut(Event) -> Result<()>,
    ) -> Turns<'a, Result<generate::Summary>> {
        let reader = self.weights.reader(&self.backend, &self.config);
        Box::pin(generate_all(reader, &self.text, (requests, options), cancel, sink))
    }
}
