//! One value a tensor of the model: weights, gradients, moments and shapes share this form.

use crate::config::ModelConfig;
use crate::weights::SCORE;
use std::convert::Infallible;

/// What cannot be an error.
pub(super) fn infallible<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

/// A matrix and what is added to its products.
#[derive(Debug, Clone)]
pub struct Linear<T> {
    /// \[out, in\]
    pub weight: T,
    /// \[out\]
    pub bias: Option<T>,
}

/// The tensors of one decoder layer.
#[derive(Debug, Clone)]
pub struct LayerParams<T> {
    /// Norm before attention.
    pub input_norm: T,
    /// Queries.
    pub q: Linear<T>,
    /// Keys.
    pub k: Linear<T>,
    /// Values.
    pub v: Linear<T>,
    /// Norm of each head of the queries.
    pub q_norm: Option<T>,
    /// Norm of each head of the keys.
    pub k_norm: Option<T>,
    /// Attention's output.
    pub o: Linear<T>,
    /// Norm before the MLP.
    pub post_norm: T,
    /// The gate of the MLP.
    pub gate: Linear<T>,
    /// The gated half of the MLP.
    pub up: Linear<T>,
    /// The MLP's output.
    pub down: Linear<T>,
}

/// The tensors of a model, without its score head.
#[derive(Debug, Clone)]
pub struct Params<T> {
    /// Embedding, and LM head when tied.
    pub embed: T,
    /// Decoder layers.
    pub layers: Vec<LayerParams<T>>,
    /// Last norm.
    pub norm: T,
    /// LM head when not tied.
    pub lm_head: Option<T>,
}

/// Hugging Face name and shape of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// For example "model.layers.0.self_attn.q_proj.weight".
    pub name: String,
    /// \[out, in\] for a matrix, \[width\] for a norm or a bias.
    pub shape: Vec<usize>,
}

impl Spec {
    /// Of the score head of a model of this shape.
    pub fn of_score(config: &ModelConfig) -> Self {
        Self { name: SCORE.into(), shape: vec![1, config.hidden_size] }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Params<Spec> {
    /// What a model of this shape has. A model with a score head may lack the LM head: transformers' classifiers do.
    pub fn specs(config: &ModelConfig, lm_head: bool) -> Self {
        let c = config;
        let spec = |name: String, shape: &[usize]| Spec { name, shape: shape.to_vec() };
        let (queries, keys) = (c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim);
        let layers = (0..c.num_layers)
            .map(|i| {
                let linear = |part: &str, out: usize, inputs: usize, bias: bool| Linear {
                    weight: spec(format!("model.layers.{i}.{part}_proj.weight"), &[out, inputs]),
                    bias: bias.then(|| spec(format!("model.layers.{i}.{part}_proj.bias"), &[out])),
                };
                let norm = |part: &str| spec(format!("model.layers.{i}.{part}.weight"), &[c.hidden_size]);
                let head_norm = |part: &str| {
                    let name = format!("model.layers.{i}.self_attn.{part}_norm.weight");
                    c.head_norms().then(|| spec(name, &[c.head_dim]))
                };
                LayerParams {
                    input_norm: norm("input_layernorm"),
                    q: linear("self_attn.q", queries, c.hidden_size, c.attention_bias),
                    k: linear("self_attn.k", keys, c.hidden_size, c.attention_bias),
                    v: linear("self_attn.v", keys, c.hidden_size, c.attention_bias),
                    q_norm: head_norm("q"),
                    k_norm: head_norm("k"),
                    o: linear("self_attn.o", c.hidden_size, queries, c.output_bias()),
                    post_norm: norm("post_attention_layernorm"),
                    gate: linear("mlp.gate", c.intermediate_size, c.hidden_size, c.mlp_bias),
                    up: linear("mlp.up", c.intermediate_size, c.hidden_size, c.mlp_bias),
                    down: linear("mlp.down", c.hidden_size, c.intermediate_size, c.mlp_bias),
                }
            })
            .collect();
        let vocab = [c.vocab_size, c.hidden_size];
        Self {
            embed: spec("model.embed_tokens.weight".into(), &vocab),
            layers,
            norm: spec("model.norm.weight".into(), &[c.hidden_size]),
            lm_head: (lm_head && !c.tie_word_embeddings).then(|| spec("lm_head.weight".into(), &vocab)),
        }
    }
}

impl<T> Linear<T> {
    fn iter(&self) -> impl Iterator<Item = &T> {
        [&self.weight].into_iter().chain(&self.bias)
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        [&mut self.weight].into_iter().chain(&mut self.bias)
    }

    fn try_map<'a, U, E>(&'a self, mut f: impl FnMut(&'a T) -> Result<U, E>) -> Result<Linear<U>, E> {
        Ok(Linear { weight: f(&self.weight)?, bias: self.bias.as_ref().map(f).transpose()? })
    }
}

impl<T> LayerParams<T> {
    /// The linear layers in the order of [`super::lora::Target`].
    pub fn linears(&self) -> [&Linear<T>; 7] {
        [&self.q, &self.k, &self.v, &self.o, &self.gate, &self.up, &self.down]
    }

    /// As [`LayerParams::linears`].
    pub fn linears_mut(&mut self) -> [&mut Linear<T>; 7] {
        let Self { q, k, v, o, gate, up, down, .. } = self;
        [q, k, v, o, gate, up, down]
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        let Self { input_norm, q, k, v, q_norm, k_norm, o, post_norm, gate, up, down } = self;
        [input_norm]
            .into_iter()
            .chain([q, k, v].into_iter().flat_map(Linear::iter))
            .chain(q_norm)
            .chain(k_norm)
            .chain(o.iter())
            .chain([post_norm])
            .chain([gate, up, down].into_iter().flat_map(Linear::iter))
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let Self { input_norm, q, k, v, q_norm, k_norm, o, post_norm, gate, up, down } = self;
        [input_norm]
            .into_iter()
            .chain([q, k, v].into_iter().flat_map(Linear::iter_mut))
            .chain(q_norm)
            .chain(k_norm)
            .chain(o.iter_mut())
            .chain([post_norm])
            .chain([gate, up, down].into_iter().flat_map(Linear::iter_mut))
    }
}

impl<T> Params<T> {
    /// All tensors in one fixed order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.embed)
            .chain(self.layers.iter().flat_map(LayerParams::iter))
            .chain([&self.norm])
            .chain(&self.lm_head)
    }

    /// As [`Params::iter`].
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        std::iter::once(&mut self.embed)
            .chain(self.layers.iter_mut().flat_map(LayerParams::iter_mut))
            .chain([&mut self.norm])
            .chain(&mut self.lm_head)
    }

