//! The shape of a model from a GGUF file's metadata, as llama.cpp's converters write it.

use std::collections::BTreeMap;

use super::container::{Entry, Metadata, Result};
use super::vocabulary::SpecialIds;
use crate::config::{Family, ModelConfig, RopeScaling, Yarn};

/// Divisors of the rotary frequencies, one each.
pub(super) const ROPE_FREQUENCIES: &str = "rope_freqs.weight";

/// What is read behind the architecture's name, or says nothing about the arithmetic.
const KNOWN_KEYS: [&str; 24] = [
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "expert_count",
    "expert_used_count",
    "feed_forward_length",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.attn_factor",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "rope.scaling.yarn_attn_factor",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scaling.yarn_ext_factor",
    "rope.scaling.yarn_log_multiplier",
    "vocab_size",
];

/// The hyper-parameters of one architecture.
struct Parameters<'a> {
    metadata: &'a Metadata<'a>,
    architecture: &'a str,
}

impl Parameters<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    fn size(&self, name: &str) -> Result<Option<usize>> {
        self.metadata.size(&self.key(name))
    }

    fn need(&self, name: &str) -> Result<usize> {
        self.size(name)?.ok_or_else(|| format!("{} is missing, expected a whole number", self.key(name)))
    }

    fn number(&self, name: &str) -> Result<Option<f64>> {
        self.metadata.number(&self.key(name))
    }

    /// Refuses experts, and whatever newer files may bring that could change the arithmetic.
    fn refuse_others(&self) -> Result<()> {
        for name in ["expert_count", "expert_used_count"] {
            if let Some(count) = self.size(name)?.filter(|count| *count != 0) {
                return Err(format!("{} is \"{count}\", expected 0", self.key(name)));
            }
        }
        let prefix = self.key("");
        let mut own = self.metadata.keys().filter_map(|key| key.strip_prefix(&prefix));
        match own.find(|name| !KNOWN_KEYS.contains(name) && *name != "tensor_data_layout") {
            Some(name) => Err(format!("{} is not supported, expected {KNOWN_KEYS:?}", self.key(name))),
            None => Ok(()),
        }
    }

    fn rope_scaling(
        &self,
        frequencies: Option<&Entry>,
        context: usize,
        theta: f64,
        head_dim: usize,
    ) -> Result<RopeScaling> {
        let kind = self.metadata.text(&self.key("rope.scaling.type"))?.unwrap_or("none");
        let factor = self.number("rope.scaling.factor")?;
        let of_yarn = self.key("rope.scaling.yarn_");
        if let Some(key) = self.metadata.keys().find(|key| kind != "yarn" && key.starts_with(&of_yarn)) {
            let place = self.key("rope.scaling.type");
            return Err(format!("{place} is \"{kind}\", expected \"yarn\" beside {key}"));
        }
        // What YaRN's multiplier of logarithms means depends on the architecture, and none of these has one.
        for (name, neutral) in [
            ("rope.scaling.attn_factor", 1.0),
            ("rope.scaling.yarn_attn_factor", 1.0),
            ("rope.scaling.yarn_ext_factor", 1.0),
            ("rope.scaling.yarn_log_multiplier", 0.0),
        ] {
            if let Some(value) = self.number(name)?.filter(|value| *value != neutral) {
                return Err(format!("{} is \"{value}\", expected {neutral}", self.key(name)));
            }
        }
        let (beta_fast, beta_slow) =
            (self.number("rope.scaling.yarn_beta_fast")?, self.number("rope.scaling.yarn_beta_slow")?);
        let need = || factor.ok_or_else(|| format!("{} is missing", self.key("rope.scaling.factor")));
        let scaling = match kind {
            "none" => match factor.filter(|factor| *factor != 1.0) {
                Some(factor) => {
                    let key = self.key("rope.scaling.factor");
                    return Err(format!("{key} is \"{factor}\", expected 1 without rope.scaling.type"));
                }
                None => RopeScaling::Default,
            },
            "linear" => RopeScaling::Linear { factor: need()? },
            "yarn" => {
                let original = self.size("rope.scaling.original_context_length")?.unwrap_or(context);
                let defaults = Yarn::new(need()?, original);
                RopeScaling::Yarn(Yarn {
                    beta_fast: beta_fast.unwrap_or(defaults.beta_fast),
                    beta_slow: beta_slow.unwrap_or(defaults.beta_slow),
                    ..defaults
                })
            }
            other => {
                let key = self.key("rope.scaling.type");
                return Err(format!("{key} is \"{other}\", expected \"none\", \"linear\" or \"yarn\""));
            }
        };
        let divisors = frequencies.map(|entry| entry.encoding.decode(entry.bytes)).unwrap_or_default();
        if divisors.iter().all(|divisor| *divisor == 1.0) {
            return Ok(scaling);
        }
        if scaling != RopeScaling::Default {
            return Err(format!("{ROPE_FREQUENCIES} and {} both scale", self.key("rope.scaling.type")));
        }
        let divisors = divisors.into_iter().map(f64::from).collect();
        Ok(RopeScaling::from_divisors(divisors, theta, head_dim))
    }
}

