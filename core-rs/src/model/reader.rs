//! A model's weights as a forward pass reads them, and the pass itself.

use super::adapter;
use super::layer::{self, LayerWeights, Layered, Saved};
use super::lora::{LayerAdapters, Lora};
use super::trainables::Tensors;
use crate::backend::{Backend, Heads, Matrix, Scalar, Store, VocabHead, VocabRows};
use crate::cancel::Cancel;
use crate::config::{ModelConfig, Rotary};
use crate::forest::{Forest, Layout};
use crate::philox::philox;
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
    /// Drop adapters' inputs. Nothing is dropped when absent.
    pub dropout: Option<Dropout>,
}

/// Names the masks of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropout {
    /// Of the run.
    pub seed: u64,
    /// Of the optimiser step.
    pub step: u32,
    /// Of the pass within the step.
    pub batch: u32,
}

impl Dropout {
    /// The key of the pass's masks.
    fn key(&self) -> [u32; 2] {
        let [a, b, ..] = philox([self.step, self.batch, 0, 0], [self.seed as u32, (self.seed >> 32) as u32]);
        [a, b]
    }
}

impl Default for ForwardOptions {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            select: None,
            entropy: false,
            scores: Vec::new(),
            recompute: false,
            dropout: None,
        }
    }
}

/// A layer's part of a pass.
pub enum Kept<B: Backend> {
    /// The residual stream before it.
    Input(B::Buffer),
    /// All that its backward needs.
    All(Saved<B>),
}

/// What a pass keeps of its layers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// There will be no backward.
    Nothing,
    /// Each layer's input; backward computes the rest again.
    Inputs,
    /// All that backward needs.
    All,
}

/// Where the tokens of a pass stand, and what it drops.
pub struct Places<B: Backend> {
    /// Tokens.
    pub rows: usize,
    /// How their queries and keys are turned.
    pub rotations: B::Rotations,
    /// Whom they attend to.
    pub paths: B::Paths,
    /// The key of the masks of adapters' inputs.
    pub dropout: Option<[u32; 2]>,
}

/// A finished forward pass with what its backward needs.
pub struct Pass<B: Backend> {
    /// The forest's tokens.
    pub(super) tokens: Vec<u32>,
    pub(super) places: Places<B>,
    pub(super) layers: Vec<Kept<B>>,
    /// The residual stream behind the last layer.
    pub(super) last: B::Buffer,
    /// Tokens whose log-probability was computed, and the tokens before them, whose hidden state predicts them.
    pub(super) selected: Vec<u32>,
    pub(super) predictors: Vec<u32>,
    pub(super) targets: Vec<u32>,
    pub(super) temperature: f64,
    pub(super) vocab: VocabRows<B::Scalar>,
    pub(super) score_tokens: Vec<u32>,
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

/// A model's matrices packed for products with few rows.
pub struct PackedMatrices<B: Backend> {
    layers: Vec<[B::Packed; 7]>,
    /// Empty where there are none.
    adapters: Vec<LayerAdapters<B::Packed>>,
    vocab: Option<B::Packed>,
}

/// Layers with their adapters, and those packed where there are such.
fn adapted<'a, B: Backend>(
    layers: impl Iterator<Item = LayerWeights<'a, B>>,
    lora: Option<&'a Lora<B::Buffer>>,
    packed: &'a [LayerAdapters<B::Packed>],
) -> Vec<LayerWeights<'a, B>> {
    let Some(lora) = lora else { return layers.collect() };
    layers.enumerate().map(|(i, layer)| layer.with_adapters(lora, i, packed.get(i))).collect()
}

/// A model as a forward pass reads it.
pub struct Reader<'a, B: Backend> {
    /// Where it computes.
    pub backend: &'a B,
    /// Its shape.
    pub config: &'a ModelConfig,
    pub(super) rotary: Rotary,
    /// The embedding.
    pub(super) embed: Matrix<'a, B>,
    /// Decoder layers.
    pub layers: Vec<LayerWeights<'a, B>>,
    pub(super) norm: &'a B::Buffer,
    /// The vocabulary head: none in a classifier that is not tied.
    pub(super) vocab: Option<Matrix<'a, B>>,
    pub(super) score: Option<&'a B::Buffer>,
}

