//! The shape of a model, read from a Hugging Face `config.json` or from GGUF metadata.

mod family;
mod fields;
mod rope;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::fields::{Fields, Reading};
use crate::weights::Dtype;
use crate::{Error, Result};

pub use self::family::Family;
pub use self::rope::{RopeScaling, Rotary, Yarn};

/// Shape and constants of a decoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// Which architecture it is.
    pub family: Family,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the gated MLP.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub num_layers: usize,
    /// Query heads.
    pub num_heads: usize,
    /// Key/value heads (grouped-query attention when fewer than the query heads).
    pub num_kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Longest context, in tokens.
    pub max_position: usize,
    /// Base of the rotary embedding.
    pub rope_theta: f64,
    /// How it is stretched.
    pub rope_scaling: RopeScaling,
    /// Epsilon of every RMSNorm.
    pub rms_norm_eps: f64,
    /// Whether the LM head is the embedding.
    pub tie_word_embeddings: bool,
    /// Whether queries, keys and values have biases, and attention's output where the family has that one.
    pub attention_bias: bool,
    /// Whether the MLP's matrices have biases.
    pub mlp_bias: bool,
    /// Beginning-of-sequence token.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a sequence.
    pub eos_token_ids: Vec<u32>,
    /// Padding token; kept for export only, the core never pads.
    pub pad_token_id: Option<u32>,
}

impl ModelConfig {
    /// Reads a `config.json` of Llama, Mistral, Qwen2 or Qwen3 with the defaults of transformers 5. `path` is named in
    /// errors only.
    ///
    /// # Errors
    /// [`Error::Format`] naming key, value and what was expected: for another `model_type`, for anything else that would
    /// change the arithmetic (sliding windows, unknown rope scaling, another activation, quantised weights), for missing
    /// or absurd sizes.
    pub fn from_hf_json(path: &Path, bytes: &[u8]) -> Result<Self> {
        let fields = Fields::parse(path, bytes)?;
        let config = Self::from_fields(&fields).map_err(|reason| Error::format(path, reason))?;
        config.validate().map_err(|error| Error::format(path, error.to_string()))?;
        Ok(config)
    }

    fn from_fields(fields: &Fields) -> Reading<Self> {
        let family = Family::read(fields)?;
        for (key, neutral) in [
            ("hidden_act", json!("silu")),
            ("quantization_config", Value::Null),
            ("rope_interleaved", json!(false)),
            ("partial_rotary_factor", json!(1.0)),
        ] {
            if fields.get(key).is_some_and(|value| *value != neutral) {
                return Err(fields.refusal(key, &neutral.to_string()));
            }
        }
        let defaults = family.defaults();
        let hidden_size = fields.size("hidden_size")?;
        let num_heads = fields.size("num_attention_heads")?;
        let num_layers = fields.size("num_hidden_layers")?;
        let max_position = fields.size_or("max_position_embeddings", defaults.max_position)?;
        family.refuse_windows(fields, num_layers, max_position)?;
        let (rope_scaling, rope_theta) = rope::read(fields, max_position)?;
        let by_heads = hidden_size.checked_div(num_heads).unwrap_or(0);
        Ok(Self {
            family,
            vocab_size: fields.size("vocab_size")?,
            hidden_size,
            intermediate_size: fields.size("intermediate_size")?,
            num_layers,
            num_heads,
            num_kv_heads: fields.size_unless("num_key_value_heads", num_heads, defaults.num_kv_heads)?,
            head_dim: fields.size_unless("head_dim", by_heads, defaults.head_dim)?,
            max_position,
            rope_theta,
            rope_scaling,
            rms_norm_eps: fields.number("rms_norm_eps")?.unwrap_or(1e-6),
            tie_word_embeddings: fields.flag("tie_word_embeddings")?.unwrap_or(false),
            attention_bias: fields.flag("attention_bias")?.unwrap_or(family == Family::Qwen2),
            mlp_bias: fields.flag("mlp_bias")?.unwrap_or(false),
            bos_token_id: fields.token_ids("bos_token_id", defaults.bos_token_id)?.first().copied(),
            eos_token_ids: fields.token_ids("eos_token_id", defaults.eos_token_id)?,
            pad_token_id: fields.token_ids("pad_token_id", None)?.first().copied(),
        })
    }

    /// Whether attention's output has a bias.
    pub fn output_bias(&self) -> bool {
        self.attention_bias && self.family != Family::Qwen2
    }

    /// Whether each head of queries and keys is normed before its rotation.
    pub fn head_norms(&self) -> bool {
        self.family == Family::Qwen3
    }

    /// The rotary embedding.
    pub fn rotary(&self) -> Rotary {
        self.rope_scaling.rotary(self.rope_theta, self.head_dim)
    }

