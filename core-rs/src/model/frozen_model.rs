//! A model for inference alone: its file's memory where that is quantised, and no gradients or optimizer.

use super::frozen::Frozen;
use super::language_model::{LanguageModel, generate_all, logprobs};
use super::params::{Params, Spec};
use crate::Result;
use crate::backend::cpu::{Cpu, pool};
use crate::backend::{InferencePrecision, Precision, threads};
use crate::cancel::Cancel;
use crate::config::ModelConfig;
use crate::forest::Forest;
use crate::generate::{self, Event, Request};
use crate::weights::TextAssets;
use half::bf16;
use std::path::Path;

enum Weights {
    /// Also 8-bit integers, whose sums and activations are f32.
    F32(Frozen<Cpu<f32>>),
    Bf16(Frozen<Cpu<f32, bf16>>),
}

/// A model that cannot be trained. Quantised weights stay quantised. At the precisions of training they are expanded in
/// the processor's cache, and results have the bits of the same file opened for training.
pub struct FrozenModel {
    config: ModelConfig,
    text: TextAssets,
    precision: InferencePrecision,
    weights: Weights,
}

impl FrozenModel {
    /// Opens what [`super::Model::load`] opens.
    pub fn load(path: &Path, precision: impl Into<InferencePrecision>) -> Result<Self> {
        let precision = precision.into();
        threads::install(|| {
            let (config, text, weights) = match arithmetic(precision) {
                Arithmetic::F32(backend) => {
                    let (config, text, weights) = Frozen::load(&backend, path)?;
                    (config, text, Weights::F32(weights))
                }
                Arithmetic::Bf16(backend) => {
                    let (config, text, weights) = Frozen::load(&backend, path)?;
                    (config, text, Weights::Bf16(weights))
                }
            };
            Ok(Self { config, text, precision, weights })
        })
    }

    /// A copy of weights that may change.
    pub(super) fn copy(
        config: ModelConfig,
        weights: &Params<pool::Buffer<f32>>,
        text: TextAssets,
        precision: InferencePrecision,
    ) -> Result<Self> {
        let weights = match arithmetic(precision) {
            Arithmetic::F32(backend) => Weights::F32(Frozen::copy(&backend, &config, weights)?),
            Arithmetic::Bf16(backend) => Weights::Bf16(Frozen::copy(&backend, &config, weights)?),
        };
        Ok(Self { config, text, precision, weights })
    }
}

/// How weights are laid out at a precision.
enum Arithmetic {
    F32(Cpu<f32>),
    Bf16(Cpu<f32, bf16>),
}

fn arithmetic(precision: InferencePrecision) -> Arithmetic {
    match precision {
        InferencePrecision::Trained(Precision::F32) => Arithmetic::F32(Cpu::new()),
        InferencePrecision::Trained(Precision::Bf16) => Arithmetic::Bf16(Cpu::new()),
        InferencePrecision::Int8 => Arithmetic::F32(Cpu::with_integers()),
    }
}

/// Runs an expression on the weights of either arithmetic and their backend.
macro_rules! with_weights {
    ($model:expr, |$weights:ident, $backend:ident| $work:expr) => {
        match &$model.weights {
            Weights::F32($weights) => {
                let $backend = &Cpu::<f32>::new();
                $work
            }
            Weights::Bf16($weights) => {
                let $backend = &Cpu::<f32, bf16>::new();
                $work
            }
        }
    };
}

impl LanguageModel for FrozenModel {
    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn precision(&self) -> InferencePrecision {
        self.precision
    }

    fn text(&self) -> &TextAssets {
        &self.text
    }

    fn num_parameters(&self) -> usize {
        let specs = match &self.weights {
            Weights::F32(weights) => weights.specs(&self.config),
            Weights::Bf16(weights) => weights.specs(&self.config),
        };
        specs.iter().map(Spec::len).sum()
    }

    fn has_score_head(&self) -> bool {
        match &self.weights {
            Weights::F32(weights) => weights.has_score_head(),
            Weights::Bf16(weights) => weights.has_score_head(),
        }
    }

    fn is_frozen(&self) -> bool {
        true
    }

    fn logprobs(
        &self,
        forest: &Forest,
        temperature: f32,
        select: Option<&[u8]>,
        cancel: &Cancel,
    ) -> Result<Vec<f32>> {
        threads::install(|| {
            with_weights!(self, |weights, backend| {
                logprobs(&weights.reader(backend, &self.config), forest, temperature, select, cancel)
            })
        })
    }

    fn logits(&self, forest: &Forest, rows: &[u32]) -> Result<Vec<f32>> {
        threads::install(|| {
            with_weights!(self, |weights, backend| {
                weights.reader(backend, &self.config).logits(forest, rows, &Cancel::new())
            })
        })
    }

    fn generate(
        &self,
        requests: &[Request],
        options: &generate::Options,
        cancel: &Cancel,
        sink: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<generate::Summary> {
        with_weights!(self, |weights, backend| {
            let reader = weights.reader(backend, &self.config);
            generate_all(reader, &self.text, (requests, options), cancel, sink)
        })
    }
}
