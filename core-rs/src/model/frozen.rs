//! Weights that only forward passes read, laid out for products; those of a quantised file stay quantised.

use super::adapter;
use super::layer::LayerWeights;
use super::params::{Params, Spec};
use super::reader::Reader;
use super::trainables::Tensors;
use crate::backend::{Backend, Matrix};
use crate::config::ModelConfig;
use crate::weights::{self, Checkpoint, StoredTensor, TextAssets};
use crate::{Error, Result};
use std::path::Path;

/// A tensor of a frozen model.
pub enum Held<B: Backend> {
    /// Norms, biases, and an embedding that is not quantised.
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
    score: Option<B::Buffer>,
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
        let lm_head = !tensors.contains_key(weights::SCORE) || tensors.contains_key(weights::LM_HEAD);
        let score = match tensors.remove(weights::SCORE) {
            Some(Held::Plain(score)) => Some(score),
            _ => None,
        };
        let tensors = Params::specs(&config, lm_head).try_map(|spec| {
            let missing = || Error::format(path, format!("Tensor \"{}\" is missing", spec.name));
            tensors.remove(&spec.name).ok_or_else(missing)
        })?;
        let tied_head = match &tensors.embed {
            Held::Plain(embed) if config.tie_word_embeddings => {
                Some(backend.pack(embed, config.hidden_size)?)
            }
            _ => None,
        };
        Ok((config, text, Self { tensors, tied_head, score }))
    }
}

impl<B: Backend> Frozen<B> {
    /// A copy of weights that may change, with what adapters they have merged into it.
    pub fn copy(backend: &B, config: &ModelConfig, tensors: Tensors<B::Buffer>) -> Result<Self> {
        let Tensors { weights, lora, score } = tensors;
        let adapters = lora.map(|lora| (lora.adapters.by_weight(weights), lora.shape.scale()));
        let mut adapters = adapters.iter().flat_map(|(all, scale)| all.iter().map(|a| Some(((*a)?, *scale))));
        let mut sources = weights.iter();
        let copies = tensors.weight_specs(config).try_map(|spec| {
            let source = sources.next().expect("as many tensors as names");
            Ok::<_, Error>(match (&spec.shape[..], adapters.next().flatten()) {
                (&[_, inputs], Some((adapter, scale))) => {
                    let merged = adapter::merged(backend, source, adapter, scale, inputs)?;
                    Held::Packed(backend.pack(&merged, inputs)?)
                }
                (&[_, inputs], None) if spec.name != weights::EMBEDDING => {
                    Held::Packed(backend.pack(source, inputs)?)
                }
                _ => Held::Plain(backend.duplicate(source)?),
            })
        })?;
        let tied = config.tie_word_embeddings;
        let tied_head = tied.then(|| backend.pack(&weights.embed, config.hidden_size)).transpose()?;
        let score = score.map(|score| backend.duplicate(score)).transpose()?;
        Ok(Self { tensors: copies, tied_head, score })
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
            score: self.score.as_ref(),
        }
    }

    /// Elements of its tensors.
    pub fn num_parameters(&self, config: &ModelConfig) -> usize {
        let score = self.score.as_ref().map(|_| Spec::of_score(config));
        Params::specs(config, self.tensors.lm_head.is_some()).iter().chain(&score).map(Spec::len).sum()
    }

    /// Whether there is a score head.
    pub fn has_score_head(&self) -> bool {
        self.score.is_some()
    }
}
