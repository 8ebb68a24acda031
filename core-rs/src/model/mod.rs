//! Models: those that are trained and those for inference alone, each on one device.

mod adapter;
mod base;
pub mod decoder;
#[cfg(test)]
mod decoder_tests;
mod files;
mod frozen;
mod frozen_model;
mod host;
mod init;
mod language_model;
pub mod layer;
mod layer_backward;
pub mod lora;
pub mod memory;
pub mod params;
pub mod reader;
pub mod trainables;
mod trained;

use crate::backend::cpu::Cpu;
#[cfg(not(target_family = "wasm"))]
use crate::backend::cuda::Cuda;
use crate::backend::{Arithmetic, Found, Place};
pub use crate::backend::{InferencePrecision, Precision};
use crate::cancel::Cancel;
use crate::config::ModelConfig;
use crate::forest::Forest;
use crate::weights::{Dtype, TextAssets};
use crate::{Error, Result};
pub use decoder::Coefficients;
use frozen_model::Freeze;
pub use frozen_model::FrozenModel;
use half::bf16;
pub(crate) use host::Host;
pub use language_model::LanguageModel;
pub use lora::{LoraShape, Target};
pub use memory::TrainingMemory;
pub use reader::{Dropout, ForwardOptions};
use std::any::Any;
use std::borrow::Cow;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use trained::Trained;

/// Options of [`Trainable::step`]: AdamW with decoupled weight decay on matrices.
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

impl AdamW {
    fn check(&self) -> Result<()> {
        for (name, value) in [
            ("learningRate", self.learning_rate),
            ("epsilon", self.epsilon),
            ("weightDecay", self.weight_decay),
            ("maxGradNorm", self.max_grad_norm),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::Input(format!("{name} is \"{value}\", expected a number of at least 0")));
            }
        }
        for (name, value) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::Input(format!("{name} is \"{value}\", expected at least 0 and below 1")));
            }
        }
        Ok(())
    }
}

/// A finished forward pass. It holds what its backward needs, and knows the weights it belongs to.
pub struct Tape {
    /// Log-probability of each token; NaN for those not selected and for the first token of a root.
    pub logprobs: Vec<f32>,
    /// Entropy of the distribution each token was drawn from; empty when not asked for.
    pub entropies: Vec<f32>,
    /// One a requested score.
    pub scores: Vec<f32>,
    /// The [`reader::Pass`] of the model's backend.
    pass: Box<dyn Any + Send + Sync>,
    version: u64,
}

/// What becomes of a model's adapters when it is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SavedAdapters {
    /// They are written alone, in PEFT's layout.
    Separate,
    /// They are merged into their weights.
    Merged,
}

/// Options of [`Trainable::save`].
#[derive(Debug, Clone, Copy)]
pub struct SaveOptions {
    /// Type of the stored weights.
    pub dtype: Dtype,
    /// Whether the optimizer's state is written.
    pub optimizer: bool,
    /// None is [`SavedAdapters::Separate`] for a model that has adapters.
    pub adapters: Option<SavedAdapters>,
}

impl Default for SaveOptions {
    fn default() -> Self {
        Self { dtype: Dtype::F32, optimizer: false, adapters: None }
    }
}

