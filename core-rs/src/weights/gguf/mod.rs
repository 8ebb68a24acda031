//! Llama models in GGUF files: hyper-parameters, weights and tokenizer in one.

mod container;
mod vocabulary;

use std::collections::BTreeMap;
use std::path::Path;

use self::container::{Container, Entry, Metadata, Result};
use self::vocabulary::SpecialIds;
use super::{Checkpoint, Read, RowOrder, StoredTensor, check_tokenizer, layout, map_file};
use crate::Error;
use crate::config::{Family, ModelConfig, RopeScaling};

const ROPE_FREQUENCIES: &str = "rope_freqs.weight";

/// The hyper-parameters that we read, or that say nothing about the arithmetic.
const KNOWN_KEYS: [&str; 14] = [
    "llama.attention.head_count",
    "llama.attention.head_count_kv",
    "llama.attention.key_length",
    "llama.attention.layer_norm_rms_epsilon",
    "llama.attention.value_length",
    "llama.block_count",
    "llama.context_length",
    "llama.embedding_length",
    "llama.feed_forward_length",
    "llama.rope.dimension_count",
    "llama.rope.freq_base",
    "llama.rope.scaling.type",
    "llama.tensor_data_layout",
    "llama.vocab_size",
];

/// Reads a file. See [`super::load`].
pub(super) fn load<T: Send>(path: &Path, read: &Read<T>) -> crate::Result<Checkpoint<T>> {
    let bytes = map_file(path)?;
    let fail = |reason| Error::format(path, reason);
    let Container { metadata, mut tensors } = Container::parse(&bytes).map_err(fail)?;
    if let Some(frequencies) = tensors.remove(ROPE_FREQUENCIES) {
        check_frequencies(&frequencies).map_err(fail)?;
    }
    let special = SpecialIds::read(&metadata).map_err(fail)?;
    let config = config(&metadata, &tensors, &special).map_err(fail)?;
    config.validate().map_err(|error| fail(error.to_string()))?;

    let mut stored = BTreeMap::new();
    for (name, Entry { shape, encoding, bytes }) in tensors {
        let name = hugging_face_name(name)
            .ok_or_else(|| fail(format!("Tensor \"{name}\" is not part of a Llama model")))?;
        let rotated = ["self_attn.q_proj.weight", "self_attn.k_proj.weight"];
        let order = match rotated.iter().any(|part| name.ends_with(part)) {
            true => RowOrder::Interleaved(config.head_dim),
            false => RowOrder::Plain,
        };
        let tensor = StoredTensor { file: path, name: name.clone(), shape, encoding, bytes, order };
        stored.insert(name, tensor);
    }
    let tensors = layout::read_all(path, &config, &stored, read)?;
    let text = vocabulary::text_assets(&metadata, &special).map_err(fail)?;
    check_tokenizer(path, &config, &text)?;
    Ok(Checkpoint { config, tensors, text })
}