impl<'a, B: Backend> Reader<'a, B> {
    /// Weights as they are stored.
    pub fn plain(backend: &'a B, config: &'a ModelConfig, tensors: Tensors<'a, B::Buffer>) -> Self {
        let Tensors { weights, lora, score } = tensors;
        let plain = weights.layers.iter().map(LayerWeights::plain);
        Self {
            backend,
            config,
            rotary: config.rotary(),
            embed: Matrix::Plain(&weights.embed),
            layers: adapted(plain, lora, &[]),
            norm: &weights.norm,
            vocab: weights.has_vocab(config.tie_word_embeddings).then(|| Matrix::Plain(weights.vocab())),
            score,
        }
    }

    /// Packs the matrices of a reader of plain weights.
    pub fn pack(
        backend: &B,
        config: &ModelConfig,
        Tensors { weights, lora, .. }: Tensors<B::Buffer>,
    ) -> Result<PackedMatrices<B>> {
        let inputs = layer::inputs(config);
        let adapters = lora.iter().flat_map(|lora| {
            let rank = lora.shape.rank;
            lora.adapters.0.iter().map(move |adapters| adapter::pack(backend, adapters, rank, inputs))
        });
        let layers = weights.layers.iter().map(|w| layer::pack(backend, config, w));
        let head = weights
            .has_vocab(config.tie_word_embeddings)
            .then(|| backend.pack(weights.vocab(), config.hidden_size));
        Ok(PackedMatrices {
            layers: layers.collect::<Result<_>>()?,
            adapters: adapters.collect::<Result<_>>()?,
            vocab: head.transpose()?,
        })
    }

    /// The same bits from packed matrices.
    pub fn packed(
        backend: &'a B,
        config: &'a ModelConfig,
        tensors: Tensors<'a, B::Buffer>,
        packed: &'a PackedMatrices<B>,
    ) -> Self {
        let layers = tensors.weights.layers.iter().zip(&packed.layers);
        let layers = layers.map(|(w, p)| LayerWeights::packed(w, p));
        Self {
            layers: adapted(layers, tensors.lora, &packed.adapters),
            vocab: packed.vocab.as_ref().map(Matrix::Packed),
            ..Self::plain(backend, config, tensors)
        }
    }

    /// The attention geometry.
    pub fn heads(&self) -> Heads {
        let c = self.config;
        Heads { heads: c.num_heads, kv_heads: c.num_kv_heads, head_dim: c.head_dim }
    }

    /// The head's options at a temperature.
    pub fn head(&self, temperature: f64) -> VocabHead {
        VocabHead { width: self.config.hidden_size, vocab: self.config.vocab_size, temperature }
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

    /// The vocabulary head, or an error for a model that has none.
    pub fn vocab(&self) -> Result<Matrix<'a, B>> {
        self.vocab.ok_or_else(|| {
            Error::Input("The model has a score head but no LM head: it gives no log-probabilities".into())
        })
    }

    /// How queries and keys at these positions are turned.
    pub fn rotations(&self, positions: &B::Indices) -> Result<B::Rotations> {
        self.backend.rotations(positions, &self.rotary)
    }

    /// Embeds so many tokens.
    pub fn embed(&self, tokens: &B::Indices, rows: usize) -> Result<B::Buffer> {
        let width = self.config.hidden_size;
        let mut x = self.backend.unspecified(rows * width)?;
        self.backend.embed(self.embed, tokens, width, &mut x)?;
        Ok(x)
    }

    /// The last norm of chosen rows: (rows before it, rows behind it, rstd).
    pub fn last_norm(&self, x: &B::Buffer, rows: &[u32]) -> Result<(B::Buffer, B::Activation, B::Buffer)> {
        let width = self.config.hidden_size;
        let b = self.backend;
        let chosen = self.gather(x, rows)?;
        let mut hidden = b.activation(rows.len() * width)?;
        let mut rstd = b.unspecified(rows.len())?;
        b.rms_norm(&chosen, self.norm, self.config.rms_norm_eps, &mut hidden, &mut rstd)?;
        Ok((chosen, hidden, rstd))
    }

