//! One value a tensor of the model: weights, gradients, moments and shapes share this form.

use crate::config::ModelConfig;

/// The tensors of one decoder layer.
#[derive(Debug, Clone)]
pub struct LayerParams<T> {
    /// Norm before attention.
    pub input_norm: T,
    /// Queries.
    pub q: T,
    /// Keys.
    pub k: T,
    /// Values.
    pub v: T,
    /// Attention's output.
    pub o: T,
    /// Norm before the MLP.
    pub post_norm: T,
    /// The gate of the MLP.
    pub gate: T,
    /// The gated half of the MLP.
    pub up: T,
    /// The MLP's output.
    pub down: T,
}

/// The tensors of a model.
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
    /// Score head.
    pub score: Option<T>,
}

/// Hugging Face name and shape of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// For example "model.layers.0.self_attn.q_proj.weight".
    pub name: String,
    /// \[out, in\] for a matrix, \[width\] for a norm.
    pub shape: Vec<usize>,
}

impl Spec {
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
    pub fn specs(config: &ModelConfig, score: bool, lm_head: bool) -> Self {
        let c = config;
        let spec = |name: String, shape: &[usize]| Spec { name, shape: shape.to_vec() };
        let (queries, keys) = (c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim);
        let layers = (0..c.num_layers)
            .map(|i| {
                let matrix = |part: &str, out: usize, inputs: usize| {
                    spec(format!("model.layers.{i}.{part}_proj.weight"), &[out, inputs])
                };
                let norm = |part: &str| spec(format!("model.layers.{i}.{part}.weight"), &[c.hidden_size]);
                LayerParams {
                    input_norm: norm("input_layernorm"),
                    q: matrix("self_attn.q", queries, c.hidden_size),
                    k: matrix("self_attn.k", keys, c.hidden_size),
                    v: matrix("self_attn.v", keys, c.hidden_size),
                    o: matrix("self_attn.o", c.hidden_size, queries),
                    post_norm: norm("post_attention_layernorm"),
                    gate: matrix("mlp.gate", c.intermediate_size, c.hidden_size),
                    up: matrix("mlp.up", c.intermediate_size, c.hidden_size),
                    down: matrix("mlp.down", c.hidden_size, c.intermediate_size),
                }
            })
            .collect();
        let vocab = [c.vocab_size, c.hidden_size];
        Self {
            embed: spec("model.embed_tokens.weight".into(), &vocab),
            layers,
            norm: spec("model.norm.weight".into(), &[c.hidden_size]),
            lm_head: (lm_head && !c.tie_word_embeddings).then(|| spec("lm_head.weight".into(), &vocab)),
            score: score.then(|| spec("score.weight".into(), &[1, c.hidden_size])),
        }
    }
}

impl<T> LayerParams<T> {
    fn fields(&self) -> [&T; 9] {
        let Self { input_norm, q, k, v, o, post_norm, gate, up, down } = self;
        [input_norm, q, k, v, o, post_norm, gate, up, down]
    }

    fn fields_mut(&mut self) -> [&mut T; 9] {
        let Self { input_norm, q, k, v, o, post_norm, gate, up, down } = self;
        [input_norm, q, k, v, o, post_norm, gate, up, down]
    }
}

impl<T> Params<T> {
    /// All tensors in one fixed order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.embed)
            .chain(self.layers.iter().flat_map(LayerParams::fields))
            .chain([&self.norm])
            .chain(&self.lm_head)
            .chain(&self.score)
    }

    /// As [`Params::iter`].
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        std::iter::once(&mut self.embed)
            .chain(self.layers.iter_mut().flat_map(LayerParams::fields_mut))
            .chain([&mut self.norm])
            .chain(&mut self.lm_head)
            .chain(&mut self.score)
    }

    /// One value from each tensor in the order of [`Params::iter`], or the first error.
    pub fn try_map<U, E>(&self, mut f: impl FnMut(&T) -> Result<U, E>) -> Result<Params<U>, E> {
        let embed = f(&self.embed)?;
        let layers = self.layers.iter().map(|l| {
            Ok(LayerParams {
                input_norm: f(&l.input_norm)?,
                q: f(&l.q)?,
                k: f(&l.k)?,
                v: f(&l.v)?,
                o: f(&l.o)?,
                post_norm: f(&l.post_norm)?,
                gate: f(&l.gate)?,
                up: f(&l.up)?,
                down: f(&l.down)?,
            })
        });
        let layers = layers.collect::<Result<_, E>>()?;
        Ok(Params {
            embed,
            layers,
            norm: f(&self.norm)?,
            lm_head: self.lm_head.as_ref().map(&mut f).transpose()?,
            score: self.score.as_ref().map(&mut f).transpose()?,
        })
    }

    /// One value from each tensor.
    pub fn map<U>(&self, mut f: impl FnMut(&T) -> U) -> Params<U> {
        match self.try_map(|t| Ok::<U, std::convert::Infallible>(f(t))) {
            Ok(params) => params,
            Err(never) => match never {},
        }
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