/// What a model that is trained can do beside [`LanguageModel`].
pub trait Trainable: LanguageModel {
    /// Adds a score head of zeros, unless there is one. Moments of the optimizer are forgotten.
    fn add_score_head(&mut self) -> Result<()>;
    /// Adds adapters that change nothing yet, and from then on trains them, and the score head if there is one, in the
    /// stead of the weights. Gradients and moments are forgotten.
    ///
    /// # Errors
    /// [`Error::Input`] for a rank that is 0 or beyond the model's width, or where there are adapters.
    fn add_lora(&mut self, shape: LoraShape, seed: u64) -> Result<()>;
    /// Runs a forest through the model and keeps what backward needs.
    fn forward(&self, forest: &Forest, options: &ForwardOptions, cancel: &Cancel) -> Result<Tape>;
    /// Adds a pass's gradients to the model's. The weights must be those of the pass. Refused coefficients leave the
    /// gradients as they were; any other error discards them.
    fn backward(&mut self, tape: &Tape, coefficients: &Coefficients<f32>, cancel: &Cancel) -> Result<()>;
    /// Names and accumulated gradients of all tensors that are trained; empty when there are none.
    fn gradients(&self) -> Result<Vec<(String, Cow<'_, [f32]>)>>;
    /// Writes the accumulated gradients as a safetensors file, by the names of their tensors; there must be some.
    fn save_gradients(&self, file: &Path) -> Result<()>;
    /// Names and values of all tensors.
    fn tensors(&self) -> Result<Vec<(String, Cow<'_, [f32]>)>>;
    /// Applies the accumulated gradients and clears them. Gives their global norm before clipping.
    fn step(&mut self, options: &AdamW) -> Result<f64>;
    /// Throws accumulated gradients away.
    fn discard_gradients(&mut self);
    /// What training would take of the device's memory.
    fn training_memory(&self) -> Result<TrainingMemory>;
    /// A copy of the weights as they are now on the same device, for forward passes alone, at the model's own precision
    /// or another. Of a model with adapters it is, where no precision is named, no copy but the weights below them,
    /// which stay as they are; where one is named, a copy that adapters are merged into.
    fn snapshot(&self, precision: Option<InferencePrecision>) -> Result<FrozenModel>;
    /// Writes a Hugging Face directory, or adapters in PEFT's layout, and the optimizer's state beside it if asked.
    fn save(&self, dir: &Path, options: &SaveOptions) -> Result<()>;
    /// Replaces the weights, and the optimizer's state if the directory has one, by what [`Trainable::save`] wrote. A
    /// directory of adapters, be it ours or PEFT's, replaces those of the same shape, or adds them to a model that has
    /// none, and with them the score head. Nothing changes unless everything could be read.
    fn restore(&mut self, dir: &Path) -> Result<()>;
}

/// A model with its gradients and its optimizer, on whichever device.
pub struct Model(Box<dyn Trainable>);

impl Model {
    /// Opens a Hugging Face directory, a directory with one GGUF file, or a GGUF file.
    pub fn load(path: &Path, place: impl Into<Place>, precision: Precision) -> Result<Self> {
        Self::open(place.into(), precision, || Host::load(path))
    }

    /// A new model with random weights: matrices from N(0, 0.02²), those that write to the residual stream from
    /// N(0, 0.02² / (2 · layers)) (Radford et al. 2019, section 2.3), norms 1, biases 0.
    pub fn init(
        config: ModelConfig,
        text: TextAssets,
        seed: u64,
        place: impl Into<Place>,
        precision: Precision,
    ) -> Result<Self> {
        Self::open(place.into(), precision, || Host::init(config, text, seed))
    }

    /// The device is found before anything is read.
    fn open(place: Place, precision: Precision, host: impl FnOnce() -> Result<Host>) -> Result<Self> {
        let found = place.device.find()?;
        Self::on(found, place.arithmetic, precision, host()?)
    }

    /// Takes a model to a device.
    #[cfg_attr(target_family = "wasm", allow(unused_variables))]
    pub(crate) fn on(found: Found, arithmetic: Arithmetic, precision: Precision, host: Host) -> Result<Self> {
        fn trained<B: Freeze>(backend: B, precision: Precision, host: Host) -> Result<Model> {
            Ok(Model(Box::new(Trained::new(backend, precision, host)?)))
        }
        match (found, precision) {
            (Found::Cpu(note), Precision::F32) => trained(Cpu::<f32>::new().noting(note), precision, host),
            (Found::Cpu(note), Precision::Bf16) => {
                trained(Cpu::<f32, bf16>::new().noting(note), precision, host)
            }
            #[cfg(not(target_family = "wasm"))]
            (Found::Cuda(gpu), Precision::F32) => trained(Cuda::<f32>::new(gpu, arithmetic), precision, host),
            #[cfg(not(target_family = "wasm"))]
            (Found::Cuda(gpu), Precision::Bf16) => {
                trained(Cuda::<bf16>::new(gpu, arithmetic), precision, host)
            }
        }
    }
}

impl Deref for Model {
    type Target = dyn Trainable;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl DerefMut for Model {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut *self.0
    }
}