    /// Chosen rows of the residual stream.
    pub fn gather(&self, x: &B::Buffer, rows: &[u32]) -> Result<B::Buffer> {
        let width = self.config.hidden_size;
        let mut chosen = self.backend.unspecified(rows.len() * width)?;
        self.backend.gather(x, &self.backend.indices(rows)?, width, &mut chosen)?;
        Ok(chosen)
    }

    /// Raw logits behind chosen rows of the residual stream, rows × vocab.
    pub fn head_logits(&self, x: &B::Buffer, rows: &[u32]) -> Result<B::Buffer> {
        let vocab = self.vocab()?;
        let (_, hidden, _) = self.last_norm(x, rows)?;
        let mut logits = self.backend.unspecified(rows.len() * self.config.vocab_size)?;
        self.backend.linear_into(&hidden, vocab, self.config.hidden_size, &mut logits, Store::Replace)?;
        Ok(logits)
    }

    fn places(&self, layout: Layout, dropout: Option<Dropout>) -> Result<Places<B>> {
        let rotations = self.rotations(&self.backend.indices(&layout.positions)?)?;
        let rows = layout.positions.len();
        let paths = self.backend.paths(layout, self.heads())?;
        Ok(Places { rows, rotations, paths, dropout: dropout.map(|dropout| dropout.key()) })
    }

    /// Runs a forest through the model.
    pub fn run(
        &self,
        forest: &Forest,
        options: &ForwardOptions,
        keep: Keep,
        cancel: &Cancel,
    ) -> Result<Pass<B>> {
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
        if !options.scores.is_empty() && self.score.is_none() {
            return Err(Error::Input("Scores were asked of a model that has no score head".into()));
        }
        let wanted = options.select.as_ref().is_none_or(|s| s.contains(&1));
        if wanted && options.scores.is_empty() {
            self.vocab()?;
        }
        let chosen = |t: &usize| options.select.as_ref().is_none_or(|s| s[*t] != 0);
        let predicted = |t: usize| Some((t as u32, self.vocab.and(layout.previous[t])?));
        let (selected, predictors): (Vec<u32>, Vec<u32>) =
            (0..n).filter(chosen).filter_map(predicted).unzip();
        let places = self.places(layout, options.dropout)?;
        let mut x = self.embed(&self.backend.indices(&forest.tokens)?, n)?;
        let mut layers = Vec::with_capacity(self.config.num_layers);
        for weights in &self.layers {
            cancel.check()?;
            let Layered { saved, output } = layer::forward(self, weights, x, &places)?;
            x = output;
            match keep {
                Keep::Nothing => {}
                Keep::Inputs => layers.push(Kept::Input(saved.input)),
                Keep::All => layers.push(Kept::All(saved)),
            }
        }
        cancel.check()?;
        let targets: Vec<u32> = selected.iter().map(|&t| forest.tokens[t as usize]).collect();
        let mut vocab = VocabRows::default();
        if let Some(head) = self.vocab {
            let (_, hidden, _) = self.last_norm(&x, &predictors)?;
            vocab = self.backend.vocab_forward(&hidden, head, &targets, self.head(temperature))?;
        }
        let mut scores = Vec::new();
        if let (Some(weight), false) = (self.score, options.scores.is_empty()) {
            let (_, hidden, _) = self.last_norm(&x, &options.scores)?;
            let mut out = self.backend.unspecified(options.scores.len())?;
            let weight = Matrix::Plain(weight);
            self.backend.linear_into(&hidden, weight, self.config.hidden_size, &mut out, Store::Replace)?;
            scores = self.backend.download(&out)?.into_owned();
        }
        Ok(Pass {
            tokens: forest.tokens.clone(),
            places,
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
        self.vocab()?;
        let layout = Layout::new(forest);
        self.check(forest, &layout)?;
        let places = self.places(layout, None)?;
        let mut x = self.embed(&self.backend.indices(&forest.tokens)?, forest.tokens.len())?;
        for weights in &self.layers {
            cancel.check()?;
            x = layer::forward(self, weights, x, &places)?.output;
        }
        Ok(self.backend.download(&self.head_logits(&x, rows)?)?.into_owned())
    }
}
