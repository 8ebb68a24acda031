//! Forward and explicit backward of a decoder over a forest, on any backend.

use super::layer::{self, LayerWeights, Layered, Saved};
use super::params::{Params, Spec};
use crate::backend::{Backend, Heads, Scalar, Store, VocabHead, VocabRows};
use crate::cancel::Cancel;
use crate::config::{ModelConfig, Rotary};
use crate::forest::{Forest, Layout};
use crate::{Error, Result};

/// What a forward pass computes.
#[derive(Debug, Clone)]
pub struct ForwardOptions {
    /// Divides the logits; positive.
    pub temperature: f32,
    /// One byte a token: nonzero for the tokens whose log-probability is wanted. All when absent.
    pub select: Option<Vec<u8>>,
    /// Also give entropies.
    pub entropy: bool,
    /// Tokens whose final hidden state the score head reads.
    pub scores: Vec<u32>,
    /// Keep only each layer's input and recompute the rest in backward.
    pub recompute: bool,
}

impl Default for ForwardOptions {
    fn default() -> Self {
        Self { temperature: 1.0, select: None, entropy: false, scores: Vec::new(), recompute: false }
    }
}

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
pub struct Decoder<B: Backend> {
    /// Where it computes.
    pub backend: B,
    /// Its shape.
    pub config: ModelConfig,
    /// Its rotary embedding.
    pub rotary: Rotary,
    /// Its tensors.
    pub weights: Params<B::Buffer>,
}

/// A layer's part of a pass.
enum Kept<B: Backend> {
    Input(B::Buffer),
    All(Saved<B>),
}

/// What a pass keeps of its layers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Nothing,
    Inputs,
    All,
}

/// A finished forward pass with what its backward needs.
pub struct Pass<B: Backend> {
    tokens: Vec<u32>,
    layout: Layout,
    layers: Vec<Kept<B>>,
    /// The residual stream behind the last layer.
    last: B::Buffer,
    /// Tokens whose log-probability was computed, and the tokens before them, whose hidden state predicts them.
    selected: Vec<u32>,
    predictors: Vec<u32>,
    targets: Vec<u32>,
    temperature: f64,
    vocab: VocabRows<B::Scalar>,
    score_tokens: Vec<u32>,
    /// The score head's results.
    pub scores: Vec<B::Scalar>,
}

impl<B: Backend> Pass<B> {
    /// One value a token of the forest, NaN where nothing was computed.
    fn spread(&self, values: &[B::Scalar]) -> Vec<B::Scalar> {
        let mut all = vec![B::Scalar::from_f64(f64::NAN); self.tokens.len()];
        for (&token, &value) in self.selected.iter().zip(values) {
            all[token as usize] = value;
        }
        all
    }

    /// Log-probability of each token, NaN for those not selected and for the first token of a root.
    pub fn logprobs(&self) -> Vec<B::Scalar> {
        self.spread(&self.vocab.logprobs)
    }

    /// Entropy of the distribution that each token was drawn from, NaN as in [`Pass::logprobs`].
    pub fn entropies(&self) -> Vec<B::Scalar> {
        self.spread(&self.vocab.entropies)
    }
}

impl<B: Backend> Decoder<B> {
    /// A decoder of a valid shape.
    pub fn new(backend: B, config: ModelConfig, weights: Params<B::Buffer>) -> Self {
        Self { rotary: config.rotary(), backend, config, weights }
    }

    /// The attention geometry.
    pub fn heads(&self) -> Heads {
        let c = &self.config;
        Heads { heads: c.num_heads, kv_heads: c.num_kv_heads, head_dim: c.head_dim }
    }

    fn head(&self, temperature: f64) -> VocabHead {
        VocabHead { width: self.config.hidden_size, vocab: self.config.vocab_size, temperature }
    }

    /// Names and shapes of the tensors.
    pub fn specs(&self) -> Params<Spec> {
        Params::specs(&self.config, self.weights.score.is_some(), self.weights.lm_head.is_some())
    }

    /// Refuses tokens outside the vocabulary and paths longer than the context.
    pub fn check(&self, forest: &Forest, layout: &Layout) -> Result<()> {
        let vocab = self.config.vocab_size;
        if let Some((i, t)) = forest.tokens.iter().enumerate().find(|(_, t)| **t as usize >= vocab) {
            return Err(Error::Input(format!(
                "Token \"{t}\" at index {i} is outside the vocabulary of {vocab}"
            )));
        }
        let (longest, context) = (layout.longest_path(), self.config.max_position);
        if longest > context {
            return Err(Error::Input(format!(
                "A sequence of {longest} tokens does not fit into the model's context of {context}"
            )));
        }
        Ok(())
    }