    /// Adds the end-of-sequence tokens of a `generation_config.json`, where chat models name their end of turn.
    ///
    /// # Errors
    /// [`Error::Format`] when the file is not a JSON object or an id is not in the vocabulary.
    pub(crate) fn merge_generation_config(&mut self, path: &Path, bytes: &[u8]) -> Result<()> {
        let fields = Fields::parse(path, bytes)?;
        for id in fields.token_ids("eos_token_id", None).map_err(|reason| Error::format(path, reason))? {
            if !self.eos_token_ids.contains(&id) {
                self.eos_token_ids.push(id);
            }
        }
        self.validate().map_err(|error| Error::format(path, error.to_string()))
    }

    /// The `config.json` of a causal language model with weights of `dtype`. It carries the rotary embedding in both
    /// places where readers look for it.
    pub fn to_hf_json(&self, dtype: Dtype) -> Value {
        let eos = match self.eos_token_ids.as_slice() {
            [] => Value::Null,
            [id] => json!(id),
            ids => json!(ids),
        };
        let mut rope = self.rope_scaling.to_hf_json(self.max_position);
        let rope_scaling = (self.rope_scaling != RopeScaling::Default).then(|| rope.clone());
        rope.insert("rope_theta".into(), json!(self.rope_theta));
        let mut json = json!({
            "architectures": [self.family.class("ForCausalLM")],
            "model_type": self.family.model_type(),
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": self.max_position,
            "hidden_act": "silu",
            "attention_bias": self.attention_bias,
            "mlp_bias": self.mlp_bias,
            "rope_theta": self.rope_theta,
            "rope_parameters": rope,
            "rms_norm_eps": self.rms_norm_eps,
            "tie_word_embeddings": self.tie_word_embeddings,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": eos,
            "pad_token_id": self.pad_token_id,
            "torch_dtype": dtype.torch_name(),
        });
        if let Some(scaling) = rope_scaling {
            json["rope_scaling"] = Value::Object(scaling);
        }
        if self.family == Family::Mistral {
            // Where the key is missing, transformers takes 4,096.
            json["sliding_window"] = Value::Null;
        }
        json
    }

    /// Checks that the sizes fit each other and are not absurd.
    ///
    /// # Errors
    /// [`Error::Input`] naming the field, its value and what was expected.
    pub fn validate(&self) -> Result<()> {
        let sizes = [
            ("vocab_size", self.vocab_size, 1 << 24),
            ("hidden_size", self.hidden_size, 1 << 17),
            ("intermediate_size", self.intermediate_size, 1 << 20),
            ("num_hidden_layers", self.num_layers, 1 << 10),
            ("num_attention_heads", self.num_heads, 1 << 12),
            ("num_key_value_heads", self.num_kv_heads, 1 << 12),
            ("head_dim", self.head_dim, 1 << 12),
            ("max_position_embeddings", self.max_position, 1 << 24),
        ];
        for (name, value, limit) in sizes {
            if value == 0 || value > limit {
                return Err(Error::Input(format!("{name} is \"{value}\", expected 1 to {limit}")));
            }
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(Error::Input(format!("head_dim is \"{}\", expected an even number", self.head_dim)));
        }
        if !self.num_heads.is_multiple_of(self.num_kv_heads) {
            return Err(Error::Input(format!(
                "num_key_value_heads is \"{}\", expected a divisor of the {} attention heads",
                self.num_kv_heads, self.num_heads
            )));
        }
        for (name, value) in [("rope_theta", self.rope_theta), ("rms_norm_eps", self.rms_norm_eps)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(Error::Input(format!("{name} is \"{value}\", expected a positive number")));
            }
        }
        self.family.check_biases(self.attention_bias, self.mlp_bias).map_err(Error::Input)?;
        let scaling = self.rope_scaling.validate(self.head_dim);
        scaling.map_err(|reason| Error::Input(format!("rope_parameters: {reason}")))?;
        let Rotary { frequencies, scale } = self.rotary();
        if let Some(value) = frequencies.iter().chain([&scale]).find(|x| !(x.is_finite() && **x > 0.0)) {
            return Err(Error::Input(format!(
                "The rotary embedding of base {} and scaling {:?} has a \"{value}\", expected positive numbers",
                self.rope_theta, self.rope_scaling
            )));
        }
        let ids = [("bos_token_id", &self.bos_token_id), ("pad_token_id", &self.pad_token_id)]
            .into_iter()
            .flat_map(|(name, id)| id.map(|id| (name, id)))
            .chain(self.eos_token_ids.iter().map(|id| ("eos_token_id", *id)));
        for (name, id) in ids {
            if id as usize >= self.vocab_size {
                return Err(Error::Input(format!(
                    "{name} is \"{id}\", expected less than the vocab_size {}",
                    self.vocab_size
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
