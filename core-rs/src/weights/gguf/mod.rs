//! Models in GGUF files: hyper-parameters, weights and tokenizer in one.

mod container;
mod hyper_parameters;
mod vocabulary;

use std::collections::BTreeMap;
use std::path::Path;

use self::container::{Container, Entry};
use self::hyper_parameters::ROPE_FREQUENCIES;
use self::vocabulary::SpecialIds;
use super::stored::Place;
use super::{Checkpoint, Read, RowOrder, StoredTensor, check_tokenizer, layout, take_file};
use crate::Error;
use crate::config::Family;
use crate::files::Taken;

/// Reads a file. See [`super::load`].
pub(super) fn load<T: Send>(path: &Path, read: &Read<T>) -> crate::Result<Checkpoint<T>> {
    let bytes = take_file(path)?;
    let fail = |reason| Error::format(path, reason);
    let Container { metadata, mut tensors } = Container::parse(&bytes).map_err(fail)?;
    let frequencies = tensors.remove(ROPE_FREQUENCIES);
    let special = SpecialIds::read(&metadata).map_err(fail)?;
    let config = hyper_parameters::read(&metadata, &tensors, frequencies.as_ref(), &special).map_err(fail)?;
    config.validate().map_err(|error| fail(error.to_string()))?;

    let mut stored = BTreeMap::new();
    for (name, Entry { shape, encoding, bytes }) in tensors {
        let name = hugging_face_name(name)
            .ok_or_else(|| fail(format!("Tensor \"{name}\" is not part of a supported model")))?;
        let rotated = name.contains("self_attn.q_proj.") || name.contains("self_attn.k_proj.");
        // Of these architectures, llama.cpp's converter moves the rows of Llama alone.
        let order = match rotated && config.family == Family::Llama {
            true => RowOrder::Interleaved(config.head_dim),
            false => RowOrder::Plain,
        };
        let tensor = StoredTensor { file: path, name: name.clone(), shape, encoding, bytes, order };
        stored.insert(name, tensor);
    }
    if Taken::FREES {
        let text = vocabulary::text_assets(&metadata, &special).map_err(fail)?;
        check_tokenizer(path, &config, &text)?;
        let places = stored.into_iter().map(|(name, tensor)| (name, Place::of(tensor, 0, &bytes))).collect();
        let tensors = layout::read_freeing(path, &config, vec![(path, bytes)], places, read)?;
        return Ok(Checkpoint { config, tensors, text });
    }
    let (tensors, text) = rayon::join(
        || layout::read_all(path, &config, &stored, read),
        || vocabulary::text_assets(&metadata, &special),
    );
    let (tensors, text) = (tensors?, text.map_err(fail)?);
    check_tokenizer(path, &config, &text)?;
    Ok(Checkpoint { config, tensors, text })
}

fn hugging_face_name(name: &str) -> Option<String> {
    match name {
        "token_embd.weight" => return Some(layout::EMBEDDING.into()),
        "output_norm.weight" => return Some("model.norm.weight".into()),
        "output.weight" => return Some(layout::LM_HEAD.into()),
        _ => {}
    }
    let (layer, part) = name.strip_prefix("blk.")?.split_once('.')?;
    let (part, kind) = part.rsplit_once('.')?;
    let part = match (part, kind) {
        ("attn_norm", "weight") => "input_layernorm",
        ("attn_q_norm", "weight") => "self_attn.q_norm",
        ("attn_k_norm", "weight") => "self_attn.k_norm",
        ("ffn_norm", "weight") => "post_attention_layernorm",
        ("attn_q", "weight" | "bias") => "self_attn.q_proj",
        ("attn_k", "weight" | "bias") => "self_attn.k_proj",
        ("attn_v", "weight" | "bias") => "self_attn.v_proj",
        ("attn_output", "weight" | "bias") => "self_attn.o_proj",
        ("ffn_gate", "weight" | "bias") => "mlp.gate_proj",
        ("ffn_up", "weight" | "bias") => "mlp.up_proj",
        ("ffn_down", "weight" | "bias") => "mlp.down_proj",
        _ => return None,
    };
    Some(format!("model.layers.{layer}.{part}.{kind}"))
}

#[cfg(test)]
mod tests;