    /// Refuses a model that has no LM head.
    pub fn check_vocab(&self) -> Result<()> {
        if self.weights.has_vocab(self.config.tie_word_embeddings) {
            return Ok(());
        }
        Err(Error::Input("The model has a score head but no LM head: it gives no log-probabilities".into()))
    }

    /// Embeds tokens.
    pub fn embed(&self, tokens: &[u32]) -> B::Buffer {
        let width = self.config.hidden_size;
        let mut x = self.backend.unspecified(tokens.len() * width);
        self.backend.gather(&self.weights.embed, tokens, width, &mut x);
        x
    }

    /// The last norm of chosen rows: (rows before it, rows behind it, rstd).
    pub fn last_norm(&self, x: &B::Buffer, rows: &[u32]) -> (B::Buffer, B::Buffer, B::Buffer) {
        let width = self.config.hidden_size;
        let b = &self.backend;
        let mut chosen = b.unspecified(rows.len() * width);
        b.gather(x, rows, width, &mut chosen);
        let mut hidden = b.unspecified(rows.len() * width);
        let mut rstd = b.unspecified(rows.len());
        b.rms_norm(&chosen, &self.weights.norm, self.config.rms_norm_eps, &mut hidden, &mut rstd);
        (chosen, hidden, rstd)
    }

    /// Runs the forest through the model and keeps what backward needs.
    pub fn forward(&self, forest: &Forest, options: &ForwardOptions, cancel: &Cancel) -> Result<Pass<B>> {
        self.run(forest, options, if options.recompute { Keep::Inputs } else { Keep::All }, cancel)
    }

    /// As [`Decoder::forward`], but the pass has no backward.
    pub fn score_only(&self, forest: &Forest, options: &ForwardOptions, cancel: &Cancel) -> Result<Pass<B>> {
        self.run(forest, options, Keep::Nothing, cancel)
    }

