//! A trainable decoder of the Llama family on any backend: its weights and its explicit backward pass.

use super::layer;
use super::layer_backward::{LayerGradients, backward};
use super::params::Params;
use super::reader::{ForwardOptions, Keep, Kept, PackedMatrices, Pass, Reader};
use super::trainables::{Tensors, Trainables};
use crate::backend::{Backend, Scalar, Store};
use crate::cancel::Cancel;
use crate::config::ModelConfig;
use crate::forest::Forest;
use crate::{Error, Result};

/// What backward is given: dL/dx for each result of the pass. An empty vector stands for zeros.
#[derive(Debug, Clone, Default)]
pub struct Coefficients<T> {
    /// One a token of the forest.
    pub d_logprobs: Vec<T>,
    /// One a token of the forest.
    pub d_entropies: Vec<T>,
    /// One a requested score.
    pub d_scores: Vec<T>,
}

/// A decoder: a shape, a backend and weights on it.
pub struct Decoder<'a, B: Backend> {
    /// Where it computes.
    pub backend: B,
    /// Its shape.
    pub config: &'a ModelConfig,
    /// Its tensors.
    pub tensors: Tensors<'a, B::Buffer>,
}

impl<B: Backend> Decoder<'_, B> {
    /// Its weights as a forward pass reads them.
    pub fn reader(&self) -> Reader<'_, B> {
        Reader::plain(&self.backend, self.config, self.tensors)
    }

    /// Packs its matrices for [`Decoder::packed_reader`].
    pub fn pack(&self) -> Result<PackedMatrices<B>> {
        Reader::pack(&self.backend, self.config, self.tensors)
    }

    /// As [`Decoder::reader`], faster where few rows are multiplied.
    pub fn packed_reader<'a>(&'a self, packed: &'a PackedMatrices<B>) -> Reader<'a, B> {
        Reader::packed(&self.backend, self.config, self.tensors, packed)
    }

    /// Runs the forest through the model and keeps what backward needs.
    pub fn forward(&self, forest: &Forest, options: &ForwardOptions, cancel: &Cancel) -> Result<Pass<B>> {
        self.reader().run(forest, options, if options.recompute { Keep::Inputs } else { Keep::All }, cancel)
    }

    /// As [`Decoder::forward`], but the pass has no backward.
    pub fn score_only(&self, forest: &Forest, options: &ForwardOptions, cancel: &Cancel) -> Result<Pass<B>> {
        self.reader().run(forest, options, Keep::Nothing, cancel)
    }

    /// Adds dL/dtensor to `gradients`, which has those that are trained.
    pub fn backward(
        &self,
        pass: &Pass<B>,
        coefficients: &Coefficients<B::Scalar>,
        gradients: &mut Trainables<B::Buffer>,
        cancel: &Cancel,
    ) -> Result<()> {
        let b = &self.backend;
        let reader = self.reader();
        let width = self.config.hidden_size;
        let d_logprobs = pass.choose("dLogprobs", &coefficients.d_logprobs)?;
        let d_entropies = pass.choose("dEntropies", &coefficients.d_entropies)?;
        pass.check_scores(&coefficients.d_scores)?;
        let mut d_x = b.zeros(pass.tokens.len() * width)?;
        if !pass.selected.is_empty() {
            let (before, hidden, rstd) = reader.last_norm(&pass.last, &pass.predictors)?;
            let mut d_hidden = b.zeros(pass.predictors.len() * width)?;
            b.vocab_backward(
                &hidden,
                self.tensors.weights.vocab(),
                &pass.targets,
                reader.head(pass.temperature),
                &pass.vocab,
                (&d_logprobs, &d_entropies),
                &mut d_hidden,
                gradients.weights.as_mut().map(Params::vocab_mut),
            )?;
            self.last_norm_backward(&before, &rstd, &d_hidden, &pass.predictors, &mut d_x, gradients)?;
        }
        if !coefficients.d_scores.is_empty() {
            let (Some(weight), Some(d_weight)) = (self.tensors.score, &mut gradients.score) else {
                return Err(Error::Input(
                    "Score gradients were given to a model that has no score head".into(),
                ));
            };
            let d_scores = b.round(&b.upload(&coefficients.d_scores)?, 1.0)?;
            let (before, hidden, rstd) = reader.last_norm(&pass.last, &pass.score_tokens)?;
            let mut d_hidden = b.unspecified(pass.score_tokens.len() * width)?;
            b.linear_dx(&d_scores, weight, width, &mut d_hidden, Store::Replace)?;
            b.linear_dw(&hidden, &d_scores, width, d_weight)?;
            self.last_norm_backward(&before, &rstd, &d_hidden, &pass.score_tokens, &mut d_x, gradients)?;
        }
        for (i, kept) in pass.layers.iter().enumerate().rev() {
            cancel.check()?;
            let weights = (i, &self.tensors.weights.layers[i]);
            let own = LayerGradients {
                weights: gradients.weights.as_mut().map(|d| &mut d.layers[i]),
                adapters: gradients.adapters.as_mut().map(|d| &mut d.0[i]),
            };
            match kept {
                Kept::All(saved) => {
                    let gates = saved.copy_gates(b)?;
                    backward(&reader, weights, saved, gates, &pass.places, &mut d_x, own)?;
                }
                Kept::Input(input) => {
                    let input = b.duplicate(input)?;
                    let mut saved = layer::forward(&reader, &reader.layers[i], input, &pass.places)?.saved;
                    let gates = saved.take_gates(b)?;
                    backward(&reader, weights, &saved, gates, &pass.places, &mut d_x, own)?;
                }
            }
        }
        match &mut gradients.weights {
            Some(d) => b.scatter_add(&d_x, &pass.tokens, width, &mut d.embed),
            None => Ok(()),
        }
    }

    fn last_norm_backward(
        &self,
        before: &B::Buffer,
        rstd: &B::Buffer,
        d_hidden: &B::Buffer,
        rows: &[u32],
        d_x: &mut B::Buffer,
        gradients: &mut Trainables<B::Buffer>,
    ) -> Result<()> {
        let width = self.config.hidden_size;
        let mut d_rows = self.backend.zeros(rows.len() * width)?;
        self.backend.rms_norm_backward(
            before,
            &self.tensors.weights.norm,
            rstd,
            d_hidden,
            &mut d_rows,
            gradients.weights.as_mut().map(|d| &mut d.norm),
        )?;
        self.backend.scatter_add(&d_rows, rows, width, d_x)
    }
}

