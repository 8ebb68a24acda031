//! The tokenizer of a GGUF file, rebuilt as the `tokenizer.json` that it once was.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::container::{Metadata, Result};
use crate::tokenizer::Tokenizer;
use crate::weights::TextAssets;

const TOKENS: &str = "tokenizer.ggml.tokens";
const TOKEN_TYPES: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";
const BOS: &str = "tokenizer.ggml.bos_token_id";
const EOS: &str = "tokenizer.ggml.eos_token_id";
const EOT: &str = "tokenizer.ggml.eot_token_id";
const PADDING: &str = "tokenizer.ggml.padding_token_id";

/// llama.cpp's `llama_token_type`.
mod token_type {
    pub const NORMAL: i64 = 1;
    pub const UNKNOWN: i64 = 2;
    pub const CONTROL: i64 = 3;
    pub const USER_DEFINED: i64 = 4;
    pub const UNUSED: i64 = 5;
}

/// Special tokens by id, as the metadata names them.
pub(super) struct SpecialIds {
    pub bos: Option<u32>,
    pub eos: Vec<u32>,
    pub pad: Option<u32>,
}

impl SpecialIds {
    pub(super) fn read(metadata: &Metadata) -> Result<Self> {
        let id = |key: &str| -> Result<Option<u32>> {
            let id = metadata.size(key)?;
            id.map(|id| u32::try_from(id).map_err(|_| format!("{key} is \"{id}\", expected a token id")))
                .transpose()
        };
        let mut eos: Vec<u32> = id(EOS)?.into_iter().collect();
        eos.extend(id(EOT)?.filter(|end| !eos.contains(end)));
        Ok(Self { bos: id(BOS)?, eos, pad: id(PADDING)? })
    }
}

/// The tokenizer, template and special tokens; no tokenizer where the file was written without one.
pub(super) fn text_assets(metadata: &Metadata, ids: &SpecialIds) -> Result<TextAssets> {
    let tokens = metadata.texts(TOKENS)?.unwrap_or_default();
    let tokenizer = match metadata.text("tokenizer.ggml.model")? {
        None | Some("no_vocab" | "none") => None,
        Some("gpt2") => Some(tokenizer(metadata, ids, tokens)?),
        Some(other) => {
            return Err(format!("tokenizer.ggml.model is \"{other}\", expected \"gpt2\" (byte-level BPE)"));
        }
    };
    let spelled = |id: Option<u32>| Some((*tokens.get(id? as usize)?).to_owned());
    Ok(TextAssets {
        tokenizer,
        chat_template: metadata.text("tokenizer.chat_template")?.map(str::to_owned),
        bos_token: spelled(ids.bos),
        eos_token: spelled(ids.eos.first().copied()),
        pad_token: spelled(ids.pad),
    })
}

fn tokenizer(metadata: &Metadata, ids: &SpecialIds, tokens: &[&str]) -> Result<Tokenizer> {
    let pre = pre_tokenizer(metadata.text("tokenizer.ggml.pre")?.unwrap_or("default"))?;
    let types = metadata.integers(TOKEN_TYPES)?.ok_or_else(|| format!("{TOKEN_TYPES} is missing"))?;
    if types.len() != tokens.len() {
        return Err(format!(
            "{TOKEN_TYPES} has {} entries, expected one for each of {} tokens",
            types.len(),
            tokens.len()
        ));
    }
    let mut vocab = Map::with_capacity(tokens.len());
    let mut added = Vec::new();
    for (id, (token, kind)) in tokens.iter().zip(types).enumerate() {
        if vocab.insert((*token).to_owned(), json!(id)).is_some() {
            return Err(format!("Token \"{token}\" is in {TOKENS} twice, the second time with id {id}"));
        }
        let special = match *kind {
            token_type::NORMAL | token_type::UNUSED => continue,
            token_type::UNKNOWN | token_type::CONTROL => true,
            token_type::USER_DEFINED => false,
            other => return Err(format!("Token \"{token}\" has type \"{other}\", expected 1 to 5")),
        };
        added.push(
            json!({ "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": special }),
        );
    }
    let merges = metadata.texts(MERGES)?.ok_or_else(|| format!("{MERGES} is missing"))?;
    let merges: Vec<Value> = merges
        .iter()
        .map(|merge| {
            let pair = merge.split_once(' ').filter(|(_, right)| !right.contains(' '));
            let (left, right) = pair.ok_or_else(|| format!("Merge \"{merge}\" is not two tokens"))?;
            Ok(json!([left, right]))
        })
        .collect::<Result<_>>()?;
    let value = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": pre,
        "post_processor": post_processor(metadata, ids, tokens)?,
        "decoder": byte_level(true),
        "model": { "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": merges },
    });
    Tokenizer::from_value(value).map_err(|error| error.to_string())
}

fn byte_level(use_regex: bool) -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex })
}

/// How text is cut before merging, for the names that llama.cpp gives to the ways of cutting
/// (`llm_tokenizer_bpe` in `llama-vocab.cpp`).
fn pre_tokenizer(name: &str) -> Result<Value> {
    let sequence = |parts: Vec<Value>| json!({ "type": "Sequence", "pretokenizers": parts });
    let split = |regex: &str| json!({ "type": "Split", "pattern": { "Regex": regex }, "behavior": "Isolated", "invert": false });
    match name {
        "smollm" => {
            Ok(sequence(vec![json!({ "type": "Digits", "individual_digits": true }), byte_level(true)]))
        }
        "gpt-2" => Ok(byte_level(true)),
        "default" => Ok(sequence(vec![
            split(r"[\p{P}\$\+<=>\^~\|]+"),
            split(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"),
            split(r"\p{N}+"),
            split(r"[0-9][0-9][0-9]"),
            byte_level(false),
        ])),
        other => {
            Err(format!("tokenizer.ggml.pre is \"{other}\", expected \"smollm\", \"gpt-2\" or \"default\""))
        }
    }
}

/// The template that adds the special tokens which the file wants around every text, for programs that ask for them.
fn post_processor(metadata: &Metadata, ids: &SpecialIds, tokens: &[&str]) -> Result<Value> {
    let mut single = vec![json!({ "Sequence": { "id": "A", "type_id": 0 } })];
    let mut pair = vec![single[0].clone(), json!({ "Sequence": { "id": "B", "type_id": 0 } })];
    let mut special = HashMap::new();
    for (key, id, front) in [
        ("tokenizer.ggml.add_bos_token", ids.bos, true),
        ("tokenizer.ggml.add_eos_token", ids.eos.first().copied(), false),
    ] {
        if metadata.flag(key)? != Some(true) {
            continue;
        }
        let token = id.and_then(|id| Some((id, *tokens.get(id as usize)?)));
        let (id, token) =
            token.ok_or_else(|| format!("{key} is \"true\", but the file names no such token"))?;
        special.insert(token, json!({ "id": token, "ids": [id], "tokens": [token] }));
        let piece = json!({ "SpecialToken": { "id": token, "type_id": 0 } });
        for template in [&mut single, &mut pair] {
            let at = if front { 0 } else { template.len() };
            template.insert(at, piece.clone());
        }
    }
    if special.is_empty() {
        return Ok(Value::Null);
    }
    Ok(json!({ "type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special }))
}