    /// One value from each tensor in the order of [`Params::iter`], or the first error.
    pub fn try_map<'a, U, E>(&'a self, mut f: impl FnMut(&'a T) -> Result<U, E>) -> Result<Params<U>, E> {
        let embed = f(&self.embed)?;
        let layers = self.layers.iter().map(|l| {
            Ok(LayerParams {
                input_norm: f(&l.input_norm)?,
                q: l.q.try_map(&mut f)?,
                k: l.k.try_map(&mut f)?,
                v: l.v.try_map(&mut f)?,
                q_norm: l.q_norm.as_ref().map(&mut f).transpose()?,
                k_norm: l.k_norm.as_ref().map(&mut f).transpose()?,
                o: l.o.try_map(&mut f)?,
                post_norm: f(&l.post_norm)?,
                gate: l.gate.try_map(&mut f)?,
                up: l.up.try_map(&mut f)?,
                down: l.down.try_map(&mut f)?,
            })
        });
        let layers = layers.collect::<Result<_, E>>()?;
        Ok(Params {
            embed,
            layers,
            norm: f(&self.norm)?,
            lm_head: self.lm_head.as_ref().map(&mut f).transpose()?,
        })
    }

    /// One value from each tensor.
    pub fn map<'a, U>(&'a self, mut f: impl FnMut(&'a T) -> U) -> Params<U> {
        infallible(self.try_map(|t| Ok(f(t))))
    }

    /// The same form with as many other values, in the order of [`Params::iter`].
    pub fn replaced<U>(&self, values: Vec<U>) -> Params<U> {
        let mut values = values.into_iter();
        self.map(|_| values.next().expect("as many values as tensors"))
    }

    /// The weight of the vocabulary head: `lm_head`, or the embedding of a tied model.
    pub fn vocab(&self) -> &T {
        self.lm_head.as_ref().unwrap_or(&self.embed)
    }

    /// As [`Params::vocab`].
    pub fn vocab_mut(&mut self) -> &mut T {
        self.lm_head.as_mut().unwrap_or(&mut self.embed)
    }

    /// Whether [`Params::vocab`] is one: a classifier that is not tied has none.
    pub fn has_vocab(&self, tied: bool) -> bool {
        tied || self.lm_head.is_some()
    }
}
