//! The shape of a model, read from a Hugging Face `config.json` or from GGUF metadata.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::weights::Dtype;
use crate::{Error, Result};

/// Shape and constants of a Llama-family decoder (SmolLM2, Llama 2/3 without rope scaling).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
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
    /// Epsilon of every RMSNorm.
    pub rms_norm_eps: f64,
    /// Whether the LM head is the embedding.
    pub tie_word_embeddings: bool,
    /// Beginning-of-sequence token.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a sequence.
    pub eos_token_ids: Vec<u32>,
    /// Padding token; kept for export only, the core never pads.
    pub pad_token_id: Option<u32>,
}

impl ModelConfig {
    /// Reads a `config.json` with the defaults of transformers' `LlamaConfig`. The rotary base may stand at the top
    /// (`rope_theta`) or, as transformers 5 writes it, in `rope_parameters`. `path` is named in errors only.
    ///
    /// # Errors
    /// [`Error::Format`] naming key, value and what was expected: for another `model_type`, for anything that would
    /// change the arithmetic (rope scaling, biases, another activation, quantised weights), for missing or absurd sizes.
    pub fn from_hf_json(path: &Path, bytes: &[u8]) -> Result<Self> {
        let fields = Fields::parse(path, bytes)?;
        let config = Self::from_fields(&fields).map_err(|reason| Error::format(path, reason))?;
        config.validate().map_err(|error| Error::format(path, error.to_string()))?;
        Ok(config)
    }

    fn from_fields(fields: &Fields) -> std::result::Result<Self, String> {
        if fields.text("model_type")? != Some("llama") {
            return Err(fields.refusal("model_type", "\"llama\""));
        }
        for (key, neutral) in [
            ("attention_bias", json!(false)),
            ("mlp_bias", json!(false)),
            ("hidden_act", json!("silu")),
            ("quantization_config", Value::Null),
            ("rope_interleaved", json!(false)),
            ("partial_rotary_factor", json!(1.0)),
        ] {
            if fields.get(key).is_some_and(|value| *value != neutral) {
                return Err(fields.refusal(key, &neutral.to_string()));
            }
        }
        let hidden_size = fields.size("hidden_size")?;
        let num_heads = fields.size("num_attention_heads")?;
        Ok(Self {
            vocab_size: fields.size("vocab_size")?,
            hidden_size,
            intermediate_size: fields.size("intermediate_size")?,
            num_layers: fields.size("num_hidden_layers")?,
            num_heads,
            num_kv_heads: fields.size_or("num_key_value_heads", num_heads)?,
            head_dim: fields.size_or("head_dim", hidden_size.checked_div(num_heads).unwrap_or(0))?,
            max_position: fields.size_or("max_position_embeddings", 2048)?,
            rope_theta: rope_theta(fields)?,
            rms_norm_eps: fields.number("rms_norm_eps")?.unwrap_or(1e-6),
            tie_word_embeddings: fields.flag("tie_word_embeddings")?.unwrap_or(false),
            bos_token_id: fields.token_ids("bos_token_id", Some(1))?.first().copied(),
            eos_token_ids: fields.token_ids("eos_token_id", Some(2))?,
            pad_token_id: fields.token_ids("pad_token_id", None)?.first().copied(),
        })
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

    /// The `config.json` of a `LlamaForCausalLM` with weights of `dtype`. It carries the rotary base in both places
    /// where readers look for it.
    pub fn to_hf_json(&self, dtype: Dtype) -> Value {
        let eos = match self.eos_token_ids.as_slice() {
            [] => Value::Null,
            [id] => json!(id),
            ids => json!(ids),
        };
        json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": self.max_position,
            "hidden_act": "silu",
            "attention_bias": false,
            "mlp_bias": false,
            "rope_theta": self.rope_theta,
            "rope_parameters": { "rope_theta": self.rope_theta, "rope_type": "default" },
            "rms_norm_eps": self.rms_norm_eps,
            "tie_word_embeddings": self.tie_word_embeddings,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": eos,
            "pad_token_id": self.pad_token_id,
            "torch_dtype": dtype.torch_name(),
        })
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

/// The rotary base, wherever it stands, once nothing but the plain embedding is asked for.
fn rope_theta(fields: &Fields) -> std::result::Result<f64, String> {
    let top = fields.number("rope_theta")?;
    let mut nested = None;
    for key in ["rope_scaling", "rope_parameters"] {
        let Some(value) = fields.get(key) else { continue };
        let Some(object) = value.as_object() else {
            return Err(fields.refusal(key, "an object or null"));
        };
        for (name, value) in object {
            match name.as_str() {
                "rope_type" | "type" if value == "default" => {}
                "partial_rotary_factor" if value.as_f64() == Some(1.0) => {}
                "rope_theta" if value.is_number() => nested = value.as_f64(),
                _ => return Err(fields.refusal(key, "rope_type \"default\" and at most a rope_theta")),
            }
        }
    }
    match (top, nested) {
        (Some(top), Some(nested)) if top != nested => {
            Err(format!("rope_theta is \"{top}\", but rope_parameters has \"{nested}\""))
        }
        _ => Ok(nested.or(top).unwrap_or(10_000.0)),
    }
}

/// A JSON object read key by key. A key that is null counts as absent.
struct Fields(Map<String, Value>);

impl Fields {
    fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            Ok(_) => Err(Error::format(path, "Not a JSON object")),
            Err(error) => Err(Error::format(path, format!("Not JSON: {error}"))),
        }
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn refusal(&self, key: &str, expected: &str) -> String {
        match self.get(key) {
            Some(Value::String(text)) => format!("{key} is \"{text}\", expected {expected}"),
            Some(value) => format!("{key} is \"{value}\", expected {expected}"),
            None => format!("{key} is missing, expected {expected}"),
        }
    }

