//! The reference of a model with adapters: the weights below them.

use super::decoder::Decoder;
use super::language_model::{LanguageModel, generate_by, logprobs, scores};
use super::params::{Params, Spec};
use super::trainables::Tensors;
use crate::Result;
use crate::backend::{Backend, InferencePrecision};
use crate::cancel::Cancel;
use crate::config::ModelConfig;
use crate::forest::Forest;
use crate::generate::{self, Event, Request};
use crate::turns::Turns;
use crate::weights::TextAssets;
use std::sync::Arc;

/// A model whose weights are another's, which trains adapters on them. The weights cannot change while they are shared.
pub struct Base<B: Backend> {
    /// Where it computes.
    pub backend: B,
    /// What its products read.
    pub precision: InferencePrecision,
    /// Its shape.
    pub config: ModelConfig,
    /// Its tokenizer and template.
    pub text: TextAssets,
    /// Its weights.
    pub weights: Arc<Params<B::Buffer>>,
}

impl<B: Backend> Base<B> {
    fn tensors(&self) -> Tensors<'_, B::Buffer> {
        Tensors { weights: &self.weights, lora: None, score: None }
    }

    fn decoder(&self) -> Decoder<'_, B> {
        Decoder { backend: self.backend.clone(), config: &self.config, tensors: self.tensors() }
    }
}

impl<B: Backend<Scalar = f32>> LanguageModel for Base<B> {
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
        self.tensors().weight_specs(&self.config).iter().map(Spec::len).sum()
    }

    fn has_score_head(&self) -> bool {
        false
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