impl<B: Backend> Pass<B> {
    /// Refuses coefficients that are not of the pass's scores.
    fn check_scores(&self, d_scores: &[B::Scalar]) -> Result<()> {
        let (found, expected) = (d_scores.len(), self.scores.len());
        if found != 0 && found != expected {
            return Err(Error::Input(format!("dScores has {found} entries, expected {expected}")));
        }
        refuse_nan("dScores", d_scores)
    }

    /// The coefficients of the selected tokens; zeros for an empty vector.
    fn choose(&self, name: &str, all: &[B::Scalar]) -> Result<Vec<B::Scalar>> {
        if all.is_empty() {
            return Ok(vec![B::Scalar::default(); self.selected.len()]);
        }
        if all.len() != self.tokens.len() {
            let n = self.tokens.len();
            return Err(Error::Input(format!("{name} has {} entries, expected {n}, one a token", all.len())));
        }
        refuse_nan(name, all)?;
        let mut rest = all.to_vec();
        let chosen = self.selected.iter().map(|&t| std::mem::take(&mut rest[t as usize])).collect();
        match rest.iter().position(|x| x.to_f64() != 0.0) {
            Some(i) => Err(Error::Input(format!(
                "{name}[{i}] is \"{}\", expected 0: that token has no log-probability",
                rest[i].to_f64()
            ))),
            None => Ok(chosen),
        }
    }
}

fn refuse_nan<T: Scalar>(name: &str, values: &[T]) -> Result<()> {
    match values.iter().position(|x| !x.to_f64().is_finite()) {
        Some(i) => {
            Err(Error::Input(format!("{name}[{i}] is \"{}\", expected a finite number", values[i].to_f64())))
        }
        None => Ok(()),
    }
}