    fn text(&self, key: &str) -> std::result::Result<Option<&str>, String> {
        self.get(key).map(|value| value.as_str().ok_or_else(|| self.refusal(key, "a string"))).transpose()
    }

    fn number(&self, key: &str) -> std::result::Result<Option<f64>, String> {
        self.get(key).map(|value| value.as_f64().ok_or_else(|| self.refusal(key, "a number"))).transpose()
    }

    fn flag(&self, key: &str) -> std::result::Result<Option<bool>, String> {
        self.get(key)
            .map(|value| value.as_bool().ok_or_else(|| self.refusal(key, "true or false")))
            .transpose()
    }

    fn size(&self, key: &str) -> std::result::Result<usize, String> {
        let size = self.get(key).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
        size.ok_or_else(|| self.refusal(key, "a whole number"))
    }

    fn size_or(&self, key: &str, default: usize) -> std::result::Result<usize, String> {
        if self.get(key).is_some() { self.size(key) } else { Ok(default) }
    }

    /// One id, a list of ids, or none: null, or −1 as old files write it. `default` stands for an absent key.
    fn token_ids(&self, key: &str, default: Option<u32>) -> std::result::Result<Vec<u32>, String> {
        let one = |value: &Value| {
            let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
            id.ok_or_else(|| self.refusal(key, "a token id or a list of them"))
        };
        match self.0.get(key) {
            None => Ok(default.into_iter().collect()),
            Some(Value::Null) => Ok(Vec::new()),
            Some(value) if value.as_i64() == Some(-1) => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(one).collect(),
            Some(value) => Ok(vec![one(value)?]),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A small untied model: 2 layers, 4 query heads on 2 key/value heads of width 8, hidden size 24.
    pub(crate) fn small() -> ModelConfig {
        ModelConfig {
            vocab_size: 40,
            hidden_size: 24,
            intermediate_size: 32,
            num_layers: 2,
            num_heads: 4,
            num_kv_heads: 2,
            head_dim: 8,
            max_position: 64,
            rope_theta: 10_000.0,
            rms_norm_eps: 1e-5,
            tie_word_embeddings: false,
            bos_token_id: Some(0),
            eos_token_ids: vec![1],
            pad_token_id: None,
        }
    }

    fn parse(value: &Value) -> Result<ModelConfig> {
        ModelConfig::from_hf_json(Path::new("config.json"), value.to_string().as_bytes())
    }

    fn with(key: &str, value: Value) -> Value {
        let mut json = small().to_hf_json(Dtype::F32);
        json[key] = value;
        json
    }

    fn without(keys: &[&str]) -> Value {
        let mut json = small().to_hf_json(Dtype::F32);
        for key in keys {
            json.as_object_mut().unwrap().shift_remove(*key).unwrap();
        }
        json
    }

    #[test]
    fn defaults_are_those_of_transformers() {
        let config = parse(&without(&[
            "num_key_value_heads",
            "head_dim",
            "max_position_embeddings",
            "rope_theta",
            "rope_parameters",
            "rms_norm_eps",
            "tie_word_embeddings",
            "bos_token_id",
            "eos_token_id",
            "pad_token_id",
        ]))
        .unwrap();
        assert_eq!((config.num_kv_heads, config.head_dim, config.max_position), (4, 6, 2048));
        assert_eq!((config.rope_theta, config.rms_norm_eps, config.tie_word_embeddings), (1e4, 1e-6, false));
        assert_eq!(
            (config.bos_token_id, config.eos_token_ids, config.pad_token_id),
            (Some(1), vec![2], None)
        );
    }

    #[test]
    fn the_rotary_base_is_found_in_either_place() {
        let mut old = without(&["rope_parameters"]);
        old["rope_theta"] = json!(100_000);
        assert_eq!(parse(&old).unwrap().rope_theta, 1e5);
        let mut new = without(&["rope_theta"]);
        new["rope_parameters"]["rope_theta"] = json!(5e5);
        assert_eq!(parse(&new).unwrap().rope_theta, 5e5);
        let error = parse(&with("rope_theta", json!(5.0))).unwrap_err().to_string();
        assert!(error.contains("\"5\"") && error.contains("\"10000\""), "{error}");
    }

    #[test]
    fn what_would_change_the_arithmetic_is_refused_by_key_value_and_file() {
        for (key, value, quoted) in [
            ("model_type", json!("qwen2"), "\"qwen2\""),
            ("attention_bias", json!(true), "\"true\""),
            ("mlp_bias", json!(true), "\"true\""),
            ("hidden_act", json!("gelu"), "\"gelu\""),
            ("quantization_config", json!({ "bits": 4 }), "\"{\"bits\":4}\""),
            ("rope_scaling", json!({ "type": "linear", "factor": 2.0 }), "linear"),
            ("rope_parameters", json!({ "rope_type": "llama3", "rope_theta": 1e4 }), "llama3"),
            ("num_key_value_heads", json!(3), "\"3\""),
            ("head_dim", json!(7), "\"7\""),
            ("hidden_size", json!(-4), "\"-4\""),
            ("num_hidden_layers", json!(1u64 << 60), "1152921504606846976"),
            ("vocab_size", json!("many"), "\"many\""),
            ("eos_token_id", json!([1, 40]), "\"40\""),
            ("rms_norm_eps", json!(0.0), "\"0\""),
        ] {
            let error = parse(&with(key, value)).unwrap_err().to_string();
            assert!(
                error.contains("config.json") && error.contains(key) && error.contains(quoted),
                "{error}"
            );
        }
        assert!(
            parse(&without(&["hidden_size"])).unwrap_err().to_string().contains("hidden_size is missing")
        );
    }

    #[test]
    fn ends_of_sequence_are_merged() {
        let mut config = parse(&with("eos_token_id", json!([1, 5]))).unwrap();
        config.merge_generation_config(Path::new("g.json"), br#"{"eos_token_id": [5, 7]}"#).unwrap();
        assert_eq!(config.eos_token_ids, [1, 5, 7]);
        assert!(config.merge_generation_config(Path::new("g.json"), br#"{"eos_token_id": [true]}"#).is_err());
        assert_eq!(parse(&with("pad_token_id", json!(-1))).unwrap().pad_token_id, None);
    }

    proptest! {
        #[test]
        fn writing_and_reading_gives_the_same_config(
            kv in 1usize..5, group in 1usize..5, half in 1usize..40, theta in 1.0f64..1e7, eps in 1e-12f64..1.0,
            tied in any::<bool>(), eos in prop::collection::vec(0u32..40, 0..3)
        ) {
            let config = ModelConfig {
                num_heads: kv * group, num_kv_heads: kv, head_dim: 2 * half, rope_theta: theta, rms_norm_eps: eps,
                tie_word_embeddings: tied, eos_token_ids: eos, ..small()
            };
            prop_assert_eq!(parse(&config.to_hf_json(Dtype::BF16)).unwrap(), config);
        }

        #[test]
        fn damaged_json_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = small().to_hf_json(Dtype::F32).to_string().into_bytes();
            let at = at.index(bytes.len());
            prop_assert!(ModelConfig::from_hf_json(Path::new("c"), &bytes[..at]).is_err());
            bytes[at] = byte;
            if let Ok(config) = ModelConfig::from_hf_json(Path::new("c"), &bytes) {
                prop_assert!(config.validate().is_ok());
            }
        }
    }
}