    fn run(&self, forest: &Forest, options: &ForwardOptions, keep: Keep, cancel: &Cancel) -> Result<Pass<B>> {
        let layout = Layout::new(forest);
        self.check(forest, &layout)?;
        let n = forest.tokens.len();
        let temperature = f64::from(options.temperature);
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(Error::Input(format!("Temperature \"{temperature}\", expected a positive number")));
        }
        if let Some(select) = &options.select
            && select.len() != n
        {
            return Err(Error::Input(format!("The selection has {} entries, expected {n}", select.len())));
        }
        if let Some(&t) = options.scores.iter().find(|t| **t as usize >= n) {
            return Err(Error::Input(format!("Score token \"{t}\" is outside the forest of {n} tokens")));
        }
        if !options.scores.is_empty() && self.weights.score.is_none() {
            return Err(Error::Input("Scores were asked of a model that has no score head".into()));
        }
        let wanted = options.select.as_ref().is_none_or(|s| s.contains(&1));
        if wanted && options.scores.is_empty() {
            self.check_vocab()?;
        }
        let mut x = self.embed(&forest.tokens);
        let mut layers = Vec::with_capacity(self.config.num_layers);
        for weights in &self.weights.layers {
            cancel.check()?;
            let Layered { saved, output, .. } =
                layer::forward(self, &LayerWeights::plain(weights), x, &layout);
            x = output;
            match keep {
                Keep::Nothing => {}
                Keep::Inputs => layers.push(Kept::Input(saved.input)),
                Keep::All => layers.push(Kept::All(saved)),
            }
        }
        let any = self.check_vocab().is_ok();
        let chosen = |t: usize| any && options.select.as_ref().is_none_or(|s| s[t] != 0);
        let selected: Vec<u32> =
            (0..n).filter(|&t| chosen(t) && layout.previous[t].is_some()).map(|t| t as u32).collect();
        let predictors: Vec<u32> = selected.iter().filter_map(|&t| layout.previous[t as usize]).collect();
        let targets: Vec<u32> = selected.iter().map(|&t| forest.tokens[t as usize]).collect();
        cancel.check()?;
        let (_, hidden, _) = self.last_norm(&x, &predictors);
        let vocab =
            self.backend.vocab_forward(&hidden, self.weights.vocab(), &targets, self.head(temperature));
        let mut scores = Vec::new();
        if let (Some(weight), false) = (&self.weights.score, options.scores.is_empty()) {
            let (_, hidden, _) = self.last_norm(&x, &options.scores);
            let mut out = self.backend.unspecified(options.scores.len());
            self.backend.linear(&hidden, weight, self.config.hidden_size, &mut out, Store::Replace);
            scores = self.backend.download(&out);
        }
        Ok(Pass {
            tokens: forest.tokens.clone(),
            layout,
            layers,
            last: x,
            selected,
            predictors,
            targets,
            temperature,
            vocab,
            score_tokens: options.scores.clone(),
            scores,
        })
    }

    /// Raw logits of the distribution behind each of the given tokens, rows × vocab. For tests and small uses.
    pub fn logits(&self, forest: &Forest, rows: &[u32], cancel: &Cancel) -> Result<Vec<B::Scalar>> {
        self.check_vocab()?;
        let layout = Layout::new(forest);
        self.check(forest, &layout)?;
        let mut x = self.embed(&forest.tokens);
        for weights in &self.weights.layers {
            cancel.check()?;
            x = layer::forward(self, &LayerWeights::plain(weights), x, &layout).output;
        }
        let (_, hidden, _) = self.last_norm(&x, rows);
        let mut out = self.backend.unspecified(rows.len() * self.config.vocab_size);
        self.backend.linear(&hidden, self.weights.vocab(), self.config.hidden_size, &mut out, Store::Replace);
        Ok(self.backend.download(&out))
    }

    /// Adds dL/dweight to `gradients`.
    pub fn backward(
        &self,
        pass: &Pass<B>,
        coefficients: &Coefficients<B::Scalar>,
        gradients: &mut Params<B::Buffer>,
        cancel: &Cancel,
    ) -> Result<()> {
        let b = &self.backend;
        let width = self.config.hidden_size;
        let mut d_x = b.zeros(pass.tokens.len() * width);
        let d_logprobs = pass.choose("dLogprobs", &coefficients.d_logprobs)?;
        let d_entropies = pass.choose("dEntropies", &coefficients.d_entropies)?;
        if !pass.selected.is_empty() {
            let (before, hidden, rstd) = self.last_norm(&pass.last, &pass.predictors);
            let mut d_hidden = b.zeros(pass.predictors.len() * width);
            b.vocab_backward(
                &hidden,
                self.weights.vocab(),
                &pass.targets,
                self.head(pass.temperature),
                &pass.vocab,
                (&d_logprobs, &d_entropies),
                &mut d_hidden,
                gradients.vocab_mut(),
            );
            self.last_norm_backward(&before, &rstd, &d_hidden, &pass.predictors, &mut d_x, gradients);
        }
        if !coefficients.d_scores.is_empty() {
            let found = coefficients.d_scores.len();
            if found != pass.scores.len() {
                return Err(Error::Input(format!(
                    "dScores has {found} entries, expected {}",
                    pass.scores.len()
                )));
            }
            refuse_nan("dScores", &coefficients.d_scores)?;
            let (Some(weight), Some(d_weight)) = (&self.weights.score, &mut gradients.score) else {
                return Err(Error::Input(
                    "Score gradients were given to a model that has no score head".into(),
                ));
            };
            let d_scores = b.upload(&coefficients.d_scores);
            let (before, hidden, rstd) = self.last_norm(&pass.last, &pass.score_tokens);
            let mut d_hidden = b.unspecified(pass.score_tokens.len() * width);
            b.linear_dx(&d_scores, weight, width, &mut d_hidden, Store::Replace);
            b.linear_dw(&hidden, &d_scores, width, d_weight);
            self.last_norm_backward(&before, &rstd, &d_hidden, &pass.score_tokens, &mut d_x, gradients);
        }
        for (i, kept) in pass.layers.iter().enumerate().rev() {
            cancel.check()?;
            let weights = &self.weights.layers[i];
            let d_weights = &mut gradients.layers[i];
            match kept {
                Kept::All(saved) => layer::backward(self, weights, saved, &pass.layout, &mut d_x, d_weights),
                Kept::Input(input) => {
                    let input = b.duplicate(input);
                    let saved =
                        layer::forward(self, &LayerWeights::plain(weights), input, &pass.layout).saved;
                    layer::backward(self, weights, &saved, &pass.layout, &mut d_x, d_weights);
                }
            }
        }
        b.scatter_add(&d_x, &pass.tokens, width, &mut gradients.embed);
        Ok(())
    }

    fn last_norm_backward(
        &self,
        before: &B::Buffer,
        rstd: &B::Buffer,
        d_hidden: &B::Buffer,
        rows: &[u32],
        d_x: &mut B::Buffer,
        gradients: &mut Params<B::Buffer>,
    ) {
        let width = self.config.hidden_size;
        let mut d_rows = self.backend.zeros(rows.len() * width);
        self.backend.rms_norm_backward(
            before,
            &self.weights.norm,
            rstd,
            d_hidden,
            &mut d_rows,
            &mut gradients.norm,
        );
        self.backend.scatter_add(&d_rows, rows, width, d_x);
    }
}

impl<B: Backend> Pass<B> {
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