/// Reads the shape. `frequencies` is the tensor of that name.
pub(super) fn read(
    metadata: &Metadata,
    tensors: &BTreeMap<&str, Entry>,
    frequencies: Option<&Entry>,
    special: &SpecialIds,
) -> Result<ModelConfig> {
    let architecture = metadata.text("general.architecture")?.unwrap_or("");
    let family = match architecture {
        "llama" => Family::Llama,
        "qwen2" => Family::Qwen2,
        "qwen3" => Family::Qwen3,
        other => {
            return Err(format!(
                "general.architecture is \"{other}\", expected \"llama\", \"qwen2\" or \"qwen3\""
            ));
        }
    };
    let parameters = Parameters { metadata, architecture };
    parameters.refuse_others()?;
    let hidden_size = parameters.need("embedding_length")?;
    let num_heads = parameters.need("attention.head_count")?;
    let by_heads = hidden_size.checked_div(num_heads).unwrap_or(0);
    let head_dim = parameters.size("attention.key_length")?.unwrap_or(by_heads);
    for name in ["attention.value_length", "rope.dimension_count"] {
        if let Some(size) = parameters.size(name)?.filter(|size| *size != head_dim) {
            let key = parameters.key(name);
            return Err(format!("{key} is \"{size}\", expected the width of a head, {head_dim}"));
        }
    }
    let embedding = tensors.get("token_embd.weight").ok_or("Tensor \"token_embd.weight\" is missing")?;
    let vocab_size = embedding.shape[0];
    if let Some(size) = parameters.size("vocab_size")?.filter(|size| *size != vocab_size) {
        let key = parameters.key("vocab_size");
        return Err(format!("{key} is \"{size}\", but token_embd.weight has {vocab_size} rows"));
    }
    let epsilon = "attention.layer_norm_rms_epsilon";
    let max_position = parameters.need("context_length")?;
    let rope_theta = parameters.number("rope.freq_base")?.unwrap_or(10_000.0);
    Ok(ModelConfig {
        family,
        vocab_size,
        hidden_size,
        intermediate_size: parameters.need("feed_forward_length")?,
        num_layers: parameters.need("block_count")?,
        num_heads,
        num_kv_heads: parameters.size("attention.head_count_kv")?.unwrap_or(num_heads),
        head_dim,
        max_position,
        rope_theta,
        rope_scaling: parameters.rope_scaling(frequencies, max_position, rope_theta, head_dim)?,
        rms_norm_eps: parameters
            .number(epsilon)?
            .ok_or_else(|| format!("{} is missing, expected a number", parameters.key(epsilon)))?,
        tie_word_embeddings: !tensors.contains_key("output.weight"),
        attention_bias: tensors.contains_key("blk.0.attn_q.bias"),
        mlp_bias: tensors.contains_key("blk.0.ffn_up.bias"),
        bos_token_id: special.bos,
        eos_token_ids: special.eos.clone(),
        pad_token_id: special.pad,
    })
}