fn config(metadata: &Metadata, tensors: &BTreeMap<&str, Entry>, special: &SpecialIds) -> Result<ModelConfig> {
    let architecture = metadata.text("general.architecture")?.unwrap_or("");
    if architecture != "llama" {
        return Err(format!("general.architecture is \"{architecture}\", expected \"llama\""));
    }
    check_neutral(metadata)?;
    let need =
        |key: &str| metadata.size(key)?.ok_or_else(|| format!("{key} is missing, expected a whole number"));
    let hidden_size = need("llama.embedding_length")?;
    let num_heads = need("llama.attention.head_count")?;
    let by_heads = hidden_size.checked_div(num_heads).unwrap_or(0);
    let head_dim = metadata.size("llama.attention.key_length")?.unwrap_or(by_heads);
    for key in ["llama.attention.value_length", "llama.rope.dimension_count"] {
        if let Some(size) = metadata.size(key)?.filter(|size| *size != head_dim) {
            return Err(format!("{key} is \"{size}\", expected the width of a head, {head_dim}"));
        }
    }
    let embedding = tensors.get("token_embd.weight").ok_or("Tensor \"token_embd.weight\" is missing")?;
    let vocab_size = embedding.shape[0];
    if let Some(size) = metadata.size("llama.vocab_size")?.filter(|size| *size != vocab_size) {
        return Err(format!("llama.vocab_size is \"{size}\", but token_embd.weight has {vocab_size} rows"));
    }
    let epsilon = metadata.number("llama.attention.layer_norm_rms_epsilon")?;
    Ok(ModelConfig {
        family: Family::Llama,
        vocab_size,
        hidden_size,
        intermediate_size: need("llama.feed_forward_length")?,
        num_layers: need("llama.block_count")?,
        num_heads,
        num_kv_heads: metadata.size("llama.attention.head_count_kv")?.unwrap_or(num_heads),
        head_dim,
        max_position: need("llama.context_length")?,
        rope_theta: metadata.number("llama.rope.freq_base")?.unwrap_or(10_000.0),
        rope_scaling: RopeScaling::Default,
        rms_norm_eps: epsilon
            .ok_or("llama.attention.layer_norm_rms_epsilon is missing, expected a number")?,
        tie_word_embeddings: !tensors.contains_key("output.weight"),
        attention_bias: false,
        mlp_bias: false,
        bos_token_id: special.bos,
        eos_token_ids: special.eos.clone(),
        pad_token_id: special.pad,
    })
}

/// Refuses every hyper-parameter that would change the arithmetic: scaled rotary positions, experts, and whatever
/// newer files may bring.
fn check_neutral(metadata: &Metadata) -> Result<()> {
    if let Some(kind) = metadata.text("llama.rope.scaling.type")?.filter(|kind| *kind != "none") {
        return Err(format!("llama.rope.scaling.type is \"{kind}\", expected \"none\""));
    }
    for key in ["llama.rope.scaling.factor", "llama.rope.scale_linear", "llama.rope.scaling.attn_factor"] {
        if let Some(factor) = metadata.number(key)?.filter(|factor| *factor != 1.0) {
            return Err(format!("{key} is \"{factor}\", expected 1"));
        }
    }
    for key in ["llama.expert_count", "llama.expert_used_count"] {
        if let Some(count) = metadata.size(key)?.filter(|count| *count != 0) {
            return Err(format!("{key} is \"{count}\", expected 0"));
        }
    }
    let known = |key: &str| {
        KNOWN_KEYS.contains(&key)
            || key.starts_with("llama.expert_")
            || key.starts_with("llama.rope.scal")
            || !key.starts_with("llama.")
    };
    match metadata.keys().find(|key| !known(key)) {
        Some(key) => Err(format!("{key} is not supported, expected a plain Llama model")),
        None => Ok(()),
    }
}

/// Frequency factors of 1 scale nothing; any other is rope scaling.
fn check_frequencies(frequencies: &Entry) -> Result<()> {
    match frequencies.encoding.decode(frequencies.bytes).iter().position(|factor| *factor != 1.0) {
        Some(at) => {
            Err(format!("{ROPE_FREQUENCIES} scales frequency {at}, expected factors of 1 (no rope scaling)"))
        }
        None => Ok(()),
    }
}

fn hugging_face_name(name: &str) -> Option<String> {
    match name {
        "token_embd.weight" => return Some(layout::EMBEDDING.into()),
        "output_norm.weight" => return Some("model.norm.weight".into()),
        "output.weight" => return Some(layout::LM_HEAD.into()),
        _ => {}
    }
    let (layer, part) = name.strip_prefix("blk.")?.split_once('.')?;
    let part = match part {
        "attn_norm.weight" => "input_layernorm",
        "attn_q.weight" => "self_attn.q_proj",
        "attn_k.weight" => "self_attn.k_proj",
        "attn_v.weight" => "self_attn.v_proj",
        "attn_output.weight" => "self_attn.o_proj",
        "ffn_norm.weight" => "post_attention_layernorm",
        "ffn_gate.weight" => "mlp.gate_proj",
        "ffn_up.weight" => "mlp.up_proj",
        "ffn_down.weight" => "mlp.down_proj",
        _ => return None,
    };
    Some(format!("model.layers.{layer}.{part}.weight"))
}

#[cfg(test)]
mod tests;
