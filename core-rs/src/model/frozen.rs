//! Weights that only forward passes read, laid out for products; those of a quantised file stay quantised.

use super::layer::LayerWeights;
use super::params::{Params, Spec};
use super::reader::Reader;
use crate::backend::{Backend, Matrix};
use crate::config::ModelConfig;
use crate::weights::{self, Checkpoint, StoredTensor, TextAssets};
use crate::{Error, Result};
use std::path::Path;

/// A tensor of a frozen model.
pub enum Held<B: Backend> {
    /// Norms, biases, the score head, and an embedding that is not quantised.
    Plain(B::Buffer),
    /// Matrices, \[out, in\].
    Packed(B::Packed),
}

impl<B: Backend> Held<B> {
    /// As products read it.
    pub fn matrix(&self) -> Matrix<'_, B> {
        match self {
            Held::Plain(w) => Matrix::Plain(w),
            Held::Packed(w) => Matrix::Packed(w),
        }
    }

    /// As norms read it. Tensors of one dimension are never packed.
    pub fn plain(&self) -> &B::Buffer {
        match self {
            Held::Plain(w) => w,
            Held::Packed(_) => unreachable!("only matrices are packed"),
        }
    }
}

/// A model's weights for forward passes alone.
pub struct Frozen<B: Backend> {
    tensors: Params<Held<B>>,
    /// The vocabulary head of a tied model whose embedding is plain.
    tied_head: Option<B::Packed>,
}

impl<B: Backend<Scalar = f32>> Frozen<B> {
    /// Opens what [`super::Model::load`] opens.
    pub fn load(backend: &B, path: &Path) -> Result<(ModelConfig, TextAssets, Self)> {
        let hold = |_: &ModelConfig, tensor: &StoredTensor| {
            let matrix = tensor.shape.len() == 2 && tensor.name() != weights::SCORE;
            // Rows of a plain embedding are read as they are, not rounded to the operand's type.
            if matrix && (tensor.name() != weights::EMBEDDING || tensor.is_quantised()) {
                return Ok(Held::Packed(backend.pack_stored(tensor)?));
            }
            Ok(Held::Plain(backend.upload(&tensor.decode()?.data)?))
        };
        let Checkpoint { config, mut tensors, text } = weights::load_with(path, &hold)?;
        let score = tensors.contains_key(weights::SCORE);
        let lm_head = !score || tensors.contains_key(weights::LM_HEAD);
        let tensors = Params::specs(&config, score, lm_head).try_map(|spec| {
            let missing = || Error::format(path, format!("Tensor \"{}\" is missing", spec.name));
            tensors.remove(&spec.name).ok_or_else(missing)
        })?;
        let tied_head = match &tensors.embed {
            Held::Plain(embed) if config.tie_word_embeddings => {
                Some(backend.pack(embed, config.hidden_size)?)
            }
            _ => None,
        };
        Ok((config, text, Self { tensors, tied_head }))
    }
}

impl<B: Backend> Frozen<B> {
    /// A copy of weights that may change.
    pub fn copy(backend: &B, config: &ModelConfig, weights: &Params<B::Buffer>) -> Result<Self> {
        let (score, lm_head) = (weights.score.is_some(), weights.lm_head.is_some());
        let mut sources = weights.iter();
        let tensors = Params::specs(config, score, lm_head).try_map(|spec| {
            let source = sources.next().expect("as many tensors as names");
            Ok::<_, Error>(match spec.shape[..] {
                [_, inputs] if spec.name != weights::EMBEDDING && spec.name != weights::SCORE => {
                    Held::Packed(backend.pack(source, inputs)?)
                }
                _ => Held::Plain(backend.duplicate(source)?),
            })
        })?;
        let tied = config.tie_word_embeddings;
        let tied_head = tied.then(|| backend.pack(&weights.embed, config.hidden_size)).transpose()?;
        Ok(Self { tensors, tied_head })
    }

    /// As a forward pass reads it.
    pub fn reader<'a>(&'a self, backend: &'a B, config: &'a ModelConfig) -> Reader<'a, B> {
        let t = &self.tensors;
        let vocab = match &self.tied_head {
            Some(head) => Some(Matrix::Packed(head)),
            None => t.has_vocab(config.tie_word_embeddings).then(|| t.vocab().matrix()),
        };
        Reader {
            backend,
            config,
            rotary: config.rotary(),
            embed: t.embed.matrix(),
            layers: t.layers.iter().map(LayerWeights::held).collect(),
            norm: t.norm.plain(),
            vocab,
            score: t.score.as_ref().map(Held::plain),
        }
    }

    /// Names and shapes of its tensors.
    pub fn specs(&self, config: &ModelConfig) -> Params<Spec> {
        Params::specs(config, self.tensors.score.is_some(), self.tensors.lm_head.is_some())
    }

    /// Whether there is a score head.
    pub fn has_score_head(&self) -> bool {
        self.tensors.score.is_some()
    }
}
